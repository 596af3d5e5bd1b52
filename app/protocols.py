"""uvicorn's protocol classes, with what a gateway needs besides: what of them is used here is named in
tests/app/test_uvicorn_contract.py, because it is not uvicorn's public interface.

- `gateway.abort` in the ASGI scope's extensions cuts a connection at once, unsent bytes and all: uvicorn flushes
  before it closes, and a client that never reads would never be rid of. TCP keep-alive finds clients that vanished.
- An upgrade offer other than WebSocket is dropped and answered normally; the parser alone would take the request's
  body for another request.
- Heads are bounded in bytes, fields and time.
- Trailers of a request never become headers.
- An agent's WebSocket can leave ASGI behind (`gateway.channel`): half of what a message costs is spared.
- WebSocket handshakes that the parser refuses are answered. Floods of tiny messages are taken in slices, so that one
  client cannot hold the event loop.
"""

import asyncio
import socket
from typing import cast

import httptools
from uvicorn._types import ASGIReceiveEvent
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.http11 import Request

from app.agent_channel import AgentChannel
from app.heads import is_websocket_upgrade

_KEEPALIVE = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))
"""A vanished client is noticed after 60 + 4 x 15 s."""

_UNSENT_BYTES = 128 * 1024
"""What the kernel may hold of a connection that is not on its way yet: more only makes what comes later wait."""

_HEAD_BYTES = 128 * 1024
"""Of an unfinished head; a read of a socket brings up to 256 KiB, which may be a whole one."""
_HEAD_FIELDS = 256
_HEAD_SECONDS = 20.0
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"

_SLICE_BYTES = 16 * 1024
_SLICE_FRAMES = 64
"""A slice that brought more frames than this has the rest wait for a turn of the event loop."""
_TINY_SLICE_BYTES = 1024
"""After such a slice: some 170 empty messages, 5 ms of work."""


