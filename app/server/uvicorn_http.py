"""uvicorn's HTTP protocol class with the limits and fixes that a gateway needs.

It uses parts of uvicorn that are not public; tests/app/server/test_uvicorn_contract.py names each of them.

- `gateway.abort` in the ASGI scope's extensions aborts a connection and drops unsent bytes. uvicorn flushes before it
  closes, so we could not get rid of a client that does not read. TCP keep-alive finds clients that vanished.
- `gateway.answer` there writes a whole answer with one system call instead of two.
- An upgrade offer for anything but WebSocket is dropped and the request answered normally. The parser alone would take
  the request's body for another request.
- Heads are limited in bytes, fields and time.
- Trailers of a request never become headers.
- A target in absolute form (`GET http://host/path`) is reduced to its path if it names the Host. If it does not,
  `gateway.refused` in the extensions says why the application must answer 400.
- A client that ends its sending side with its request still gets the answer; see `eof_received`.
- A 400 or 431 for bytes that the parser refuses is never written into the answer to another request.
"""

import asyncio
import math
from typing import cast

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from ..public.header_rules import is_websocket_upgrade
from .sockets import cut_off, keep_alive

_HEAD_BYTES = 128 * 1024
"""Limit for an unfinished head. A read brings up to 256 KiB, so a complete head may be larger."""
_HEAD_FIELDS = 256
_HEAD_SECONDS = 20.0

_HALF_CLOSE_SECONDS = 0.5
"""A client that half-closes does so within this time after its request. After a later end we assume that it left."""
_HALF_CLOSED_SECONDS = 5.0
"""The answer to a half-closed client must begin within this time: until we send something, it may as well have left."""

