"""One scripted service, two ways: behind a raw stream, as a yamux link carries it, and behind an agent's messages."""

import base64
from dataclasses import dataclass, field
from typing import Any, Protocol

import h11

from tests.fakes.pipe import PipeEnd
from tests.tunnel.gateway.proxied.agent import Agent, encoded
from tunnel import websocket
from tunnel.errors import TunnelError
from tunnel.port import Headers
from tunnel.websocket.frames import close_payload
from tunnel.wire.proxy_messages import decode_websocket_message, encode_websocket_message

_FRAMING = {b"transfer-encoding", b"content-length", b"connection", b"upgrade", b"expect"}
_HOP = "sec-websocket-"


@dataclass
class Heard:
    """A request, as a service sees it. `fields`: without framing, names in lower case, in order of their names."""

    method: str = ""
    target: str = ""
    fields: list[tuple[str, str]] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    complete: bool = False


class Service(Protocol):
    """What a case makes of it."""

    heard: Heard
    requests: int
    events: list[str]
    """Of a WebSocket: what the service's end heard."""
    left: bool
    """It was told that nobody waits any more."""
    reads: bool
    """False: it takes nothing."""

    def pump(self) -> None: ...

    def interim(self, status: int) -> None: ...

    def head(self, status: int, fields: Headers | None = None) -> None: ...

    def data(self, data: bytes) -> None: ...

    def end(self, trailers: Headers | None = None) -> None: ...

    def vanish(self) -> None: ...

    def accept(self, protocol: str | None = None) -> None: ...

    def say(self, data: str | bytes) -> None: ...

    def pong(self, payload: bytes) -> None: ...

    def close(self, code: int | None, reason: str = "") -> None: ...


