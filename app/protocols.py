"""uvicorn's protocol classes, with what a gateway needs besides: what of them is used here is named in
tests/app/test_uvicorn_contract.py, because it is not uvicorn's public interface.

- `gateway.abort` in the ASGI scope's extensions cuts a connection at once, unsent bytes and all: uvicorn flushes
  before it closes, and a client that never reads would never be rid of. TCP keep-alive finds clients that vanished.
- An upgrade offer other than WebSocket is dropped and answered normally, on a connection that then closes; with a
  body it is refused, because the parser takes the body for the next request.
- Trailers of a request never become headers.
- An agent's WebSocket can leave ASGI behind (`gateway.channel`): half of what a message costs is spared.
- WebSocket handshakes that the parser refuses are answered. Floods of tiny messages are taken in slices, so that one
  client cannot hold the event loop.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from typing import cast

from uvicorn._types import ASGIReceiveEvent
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Request

from app.heads import is_websocket_upgrade
from tunnel import websocket

_KEEPALIVE = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))
"""A vanished client is noticed after 60 + 4 x 15 s."""

_SLICE_BYTES = 16 * 1024
_SLICE_MESSAGES = 64
"""A slice that brought more messages than this has the rest wait for a turn of the event loop."""
_CHANNEL_SLICE_BYTES = 64 * 1024
"""Of an agent's bytes per turn: 5,000 of the smallest yamux frames, some 15 ms."""
_TINY_SLICE_BYTES = 1024
"""After such a slice: some 170 empty messages, 5 ms of work."""


class GatewayHttp(HttpToolsProtocol):
    """HTTP/1.1 of one client."""

    _in_head = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client connected."""
        super().connection_made(transport)
        keep_alive(transport)

    def on_message_begin(self) -> None:
        """A request begins: its scope is new."""
        super().on_message_begin()
        self._in_head = True
        self.scope["extensions"] = {"gateway.abort": self.transport.abort}  # type: ignore[dict-item]

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the head; those of the trailer section are dropped (RFC 9110 section 6.5.1)."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is complete. Raises ValueError, which the parser turns into a 400, for what must not go on."""
        self._in_head = False
        other_upgrade = self.parser.should_upgrade() and not self._should_upgrade()
        if other_upgrade and _announces_body(self.headers):
            raise ValueError("an upgrade offer with a body")
        super().on_headers_complete()
        if other_upgrade:
            self.cycle.keep_alive = False  # what follows the head is not parsed as HTTP any more

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
            before = self.queue.qsize()
            super().data_received(data)
            self._answer_refused()
            if self.queue.qsize() - before > _SLICE_MESSAGES or self.read_paused:
                self._slice_bytes = _TINY_SLICE_BYTES if self.queue.qsize() - before > _SLICE_MESSAGES else _SLICE_BYTES
                break
            self._slice_bytes = _SLICE_BYTES
        if self._waiting and not self.transport.is_closing():
            self.transport.pause_reading()
            if not self.read_paused:
                self._turn = self.loop.call_soon(self._take)

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
        if self._channel is not None:
            self._channel.on_writable()

    def _answer_refused(self) -> None:
        """A handshake that the parser refused has an answer, which uvicorn does not send."""
        if self.handshake_initiated or self.conn.handshake_exc is None or self.transport.is_closing():
            return
        output = b"".join(self.conn.data_to_send())
        self.transport.write(output or b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        self.transport.close()


class AgentChannel:
    """An agent's WebSocket below ASGI: messages as calls, frames as writes, no task and no queue between.

    Until `start` messages still go to the ASGI queue (the registration); the end of the connection always does.
    """

    def __init__(self, protocol: GatewayWebSocket) -> None:
        self._protocol = protocol
        self._codec = websocket.Connection(websocket.Role.SERVER, max_message_bytes=protocol.config.ws_max_size)
        self._waiting: deque[bytes] = deque()
        self._turn: asyncio.Handle | None = None
        self._on_message: Callable[[str | bytes], None] | None = None
        self.on_writable: Callable[[], None] = lambda: None

    def start(self, on_message: Callable[[str | bytes], None], on_writable: Callable[[], None]) -> None:
        """Messages go to `on_message` from now on; `on_writable` after `send` returned False."""
        self._on_message = on_message
        self.on_writable = on_writable

    def send(self, message: str | bytes) -> bool:
        """Write one message; False when the transport's buffer is above its mark."""
        protocol = self._protocol
        if not protocol.transport.is_closing() and not protocol.close_sent:
            protocol.transport.write(self._codec.send_message(message))
        return protocol.writable.is_set()

    def close(self) -> None:
        """Nothing is delivered any more; idempotent."""
        self._waiting.clear()
        self._on_message = None
        self.on_writable = lambda: None
        if self._turn is not None:
            self._turn.cancel()

    def data_received(self, data: bytes) -> None:
        """Bytes of the agent, in slices of bounded work; the order is kept."""
        self._waiting.extend(data[at : at + _CHANNEL_SLICE_BYTES] for at in range(0, len(data), _CHANNEL_SLICE_BYTES))
        if self._turn is None:
            self._take()

    def _take(self) -> None:
        self._turn = None
        protocol = self._protocol
        if self._waiting and not protocol.transport.is_closing():
            for event in self._codec.receive_data(self._waiting.popleft()):
                self._obey(event)
            owed = self._codec.data_to_send()
            if owed and not protocol.close_sent and not protocol.transport.is_closing():
                protocol.transport.write(owed)
            if self._codec.state is websocket.State.CLOSED:
                protocol.transport.close()
        if self._waiting:
            self._turn = protocol.loop.call_soon(self._take)

    def _obey(self, event: websocket.Event) -> None:
        protocol = self._protocol
        match event:
            case websocket.Message() if self._on_message is not None:
                self._on_message(event.data)
            case websocket.Message():
                if isinstance(event.data, str):
                    protocol.queue.put_nowait({"type": "websocket.receive", "text": event.data})
                else:
                    protocol.queue.put_nowait({"type": "websocket.receive", "bytes": event.data})
                if not protocol.read_paused:
                    protocol.read_paused = True
                    protocol.transport.pause_reading()
            case websocket.Pong():
                protocol.handle_pong(Frame(Opcode.PONG, event.payload))
            case websocket.Closed() | websocket.Failed():
                protocol.queue.put_nowait({"type": "websocket.disconnect", "code": event.code, "reason": event.reason})
            case _:
                pass  # pings are answered by the codec


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


def _announces_body(headers: list[tuple[bytes, bytes]]) -> bool:
    return any(name == b"transfer-encoding" or (name == b"content-length" and value != b"0") for name, value in headers)
