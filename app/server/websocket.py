"""uvicorn's WebSocket protocol class with the limits and fixes that a gateway needs.

It uses parts of uvicorn that are not public; tests/app/server/test_uvicorn_contract.py names each of them.

- An accepted WebSocket can bypass ASGI: an agent's through `gateway.channel`, a client's through `gateway.client`. This
  halves the cost per message.
- Data that a client sends before the accept stays unread until then.
- WebSocket handshakes that the parser refuses get an answer.
- Floods of tiny messages are parsed in slices, so that one client cannot block the event loop.
- All connections share one timer for their pings.
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
from .pings import pings_of
from .sockets import cut_off
from .turns import Left, Turns

_SLICE_BYTES = 16 * 1024
_SLICE_FRAMES = 64
"""After a slice with more frames than this, the rest waits for the next turn of the event loop."""
_TINY_SLICE_BYTES = 1024
"""Size of the slices after that: about 170 empty messages, 5 ms of work."""
_PING = b"\x89\x00"


class GatewayWebSocket(WebSocketsSansIOProtocol):
    """A WebSocket. After the accept it may become an `AgentChannel` or a `ClientChannel`."""

    _waiting = b""
    _slice_bytes = _SLICE_BYTES
    _frames = 0  # parsed in this slice
    _channel: AgentChannel | ClientChannel | None = None
    heard = False
    pinged_at = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection arrived, or the HTTP protocol handed it over."""
        super().connection_made(transport)
        self._turns = Turns(self.loop, transport, self._work)

    def handle_connect(self, event: Request) -> None:
        """A handshake arrived. Its task starts in the next turn of the loop."""
        super().handle_connect(event)
        if self.handshake_initiated and not self.close_sent:
            extensions = cast("dict[str, object]", self.scope["extensions"])
            extensions["gateway.abort"] = partial(cut_off, self.transport)
            extensions["gateway.channel"] = self.become_channel
            if not self.config.ws_per_message_deflate:
                extensions["gateway.client"] = self.become_client

    def become_channel(self) -> AgentChannel:
        """The peer is an agent: its messages bypass ASGI. Call it right after the accept."""
        channel = self._channel = AgentChannel(self)
        return channel

    def become_client(self, max_message_bytes: int, account: Account) -> ClientChannel:
        """The peer is a client: its messages bypass ASGI, uncompressed. Call it right after the accept."""
        channel = self._channel = ClientChannel(self, max_message_bytes, account)
        return channel

    # --- the wire of a channel

    @property
    def max_message_bytes(self) -> int:
        """Limit of a message."""
        return self.config.ws_max_size

    @property
    def is_writable(self) -> bool:
        """The transport's buffer is below its mark."""
        return self.writable.is_set()

    def received(self, message: str | bytes) -> None:
        """A message that the application takes."""
        key = "text" if isinstance(message, str) else "bytes"
        self.queue.put_nowait(cast("ASGIReceiveEvent", {"type": "websocket.receive", key: message}))

    def ended(self, code: int, reason: str) -> None:
        """The peer closed, or broke the protocol."""
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})

    def data_received(self, data: bytes) -> None:
        """Bytes from the peer: parse a slice now, and after many messages the rest in later turns."""
        self.heard = True
        if self._channel is not None and not self._waiting:
            self._channel.data_received(data)
            return
        self._waiting += data
        if self.handshake_initiated and not self.handshake_complete:
            self.transport.pause_reading()
        else:
            self._turns.run()

    async def send(self, message: ASGISendEvent) -> None:
        """Send the application's event. After the accept, data that arrived before it is parsed in the next turn."""
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
        """Answer a ping, unless the client does not read."""
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
        """The application's next event. Parsing continues once the application has taken it."""
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
        """The server is stopping."""
        super().shutdown()
        if isinstance(self._channel, ClientChannel):
            self._channel.ended(1012)

    def resume_writing(self) -> None:
        """The transport's buffer has drained."""
        super().resume_writing()
        self._go_on()
        if self._channel is not None:
            self._channel.on_writable()

    def _go_on(self) -> None:
        """Wake the slices that wait, once the handshake is complete."""
        if self._waiting and not self.read_paused and self.handshake_complete:
            self._turns.wake()

    def _answer_refused(self) -> None:
        """Send the answer to a handshake that the parser refused, which uvicorn does not."""
        if self.handshake_initiated or self.conn.handshake_exc is None or self.transport.is_closing():
            return
        output = b"".join(self.conn.data_to_send())
        self.transport.write(output or b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        self.transport.close()

    # --- pings

    def start_keepalive(self) -> None:
        """The handshake is complete."""
        pings_of(self.loop).add(self)

    def stop_keepalive(self) -> None:
        """The connection is gone, or the server is stopping; idempotent."""
        pings_of(self.loop).remove(self)

    @property
    def is_ending(self) -> bool:
        """Closed or closing."""
        return self.close_sent or self.transport.is_closing()

    def send_ping(self) -> None:
        """Write a ping. Frames are written whole, so it never comes inside another one."""
        self.transport.write(_PING)

    def abort(self) -> None:
        """End the connection at once."""
        self.transport.abort()

    def keepalive_timeout(self) -> None:
        """The client is gone: nothing came from it after a ping."""
        super().keepalive_timeout()
        if isinstance(self._channel, ClientChannel):
            self._channel.ended(1006)