class GatewayHttp(HttpToolsProtocol):
    """HTTP/1.1 of one client."""

    _in_head = True
    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client connected: its first head has a deadline."""
        super().connection_made(transport)
        keep_alive(transport)
        self._head_timer = self.loop.call_later(_HEAD_SECONDS, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._stop_head_timer()
        self._unset_keepalive_if_required()  # uvicorn forgets it after a reset
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes of the client."""
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._should_upgrade():
                self._stop_head_timer()
                self.handle_websocket_upgrade()
            else:
                self._go_on_without_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")
        if self._in_head and self.parser is not None:
            self._head_bytes += len(data)
            if self._head_bytes > _HEAD_BYTES and not self.transport.is_closing():
                self.transport.write(_TOO_LARGE)
                self.transport.close()
            elif self._head_timer is None and self._head_bytes:
                self._head_timer = self.loop.call_later(_HEAD_SECONDS, self.transport.abort)

    def _go_on_without_upgrade(self, rest: bytes) -> None:
        """The parser takes what follows an upgrade for another protocol: give it the request without the offer."""
        head = [self.parser.get_method(), b" ", self.url, b" HTTP/1.1\r\n"]
        for name, value in self.headers:
            if name not in (b"upgrade", b"connection", b"http2-settings"):
                head += [name, b": ", value, b"\r\n"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.data_received(b"".join([*head, b"\r\n", rest]))

    def _stop_head_timer(self) -> None:
        self._head_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def on_message_begin(self) -> None:
        """A request begins: its scope is new."""
        super().on_message_begin()
        self._in_head = True
        self.scope["extensions"] = {"gateway.abort": self.transport.abort}  # type: ignore[dict-item]

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the head; those of the trailer section are dropped (RFC 9110 section 6.5.1)."""
        if self._in_head:
            super().on_header(name, value)
            if len(self.headers) > _HEAD_FIELDS:
                raise ValueError("too many fields")

    def on_headers_complete(self) -> None:
        """The head is complete; with an upgrade offer the parser stops here, and `data_received` goes on."""
        if not self.parser.should_upgrade() or self._should_upgrade():
            self._in_head = False
            self._stop_head_timer()
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is complete; the next one's head may come."""
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def _should_upgrade(self) -> bool:
        return is_websocket_upgrade(self.headers) and self._should_upgrade_to_ws()

    def handle_websocket_upgrade(self) -> None:
        """Hand over to the WebSocket protocol, with the one offer that it takes."""
        headers = [item for item in self.scope["headers"] if item[0] not in (b"upgrade", b"connection")]
        self.scope["headers"] = [*headers, (b"upgrade", b"websocket"), (b"connection", b"upgrade")]
        super().handle_websocket_upgrade()


class GatewayWebSocket(WebSocketsSansIOProtocol):
    """A WebSocket of one client; see `AgentChannel` for what becomes of an agent's."""

    _waiting = b""
    _turn: asyncio.Handle | None = None
    _slice_bytes = _SLICE_BYTES
    _frames = 0  # taken since the last turn
    _channel: "AgentChannel | None" = None

    def handle_connect(self, event: Request) -> None:
        """A handshake came; its task starts in the next turn of the loop."""
        super().handle_connect(event)
        if self.handshake_initiated and not self.close_sent:
            extensions = cast("dict[str, object]", self.scope["extensions"])
            extensions["gateway.abort"] = self.transport.abort
            extensions["gateway.channel"] = self.become_channel

    def become_channel(self) -> "AgentChannel":
        """The peer is an agent: its messages go past ASGI. To be called with the accept, before anything came."""
        self._channel = AgentChannel(self)
        return self._channel

    def data_received(self, data: bytes) -> None:
        """Bytes of the client: a slice now, the rest in later turns where there are many messages."""
        if self._channel is not None:
            self._channel.data_received(data)
            return
        self._waiting += data
        if self._turn is None:
            self._take()

    def _take(self) -> None:
        self._turn = None
        while self._waiting and not self.transport.is_closing():
            data, self._waiting = self._waiting[: self._slice_bytes], self._waiting[self._slice_bytes :]
            self._frames = 0
            super().data_received(data)
            self._answer_refused()
            many = self._frames > _SLICE_FRAMES
            self._slice_bytes = _TINY_SLICE_BYTES if many else _SLICE_BYTES
            if many or self.read_paused or not self.writable.is_set():
                break
        if self._waiting and not self.transport.is_closing():
            self.transport.pause_reading()
            if not self.read_paused and self.writable.is_set():
                self._turn = self.loop.call_soon(self._take)
        elif not self.read_paused and not self.transport.is_closing():
            self.transport.resume_reading()  # the slices had it paused

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
        if self._waiting and not self.read_paused and self._turn is None:
            self.transport.pause_reading()
            self._turn = self.loop.call_soon(self._take)
        return event

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._waiting = b""
        if self._turn is not None:
            self._turn.cancel()
        super().connection_lost(exc)
        if self._channel is not None:
            self._channel.close()

    def resume_writing(self) -> None:
        """The transport's buffer has drained."""
        super().resume_writing()
        if self._waiting and not self.read_paused and self._turn is None:
            self._turn = self.loop.call_soon(self._take)
        if self._channel is not None:
            self._channel.on_writable()

    def _answer_refused(self) -> None:
        """A handshake that the parser refused has an answer, which uvicorn does not send."""
        if self.handshake_initiated or self.conn.handshake_exc is None or self.transport.is_closing():
            return
        output = b"".join(self.conn.data_to_send())
        self.transport.write(output or b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        self.transport.close()


def keep_alive(transport: asyncio.Transport) -> None:
    """Switch TCP keep-alive on, with times that fit a gateway where the system lets us set them."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE:
        option = getattr(socket, name, None)
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    if option is not None:
        sock.setsockopt(socket.IPPROTO_TCP, option, _UNSENT_BYTES)