_SCHEMES = {b"http": b"80", b"https": b"443"}
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class GatewayHttp(HttpToolsProtocol):
    """HTTP/1.1 of one client."""

    _in_head = True
    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None
    _too_many_fields = False
    _message_ended = False  # in the bytes just fed: the parser does not say how many of them belong to the next head
    _asked = b""  # the request's target as received
    _received_at = 0.0
    _half_closed_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client connected: start the deadline for its first head."""
        super().connection_made(transport)
        keep_alive(transport)
        self._head_timer = self.loop.call_later(_HEAD_SECONDS, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._stop_head_timer()
        if self._half_closed_timer is not None:
            self._half_closed_timer.cancel()
            self._half_closed_timer = None
        self._unset_keepalive_if_required()  # uvicorn forgets to cancel it after a reset
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        self._unset_keepalive_if_required()
        self._received_at = self.loop.time()
        self._message_ended = False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._should_upgrade():
                self._stop_head_timer()
                self.handle_websocket_upgrade()
            else:
                self._go_on_without_upgrade(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError:
            self._refuse(too_large=self._too_many_fields)
            return
        if self.flow.read_paused:
            self._received_at = math.inf  # we see an end of input only after reading resumes: count it as prompt
        if self._in_head:
            self._head_bytes += 1 if self._message_ended else len(data)
            if self._head_bytes > _HEAD_BYTES:
                self._refuse(too_large=True)
            elif self._head_timer is None:
                self._head_timer = self.loop.call_later(_HEAD_SECONDS, self.transport.abort)

    def _refuse(self, *, too_large: bool) -> None:
        """The parser refused the input: close the connection, with an answer if none is under way."""
        if self.transport.is_closing():
            return
        cycle = self._under_way()
        if self.pipeline or (cycle is not None and cycle.response_started):
            self.transport.close()  # anything written now would look like part of another answer
        elif too_large:
            self.transport.write(_TOO_LARGE)
            self.transport.close()
        else:
            self.send_400_response("Invalid HTTP request received.")

    def _under_way(self) -> RequestResponseCycle | None:
        """The last request received, until it is answered."""
        cycle = cast("RequestResponseCycle | None", self.cycle)  # None before the first request
        return None if cycle is None or cycle.response_complete else cycle

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client sends no more: it has either left or waits for its answer. True keeps the connection.

        Keeps a client that ended right after a complete request, until its answer ends. If that client has left after
        all, its system resets the connection when we send something, or TCP keep-alive finds out.
        """
        cycle = self._under_way()
        if (
            self._in_head
            or cycle is None
            or cycle.more_body
            or self.scheme == "https"  # TLS has no half-closed connections here
            or self.loop.time() - self._received_at > _HALF_CLOSE_SECONDS
        ):
            return False
        cycle.keep_alive = False
        if self._half_closed_timer is None:
            self._half_closed_timer = self.loop.call_later(_HALF_CLOSED_SECONDS, self._look_at_half_closed)
        return True

    def _look_at_half_closed(self) -> None:
        """Abort the half-closed client if its answer has not begun."""
        self._half_closed_timer = None
        if self.pipeline:  # earlier answers are still under way
            self._half_closed_timer = self.loop.call_later(_HALF_CLOSED_SECONDS, self._look_at_half_closed)
        elif not self.cycle.response_started:
            self.transport.abort()

    def _go_on_without_upgrade(self, rest: bytes) -> None:
        """Feed the request to a new parser without its upgrade offer: the old one would not parse what follows."""
        if self.parser.get_method() == b"CONNECT":  # always a tunnel request, and we are not a forward proxy
            self._refuse(too_large=False)
            return
        version = self.parser.get_http_version()
        head = [self.parser.get_method(), b" ", self._asked, b" HTTP/", version.encode(), b"\r\n"]
        for name, value in self.headers:
            kept = _without_offer(value) if name == b"connection" else value
            if name not in (b"upgrade", b"http2-settings") and (kept or name != b"connection"):
                head += [name, b": ", kept, b"\r\n"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.data_received(b"".join([*head, b"\r\n", rest]))

    def _stop_head_timer(self) -> None:
        self._head_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def on_message_begin(self) -> None:
        """A request begins: set up its scope."""
        super().on_message_begin()
        self._in_head = True
        self._extensions: dict[str, object] = {"gateway.abort": self.cut_off, "gateway.answer": self.answer}
        self.scope["extensions"] = self._extensions  # type: ignore[typeddict-item]

    def cut_off(self) -> None:
        """Abort the connection, and drop what the kernel holds unsent."""
        cut_off(self.transport)

    def answer(self, status: int, block: bytes, body: bytes) -> bool:
        """Write a whole answer in one piece: `block` is its fields as lines, Content-Length among them or not allowed.

        False: something about this answer is unusual, and nothing was written.
        """
        cycle = self.cycle
        if (
            self.pipeline or cycle.response_started or cycle.disconnected or not cycle.keep_alive
            or self.flow.write_paused or cycle.access_log or cycle.default_headers
        ):  # fmt: skip
            return False
        cycle.response_started = cycle.response_complete = True
        self.transport.write(b"%b%b\r\n%b" % (STATUS_LINE[status], block, body))
        cycle.message_event.set()
        cycle.on_response()
        return True

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header field. Fields of the trailer section are dropped (RFC 9110 section 6.5.1)."""
        if not self._in_head:
            return
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        headers = self.headers
        headers.append((name, value))
        if len(headers) > _HEAD_FIELDS:
            self._too_many_fields = True
            raise ValueError("too many fields")

    def on_headers_complete(self) -> None:
        """The head is complete. With an upgrade offer the parser stops here, and `data_received` takes over."""
        self._asked = self.url
        if self.url[:1] != b"/" and self.url != b"*" and self.parser.get_method() != b"CONNECT":
            self._take_absolute()
        if not self.parser.should_upgrade() or self._should_upgrade():
            self._in_head = False
            self._stop_head_timer()
            super().on_headers_complete()

    def _take_absolute(self) -> None:
        """Reduce a target in absolute form (RFC 9112 section 3.2.2) to its path, or refuse one of another host."""
        scheme, authority, self.url = _parts(self.url)
        hosts = [value for name, value in self.headers if name == b"host"]
        port = _SCHEMES.get(scheme)
        if port is None or len(hosts) != 1 or _name_and_port(authority, port) != _name_and_port(hosts[0], port):
            self._extensions["gateway.refused"] = "the target's authority does not match Host"

    def on_message_complete(self) -> None:
        """The request is complete; the next head may follow."""
        self._message_ended = True
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def _should_upgrade(self) -> bool:
        return (
            is_websocket_upgrade(self.headers)
            and self._should_upgrade_to_ws()
            and "gateway.refused" not in self._extensions
        )

    def handle_websocket_upgrade(self) -> None:
        """Hand over to the WebSocket protocol, with WebSocket as the only upgrade offer."""
        headers = [item for item in self.scope["headers"] if item[0] not in (b"upgrade", b"connection")]
        self.scope["headers"] = [*headers, (b"upgrade", b"websocket"), (b"connection", b"upgrade")]
        super().handle_websocket_upgrade()


def _without_offer(connection: bytes) -> bytes:
    """A `Connection` field without its upgrade tokens; the other fields that it names stay hop-by-hop."""
    tokens = [token.strip() for token in connection.split(b",")]
    return b", ".join(token for token in tokens if token.lower() not in (b"upgrade", b"http2-settings"))


def _parts(target: bytes) -> tuple[bytes, bytes, bytes]:
    """Scheme, authority, and path with query, of a target in absolute form."""
    scheme, _, rest = target.partition(b"://")
    end = min((rest.index(mark) for mark in (b"/", b"?", b"#") if mark in rest), default=len(rest))
    path = rest[end:]
    return scheme.lower(), rest[:end], path if path.startswith(b"/") else b"/" + path


def _name_and_port(authority: bytes, default: bytes) -> tuple[bytes, bytes]:
    name, colon, port = authority.rpartition(b":")
    if not colon or b"]" in port:
        name, port = authority, b""
    return name.lower().rstrip(b"."), port or default
