"""The two shapes of an answer: streamed messages (section 6), and one buffered message (section 7).

Both have the same moves: `head` once, `body` any number of times, then `end` or `fail`. A failure may come without
a head. The buffered one says nothing before its end, and forgets a status it already had when it fails.
"""

import gzip
from typing import Protocol

from tests.existing.envelope import Payload, dumps, encode_base64
from tests.existing.link import Link
from tests.existing.wire import Answer, Headers

GZIP_FROM_BYTES = 1024
BINARY_FROM_BYTES = 10_240
_TEXT_LIKE = ("text/", "json", "javascript", "xml", "html", "yaml")
_NEVER = ("gzip", "compress", "zip", "image/", "video/", "audio/")


class Reply(Protocol):
    """An answer on its way to the gateway."""

    async def head(self, answer: Answer) -> None: ...
    async def body(self, data: bytes) -> None: ...
    async def end(self) -> None: ...
    async def fail(self, text: str) -> None: ...


class Streamed:
    """Header, chunks as they come, then end or abort."""

    def __init__(self, link: Link, request_id: str) -> None:
        self._link = link
        self._id = request_id

    async def head(self, answer: Answer) -> None:
        headers = dict(sorted(answer.headers.items())) or None
        await self._link.send("proxy_response_header", self._id, {"status": answer.status, "headers": headers})

    async def body(self, data: bytes) -> None:
        chunk: Payload = {"data": encode_base64(data), "encoding": "base64", "size": len(data)}
        await self._link.send("proxy_response_chunk", self._id, chunk)

    async def end(self) -> None:
        await self._link.send("proxy_response_end", self._id, {})

    async def fail(self, text: str) -> None:
        await self._link.send("proxy_response_abort", self._id, {"error": text})


class Buffered:
    """All at once: JSON, or one binary message that does not say whether it is gzipped."""

    def __init__(self, link: Link, request_id: str) -> None:
        self._link = link
        self._id = request_id
        self._answer: Answer | None = None
        self._parts: list[bytes] = []

    async def head(self, answer: Answer) -> None:
        self._answer = answer

    async def body(self, data: bytes) -> None:
        self._parts.append(data)

    async def end(self) -> None:
        assert self._answer is not None
        body, status, headers = b"".join(self._parts), self._answer.status, dict(sorted(self._answer.headers.items()))
        packed = body
        if len(body) >= GZIP_FROM_BYTES and text_like(headers):
            packed = min(gzip.compress(body, mtime=0), body, key=len)
        if len(body) >= BINARY_FROM_BYTES:
            await self._link.send_binary(binary_answer(self._id, status, headers, packed), self._id)
            return
        payload: Payload = {"status": status, "headers": headers or None}
        if body:
            payload["body"] = encode_base64(packed)
            payload["encoding"] = "base64" if packed is body else "gzip"
        await self._link.send("proxy_response", self._id, payload)

    async def fail(self, text: str) -> None:
        await self._link.send("proxy_error", self._id, {"error": text})


def text_like(headers: Headers) -> bool:
    """Whether the agent would gzip such a body (section 7)."""
    kind = ",".join(headers.get("Content-Type", [])).lower()
    return any(word in kind for word in _TEXT_LIKE) and not any(word in kind for word in _NEVER)


def binary_answer(request_id: str, status: int, headers: Headers, body: bytes) -> bytes:
    """The binary message of section 7."""
    name, head = request_id.encode(), dumps(headers)
    parts = [len(name).to_bytes(2), name, status.to_bytes(4), len(head).to_bytes(4), head, body]
    return b"".join(parts)
