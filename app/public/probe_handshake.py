"""The client of a WebSocket probe: it closes with 1000 as soon as the WebSocket is open."""

import asyncio
import logging

from tunnel.account import Account
from tunnel.override import override
from tunnel.port import Headers

from ..observed.record import Record
from .client_port import (
    Handshake,
    HandshakeListener,
    Message,
    SplicedClient,
    WebSocketClient,
    WebSocketListener,
)

logger = logging.getLogger("gateway")


class ProbeHandshake(Handshake):
    """See the module."""

    passes_bytes = False

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._call: HandshakeListener | None = None
        self._over = self._loop.create_future()

    async def carry(self, call: HandshakeListener, seconds: float) -> None:
        """Begin the call, and return when it is over. After `seconds` the client leaves."""
        self._call = call
        timer = self._loop.call_later(seconds, self._leave, f"the probe waited no longer than {seconds:g} s")
        try:
            call.begin()
            await self._over
        except Exception:
            logger.exception("a probe failed")
            call.broke()
        finally:
            call.abandoned()  # unless it is over: then it was cancelled
            self._call = None
            timer.cancel()

    # --- told by the call

    @override
    def accept(self, subprotocol: str | None, headers: Headers, /) -> None:
        self._loop.call_soon(self._accepted)

    @override
    def refuse(self, status: int, headers: Headers, body: bytes, /) -> None:
        self._loop.call_soon(self._refused)

    @override
    def open(self, max_message_bytes: int, account: Account, /) -> WebSocketClient:
        return _Closing(self._loop)

    @override
    def splice(self) -> SplicedClient:
        raise NotImplementedError("a probe has no bytes to pass")

    @override
    def end(self) -> None:
        self._finish()

    # --- inside

    def _accepted(self) -> None:
        if self._call is not None:
            self._call.accepted()

    def _refused(self) -> None:
        if self._call is not None:
            self._call.refused()
            self._finish()

    def _leave(self, why: str) -> None:
        call = self._call
        if call is None:
            return
        if isinstance(call, Record) and not call.detail:
            call.detail = why
        call.left()
        if call.is_over:
            self._finish()  # else its service is closing, and `end` follows

    def _finish(self) -> None:
        if not self._over.done():
            self._over.set_result(None)


class _Closing(WebSocketClient):
    """The client's end of an open WebSocket: it leaves with 1000, and takes what still comes."""

    held_bytes = 0
    unsent_bytes = 0

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._turn: asyncio.Handle | None = None

    @override
    def start(self, listener: WebSocketListener, /) -> None:
        self._turn = self._loop.call_soon(listener.client_left, 1000, "")

    @override
    def leave(self) -> None:
        if self._turn is not None:
            self._turn.cancel()

    @override
    def send(self, message: Message, /) -> bool:
        return True

    @override
    def send_now(self, message: Message, /) -> bool:
        return True

    @override
    def flush(self) -> bool:
        return True

    @override
    def close(self, code: int, reason: str, /) -> bool:
        return True

    @override
    def abort(self) -> None: ...

    @override
    def pause_reading(self) -> None: ...

    @override
    def resume_reading(self) -> None: ...
