"""The client of one HTTP call under any ASGI server: an `HttpClient` around `receive` and `send`.

One coroutine, in the server's own task, sends what the call gave it and waits on one future for more. A second task
reads, only where a request has a body, or where its answer lets it wait so long that its client may leave meanwhile.
"""

import asyncio
import logging
from typing import Any, NoReturn

from tunnel.override import override
from tunnel.port import Headers

from ..public.client_port import HttpClient, HttpListener
from ..rules import problems
from .types import Receive, Scope, Send

logger = logging.getLogger("gateway")


class BrokenOffError(Exception):
    """Ends a response that has begun: the server cuts the connection, so the client sees it is incomplete."""


class AsgiHttpClient(HttpClient):
    """See the module."""

    __slots__ = (
        "_broken", "_call", "_chunks", "_cut", "_ended", "_head", "_left", "_may_read", "_reader", "_receive",
        "_runner", "_scope", "_send", "_started", "_wake", "_whole",
    )  # fmt: skip

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._call: HttpListener | None = None
        self._head: tuple[int, Headers] | None = None  # given, and not sent yet
        self._whole: tuple[int, Headers, bytes] | None = None  # likewise, the whole answer
        self._chunks: list[bytes] = []
        self._ended = False
        self._broken: str | None = None
        self._cut = False
        self._left = False
        self._started = False  # the answer's head was given to the server
        self._wake: asyncio.Future[None] | None = None
        self._runner: asyncio.Task[Any] | None = None  # what `abort` cancels
        self._reader: asyncio.Task[None] | None = None
        self._may_read: asyncio.Future[None] | None = None  # while the body is paused

    async def carry(self, call: HttpListener) -> None:
        """Begin the call and carry it to its end. Raises BrokenOffError to have the server cut the connection."""
        self._call = call
        loop = asyncio.get_running_loop()  # asked for once, because it is a system call (getpid)
        self._runner = asyncio.current_task(loop)
        try:
            call.begin()
            if self._head is None and not self._ended and self._broken is None:
                self._wake = loop.create_future()
                await self._wake
            if self._whole is None:
                await self._run(call)
                return
            status, fields, body = self._whole  # the usual answer, in few steps
            self._whole = None
            self._started = True
            call.sending()
            await self._send({"type": "http.response.start", "status": status, "headers": fields})
            await self._send({"type": "http.response.body", "body": body})
            call.finished(len(body))
        except OSError:  # ASGI 2.4: the client has left
            call.left()
        except asyncio.CancelledError:
            if not self._cut or self._runner is None:
                call.broke()
                raise
            self._runner.uncancel()  # it was us, in `abort`
        except BrokenOffError:
            call.broken_off()
            raise
        except Exception as bug:
            call.broke()
            if not self._started:
                await self.apologise(bug)
            raise
        finally:
            self._call = None  # the call and its client refer to each other: free both without the collector
            reader, self._reader = self._reader, None
            if reader is not None:
                reader.cancel()
                await asyncio.wait((reader,))

    async def apologise(self, bug: Exception) -> NoReturn:
        """Answer that something of ours failed, and raise it: the server logs it."""
        status, fields, body = problems.render(problems.INTERNAL, self._scope["headers"])
        await self._send({"type": "http.response.start", "status": status, "headers": fields})
        await self._send({"type": "http.response.body", "body": b"" if self._is_head_request else body})
        raise bug

    # --- told by the call

    @override
    def start(self, status: int, fields: Headers, /) -> None:
        self._head = (status, fields)
        self._wake_up()

    @override
    def retract(self) -> bool:
        if self._head is None and self._whole is None:
            return False
        self._head = self._whole = None
        self._chunks.clear()
        self._ended = False
        return True

    @override
    def send(self, data: bytes, /) -> None:
        self._chunks.append(data)
        self._wake_up()

    @override
    def pass_on(self, data: bytes, /) -> bool:
        self.send(data)
        return False

    @override
    def end(self) -> None:
        self._ended = True
        self._wake_up()

    @override
    def whole(self, status: int, fields: Headers, block: bytes, body: bytes, /) -> bool:
        self._whole = (status, fields, body)
        self._ended = True
        self._wake_up()
        return False

    @override
    def interim(self, status: int, fields: Headers, /) -> None: ...  # ASGI has no message for it

    @override
    def trailers(self, fields: Headers, /) -> None: ...  # likewise, in the servers that we know

    @override
    def answer(self, status: int, fields: Headers, body: bytes, /) -> None:
        # A body still to come is left unread: the server reads and drops it.
        self._head = (status, fields)
        if body and not self._is_head_request:
            self._chunks.append(body)
        self._ended = True
        self._wake_up()

    @override
    def break_off(self, why: str, /) -> None:
        self._broken = why
        self._wake_up()

    @override
    def abort(self) -> None:
        # ASGI cannot cut a connection: the server's task is cancelled, and it closes in its own way.
        self._cut = True
        if self._runner is not None:
            self._runner.cancel()

    @property
    @override
    def unsent_bytes(self) -> int:
        return 0  # ASGI does not say

    @override
    def read_body(self) -> None:
        if self._reader is None and self._call is not None:
            self._reader = asyncio.get_running_loop().create_task(self._read(self._call))

    @override
    def watch(self) -> None:
        self.read_body()

    @override
    def pause_body(self) -> None:
        if self._may_read is None:
            self._may_read = asyncio.get_running_loop().create_future()

    @override
    def resume_body(self) -> None:
        waiting, self._may_read = self._may_read, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    # --- inside

    @property
    def _is_head_request(self) -> bool:
        return bool(self._scope["method"] == "HEAD")

    async def _run(self, call: HttpListener) -> None:
        send = self._send
        while True:
            head, chunks = self._head, self._chunks
            if head is not None or chunks or self._ended:
                call.sending()
                if head is not None:
                    self._head = None
                    self._started = True
                    await send({"type": "http.response.start", "status": head[0], "headers": head[1]})
                    chunks = self._chunks
                ended = self._ended
                body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
                if body or ended:
                    self._chunks = []
                    await send({"type": "http.response.body", "body": body, "more_body": not ended})
                if ended and self._broken is None:
                    call.finished(len(body))
                    return
                call.sent(len(body))
                if not ended:
                    continue
            if self._broken is not None:
                raise BrokenOffError(self._broken)
            if self._left:
                return
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake

    async def _read(self, call: HttpListener) -> None:
        try:
            while True:
                if self._may_read is not None:
                    await self._may_read
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    self._leave(call)
                    return
                if not call.body(message.get("body", b""), last=not message.get("more_body", False)):
                    return
        except Exception:  # a server's receive may raise what it likes: the call is over
            logger.exception("reading a request's body failed")
            self._leave(call)

    def _leave(self, call: HttpListener) -> None:
        self._left = True
        call.left()
        self._wake_up()

    def _wake_up(self) -> None:
        waiting, self._wake = self._wake, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)
