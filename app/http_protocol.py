"""uvicorn's HTTP protocol class, with what a gateway needs besides: what of it is used here is named in
tests/app/test_uvicorn_contract.py, because it is not uvicorn's public interface.

- `gateway.abort` in the ASGI scope's extensions cuts a connection at once, unsent bytes and all: uvicorn flushes
  before it closes, and a client that never reads would never be rid of. TCP keep-alive finds clients that vanished.
- An upgrade offer other than WebSocket is dropped and answered normally; the parser alone would take the request's
  body for another request.
- Heads are bounded in bytes, fields and time.
- Trailers of a request never become headers.
"""

import asyncio
import socket

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

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