class RawService:
    """Speaks HTTP/1.1 and RFC 6455 on the stream. Reads with h11, writes by hand."""

    def __init__(self, stream: PipeEnd) -> None:
        stream.owner = self
        self.stream = stream
        self.requests = 0
        self.events: list[str] = []
        self.left = False
        self._reads = True
        self._kept = bytearray()
        self._codec: websocket.Connection | None = None
        self._has_closed = False  # an answer to its own close is nothing that a dialect passes on
        self._begin()

    def _begin(self) -> None:
        self.heard = Heard()
        self._parser = h11.Connection(h11.SERVER)
        self._is_chunked = False

    @property
    def reads(self) -> bool:
        return self._reads

    @reads.setter
    def reads(self, value: bool) -> None:
        self._reads = value
        kept, self._kept = bytes(self._kept), bytearray()
        if kept:
            self._take(kept)

    # --- the stream

    def data_received(self, data: bytes, /) -> None:
        if self._reads:
            self._take(data)
        else:
            self._kept += data

    def _take(self, data: bytes) -> None:
        self.stream.acknowledge(len(data))
        if self._codec is not None:
            told = [_shown(event) for event in self._codec.receive_data(data)]
            self.events += [event for event in told if not (self._has_closed and event.startswith("Closed"))]
            if answer := self._codec.data_to_send():
                self.stream.write(answer)
            return
        if self.heard.complete:
            self._begin()
        self._parser.receive_data(data)
        while (event := self._parser.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
            if isinstance(event, h11.Request):
                self.requests += 1
                fields = [(bytes(name), bytes(value)) for name, value in event.headers]
                self.key = dict(fields).get(b"sec-websocket-key", b"")
                self.heard = Heard(event.method.decode(), event.target.decode(), _told(fields))
            elif isinstance(event, h11.Data):
                self.heard.body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                self.heard.complete = True

    def end_received(self) -> None:
        self.events.append("end")
        self.stream.write_end()

    def stream_lost(self, error: TunnelError, /) -> None:
        self.left = True

    def stream_writable(self) -> None: ...

    # --- the script

    def pump(self) -> None: ...

    def interim(self, status: int) -> None:
        self.stream.write(b"HTTP/1.1 %d Early\r\n\r\n" % status)

    def head(self, status: int, fields: Headers | None = None) -> None:
        fields = fields or []
        names = [name for name, _ in fields]
        self._is_chunked = b"content-length" not in names and status not in (204, 304) and self.heard.method != "HEAD"
        if self._is_chunked:
            fields = [*fields, (b"transfer-encoding", b"chunked")]
        lines = b"".join(b"%b: %b\r\n" % item for item in fields)
        self.stream.write(b"HTTP/1.1 %d Said\r\n%b\r\n" % (status, lines))

    def data(self, data: bytes) -> None:
        self.stream.write(b"%x\r\n%b\r\n" % (len(data), data) if self._is_chunked else data)

    def end(self, trailers: Headers | None = None) -> None:
        if self._is_chunked:
            lines = b"".join(b"%b: %b\r\n" % item for item in trailers or [])
            self.stream.write(b"0\r\n%b\r\n" % lines)

    def vanish(self) -> None:
        self.stream.write_end()

    def accept(self, protocol: str | None = None) -> None:
        chosen = f"sec-websocket-protocol: {protocol}\r\n".encode() if protocol else b""
        self.stream.write(
            b"HTTP/1.1 101 Said\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: %b\r\n%b\r\n"
            % (websocket.accept_for(self.key), chosen)
        )
        self._codec = websocket.Connection(websocket.Role.SERVER, answers_pings=False)

    def say(self, data: str | bytes) -> None:
        assert self._codec is not None
        self.stream.write(self._codec.send_message(data))

    def pong(self, payload: bytes) -> None:
        self.stream.write(bytes((0x8A, len(payload))) + payload)

    def close(self, code: int | None, reason: str = "") -> None:
        assert self._codec is not None
        self._has_closed = True
        self.stream.write(self._codec.close(code, reason))


class AgentService:
    """The same behind an agent of `json` or `chunk`, which passes on all that its dialect can."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.requests = 0
        self.heard = Heard()
        self.events: list[str] = []
        self.left = False
        self.request_id = ""

    @property
    def reads(self) -> bool:
        return self.agent.reads

    @reads.setter
    def reads(self, value: bool) -> None:
        self.agent.reads = value

    def pump(self) -> None:
        for message in self.agent.hear():
            payload: dict[str, Any] = message.get("payload") or {}
            match message["type"]:
                case "proxy_request":
                    self._begin(message["request_id"], payload)
                case "proxy_request_chunk":
                    self.heard.body += base64.b64decode(payload["data"])
                case "proxy_request_stream_end":
                    self.heard.complete = True
                case "proxy_cancel":
                    self.left = True
                case "proxy_websocket_data":
                    self._take(base64.b64decode(payload["data"]))
                case "proxy_stream_chunk":
                    self._take(base64.b64decode(message["data"]))
                case "proxy_websocket_close" | "proxy_stream_close":
                    self.left = self.left or not any(event.startswith("Closed") for event in self.events)
                case "ping":
                    self.agent.say("pong", message["request_id"], {"timestamp": "2026-01-02T03:04:05Z"})

    def _begin(self, request_id: str, payload: dict[str, Any]) -> None:
        self.requests += 1
        self.request_id = request_id
        fields = [
            (name.lower().encode(), value.encode())
            for name, values in payload.get("headers", {}).items()
            for value in values
        ]
        query = f"?{payload['query']}" if payload.get("query") else ""
        body = bytearray(base64.b64decode(payload.get("body", "")))
        self.heard = Heard(
            payload["method"], payload["path"] + query, _told(fields), body, not payload.get("streaming", False)
        )

    def _take(self, encoded_message: bytes) -> None:
        kind, payload = decode_websocket_message(encoded_message)
        self.events.append(_message(kind, payload))
        if kind == websocket.Opcode.CLOSE and self.agent.carrier.dialect == "chunk":
            self._send(kind, payload)  # its service answers; of `json` agents nobody expects that

    # --- the script

    def interim(self, status: int) -> None: ...

    def head(self, status: int, fields: Headers | None = None) -> None:
        named: dict[str, list[str]] = {}
        for name, value in fields or []:
            named.setdefault(name.decode(), []).append(value.decode())
        self.agent.say("proxy_response_header", self.request_id, {"status": status, "headers": named})

    def data(self, data: bytes) -> None:
        self.agent.chunk(self.request_id, data)

    def end(self, trailers: Headers | None = None) -> None:
        self.agent.end(self.request_id)

    def vanish(self) -> None:
        self.agent.abort(self.request_id, "service request failed: unexpected EOF")

    def accept(self, protocol: str | None = None) -> None:
        more = {"Sec-WebSocket-Protocol": [protocol]} if protocol else {}
        self.agent.switch(self.request_id, **more)

    def say(self, data: str | bytes) -> None:
        kind = websocket.Opcode.TEXT if isinstance(data, str) else websocket.Opcode.BINARY
        self._send(int(kind), data.encode() if isinstance(data, str) else data)

    def pong(self, payload: bytes) -> None:
        self._send(0x0A, payload)

    def close(self, code: int | None, reason: str = "") -> None:
        self._send(0x08, close_payload(code, reason))

    def _send(self, kind: int, payload: bytes) -> None:
        message = encode_websocket_message(kind, payload)
        if self.agent.carrier.dialect == "json":
            self.agent.websocket_data(self.request_id, message)
        else:
            self.agent.say("proxy_stream_chunk", self.request_id, data=encoded(message), direction="from_agent")


def _told(fields: Headers) -> list[tuple[str, str]]:
    said = [(name.decode().lower(), value.decode()) for name, value in fields if name.lower() not in _FRAMING]
    return sorted((name, value) for name, value in said if not name.startswith(_HOP) or name.endswith("protocol"))


def _message(kind: int, payload: bytes) -> str:
    match kind:
        case websocket.Opcode.TEXT:
            return _shown(websocket.Message(payload.decode()))
        case websocket.Opcode.BINARY:
            return _shown(websocket.Message(payload))
        case websocket.Opcode.PING:
            return _shown(websocket.Ping(payload))
        case websocket.Opcode.PONG:
            return _shown(websocket.Pong(payload))
    code = int.from_bytes(payload[:2]) if payload else 1005
    return _shown(websocket.Closed(code, payload[2:].decode()))


def _shown(event: websocket.Event) -> str:
    """An event in words; long messages by their length."""
    if isinstance(event, websocket.Message) and len(event.data) > 100:
        return f"Message of {len(event.data)}"
    return repr(event)
