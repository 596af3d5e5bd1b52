"""A client's WebSocket under any ASGI server, until it is accepted or refused: a `Handshake` around a task's awaits.

One coroutine, in the server's own task, sends what the call asked for and waits on one future for more. Once the
WebSocket is open, the task only waits for its end.
"""

import asyncio

from tunnel.account import Account
from tunnel.override import override
from tunnel.port import Headers

from ..public.client_port import Handshake, HandshakeListener, SplicedClient, WebSocketClient
from .types import Receive, Scope, Send
from .websocket import AsgiWebSocket
from .websocket_client import AsgiWebSocketClient


class AsgiHandshake(Handshake):
    """See the module."""

    __slots__ = ("_accept", "_client", "_receive", "_refusal", "_send", "_wake", "_websocket")

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._websocket = AsgiWebSocket(scope, receive, send)
        self._accept: tuple[str | None, Headers] | None = None  # asked for, and not sent yet
        self._refusal: tuple[int, Headers, bytes] | None = None  # likewise
        self._client: AsgiWebSocketClient | None = None  # once it is open
        self._wake: asyncio.Future[None] | None = None

    async def carry(self, call: HandshakeListener) -> None:
        """Carry the call from its beginning to its end."""
        try:
            if await self._websocket.begin():
                call.begin()
                await self._run(call)
            else:
                call.left()
        except OSError:
            call.left()
        except asyncio.CancelledError:
            call.abandoned()
            raise
        except Exception:
            call.broke()
            raise
        finally:
            client, self._client = self._client, None
            if client is not None:
                await client.gone()

    async def _run(self, call: HandshakeListener) -> None:
        while not call.is_over:
            if self._accept is not None:
                accept, self._accept = self._accept, None
                await self._websocket.accept(*accept)
                call.accepted()
            elif self._refusal is not None:
                refusal, self._refusal = self._refusal, None
                await self._websocket.refuse(*refusal)
                call.refused()
            else:
                self._wake = asyncio.get_running_loop().create_future()
                await self._wake

    # --- told by the call

    @override
    def accept(self, subprotocol: str | None, headers: Headers, /) -> None:
        self._accept = (subprotocol, headers)
        self._wake_up()

    @override
    def refuse(self, status: int, headers: Headers, body: bytes, /) -> None:
        self._refusal = (status, headers, body)
        self._wake_up()

    @override
    def open(self, max_message_bytes: int, account: Account, /) -> WebSocketClient:
        self._client = AsgiWebSocketClient(self._receive, self._send)
        return self._client

    @property
    @override
    def passes_bytes(self) -> bool:
        return False  # ASGI has messages

    @override
    def splice(self) -> SplicedClient:
        raise NotImplementedError("an ASGI server has no bytes to pass")

    @override
    def end(self) -> None:
        self._wake_up()

    def _wake_up(self) -> None:
        waiting, self._wake = self._wake, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)
