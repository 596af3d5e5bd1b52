"""One request to the agent's own endpoints, and one answer: HTTP/1.1 (RFC 9112), as little of it as they need.

Sans I/O and strict: what is not plainly a GET or a HEAD without a body is refused with its status. Each connection has
one request, so nothing is ever read behind a head, and an error can only cost its own connection.
"""

import re
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from urllib.parse import urlsplit

HEAD_BYTES = 4096
"""Probes and scrapers send less than 500."""

_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21-\x7e]+) HTTP/([0-9])\.([0-9])")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)")


class RefusedError(Exception):
    """The request is answered with `status`; the text says why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


@dataclass(slots=True, frozen=True)
class Request:
    """A request that may be answered."""

    path: str
    head_only: bool


@dataclass(slots=True, frozen=True)
class Page:
    """What a path leads to."""

    status: int
    text: str
    content_type: str = "text/plain; charset=utf-8"


class Reader:
    """Takes the bytes of one connection until its head is complete."""

    def __init__(self) -> None:
        self._head = bytearray()

    def feed(self, data: bytes) -> Request | None:
        """The request, once its head is there. Raises RefusedError."""
        self._head += data[: HEAD_BYTES + 1]
        if self._head.startswith(b"\r\n"):  # RFC 9112 section 2.2: an empty line before the request
            del self._head[:2]
        end = self._head.find(b"\r\n\r\n")
        if end < 0 and len(self._head) <= HEAD_BYTES:
            return None
        if end < 0 or end + 4 > HEAD_BYTES:
            raise RefusedError(431, f"the head of the request is longer than {HEAD_BYTES} bytes")
        return parse(bytes(self._head[:end]))


def parse(head: bytes) -> Request:
    """The request of a head without its empty line. Raises RefusedError."""
    first, *lines = head.split(b"\r\n")
    line = _LINE.fullmatch(first)
    if line is None:
        raise RefusedError(400, "the request line is not HTTP")
    method, target, major, minor = line.groups()
    if major != b"1":
        raise RefusedError(505, "only HTTP/1.1 and HTTP/1.0 are spoken here")
    if method not in {b"GET", b"HEAD"}:
        raise RefusedError(405, "only GET and HEAD are answered here")
    _check(_fields(lines), needs_host=minor != b"0")
    return Request(_path(target.decode("ascii")), method == b"HEAD")


def _fields(lines: list[bytes]) -> list[tuple[bytes, bytes]]:
    found = [_FIELD.fullmatch(line) for line in lines]
    if not all(found):
        raise RefusedError(400, "a header field is not HTTP")
    return [(field[1].lower(), field[2].strip()) for field in found if field is not None]


def _check(fields: list[tuple[bytes, bytes]], *, needs_host: bool) -> None:
    hosts = sum(name == b"host" for name, _ in fields)
    if hosts > 1 or (needs_host and not hosts):
        raise RefusedError(400, "there must be one Host field")
    for name, value in fields:
        if name == b"transfer-encoding" or (name == b"content-length" and value != b"0"):
            raise RefusedError(400, "a request here has no body")


def _path(target: str) -> str:
    """Of a target in origin form or absolute form; the query says nothing here."""
    if target.startswith("/"):
        return target.partition("?")[0]
    try:
        url = urlsplit(target)
    except ValueError:
        url = None
    if url is None or url.scheme not in {"http", "https"} or not url.netloc:
        raise RefusedError(400, "the target is neither a path nor an http:// URL")
    return url.path or "/"


def answer(page: Page, *, head_only: bool = False) -> bytes:
    """The whole answer; the connection ends after it."""
    body = page.text.encode()
    fields = [
        f"HTTP/1.1 {page.status} {HTTPStatus(page.status).phrase}",
        f"Date: {formatdate(usegmt=True)}",
        f"Content-Type: {page.content_type}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "Connection: close",
    ]
    if page.status == 405:
        fields.append("Allow: GET, HEAD")
    head = "\r\n".join([*fields, "", ""]).encode("ascii")
    return head if head_only else head + body


def refusal(error: RefusedError) -> bytes:
    """The answer to a request that was refused."""
    return answer(Page(error.status, f"{error}\n"))
