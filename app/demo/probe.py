"""One plain HTTP request, to learn who answers at a port: never what a log says, and never longer than a deadline."""

import asyncio
import contextlib
from dataclasses import dataclass

ASK_SECONDS = 0.1
"""Between two requests to what is starting."""
_MOST_BYTES = 64 * 1024
"""Of an answer; what is longer is not read to its end."""


class NoAnswerError(Exception):
    """Nobody answered in HTTP; the text says what happened instead."""


@dataclass(frozen=True)
class Answer:
    """What was answered. `body` may be cut."""

    status: int
    body: bytes


async def ask(address: str, port: int, host: str, path: str = "/", *, seconds: float = 2.0) -> Answer:
    """`GET path` of the public name `host` at an IP address and port. Raises NoAnswerError."""
    try:
        async with asyncio.timeout(seconds):
            raw = await _exchange(address, port, f"GET {path} HTTP/1.0\r\nHost: {host}:{port}\r\n\r\n".encode())
    except TimeoutError:
        raise NoAnswerError(f"no answer within {seconds:g} s") from None
    except OSError as error:
        raise NoAnswerError(error.strerror or str(error)) from None
    head, _, body = raw.partition(b"\r\n\r\n")
    words = head.split(b"\r\n", 1)[0].split(b" ")
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
        raise NoAnswerError("the answer is not HTTP" if raw else "the connection was closed without an answer")
    return Answer(int(words[1]), body)


async def answering(port: int, host: str, path: str = "/") -> None:
    """Wait until something is answered in HTTP on a port of 127.0.0.1."""
    while True:
        with contextlib.suppress(NoAnswerError):
            await ask("127.0.0.1", port, host, path)
            return
        await asyncio.sleep(ASK_SECONDS)


async def _exchange(address: str, port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(address, port)
    try:
        writer.write(request)
        parts = b""
        while len(parts) < _MOST_BYTES and (data := await reader.read(_MOST_BYTES)):
            parts += data
        return parts
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
