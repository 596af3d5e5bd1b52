"""uvicorn's WebSocket protocol class, with what a gateway needs besides: what of it is used here is named in
tests/app/server/test_uvicorn_contract.py, because it is not uvicorn's public interface.

- A WebSocket can leave ASGI behind once it is accepted: an agent's by `gateway.channel`, a client's by
  `gateway.client`. Half of what a message costs is spared.
- What a client sends before it is accepted waits, unread, for the accept.
- WebSocket handshakes that the parser refuses are answered. Floods of tiny messages are taken in slices, so that one
  client cannot hold the event loop.
"""

import asyncio
from functools import partial
from typing import cast

from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.http11 import Request

from tunnel.account import Account

from .agent_channel import AgentChannel
from .client_channel import ClientChannel
from .http import cut_off
from .turns import Left, Turns

_SLICE_BYTES = 16 * 1024
_SLICE_FRAMES = 64
"""A slice that brought more frames than this has the rest wait for a turn of the event loop."""
_TINY_SLICE_BYTES = 1024
"""After such a slice: some 170 empty messages, 5 ms of work."""


class GatewayWebSocket(WebSocketsSansIOProtocol):
    """A WebSocket; see `AgentChannel` and `ClientChannel` for what becomes of it."""

    _waiting = b""
    _slice_bytes = _SLICE_BYTES
    _frames = 0  # taken since the last turn
    _channel: AgentChannel | ClientChannel | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection came, or was handed over with its handshake."""
        super().connection_made(transport)
        self._turns = Turns(self.loop, transport, self._work)

    def handle_connect(self, event: Request) -> None:
        """A handshake came; its task starts in the next turn of the loop."""
        super().handle_connect(event)
        if self.handshake_initiated and not self.close_sent:
            extensions = cast("dict[str, object]", self.scope["extensions"])
            extensions["gateway.abort"] = partial(cut_off, self.transport)
            extensions["gateway.channel"] = self.become_channel
            if not self.config.ws_per_message_deflate:
                extensions["gateway.client"] = self.become_client

    def become_channel(self) -> AgentChannel:
        """The peer is an agent: its messages go past ASGI. To be called right after the accept."""
        channel = self._channel = AgentChannel(self)
        return channel

    def become_client(self, max_message_bytes: int, account: Account) -> ClientChannel:
        """The peer is a client: its messages go past ASGI, uncompressed. To be called right after the accept."""
        channel = self._channel = ClientChannel(self, max_message_bytes, account)
        return channel

    def data_received(self, data: bytes) -> None:
        """Bytes of the client: a slice now, the rest in later turns where there are many messages."""
        if self._channel is not None and not self._waiting:
            self._channel.data_received(data)
            return
        self._waiting += data
        if self.handshake_initiated and not self.handshake_complete:
            self.transport.pause_reading()
        else:
            self._turns.run()

    async def send(self, message: ASGISendEvent) -> None:
        """The application's event; what came before the accept is taken in the next turn."""
        await super().send(message)
        self._go_on()

    def _work(self) -> Left:
        if self._channel is not None:
            early, self._waiting = self._waiting, b""
            self.transport.resume_reading()
            self._channel.data_received(early)
            return Left.NOT_OURS
        while self._waiting and not self.transport.is_closing():
            data, self._waiting = self._waiting[: self._slice_bytes], self._waiting[self._slice_bytes :]
            self._frames = 0
            super().data_received(data)
            self._answer_refused()
            many = self._frames > _SLICE_FRAMES
            self._slice_bytes = _TINY_SLICE_BYTES if many else _SLICE_BYTES
            if many or self.read_paused or not self.writable.is_set():
                break
        blocked = self.read_paused or not self.writable.is_set()
        if self._waiting and not self.transport.is_closing():
            return Left.BLOCKED if blocked else Left.MORE
        return Left.NOT_OURS if self.read_paused else Left.NOTHING

    def handle_ping(self) -> None:
        """A ping: answered, unless the client reads nothing of what it was sent already."""
        self._frames += 1
        pong = b"".join(self.conn.data_to_send())
        if self.writable.is_set():
            self.transport.write(pong)

    def handle_cont(self, event: Frame) -> None:
        """A continuation frame."""
        self._frames += 1
        super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        """A message is whole."""
        self._frames += 1
        super().send_receive_event_to_app()

    async def receive(self) -> ASGIReceiveEvent:
        """The application's next event; the slices go on once it has taken what there was."""
        event = await super().receive()
        if self._waiting:
            self.transport.pause_reading()
            self._go_on()
        return event

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._waiting = b""
        self._turns.cancel()
        super().connection_lost(exc)
        if self._channel is not None:
            self._channel.connection_lost()

    def shutdown(self) -> None:
        """The server stops."""
        super().shutdown()
        if isinstance(self._channel, ClientChannel):
            self._channel.ended(1012)

    def keepalive_timeout(self) -> None:
        """The client has not answered a ping."""
        super().keepalive_timeout()
        if isinstance(self._channel, ClientChannel):
            self._channel.ended(1006)

    def resume_writing(self) -> None:
        """The transport's buffer has drained."""
        super().resume_writing()
        self._go_on()
        if self._channel is not None:
            self._channel.on_writable()

    def _go_on(self) -> None:
        """The rest of the slices has its turn, once the client is accepted."""
        if self._waiting and not self.read_paused and self.handshake_complete:
            self._turns.wake()

    def _answer_refused(self) -> None:
        """A handshake that the parser refused has an answer, which uvicorn does not send."""
        if self.handshake_initiated or self.conn.handshake_exc is None or self.transport.is_closing():
            return
        output = b"".join(self.conn.data_to_send())
        self.transport.write(output or b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        self.transport.close()
