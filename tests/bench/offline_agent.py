"""Our agent in one process without sockets: `python -m tests.bench.offline_agent ROW COUNT`.

The command line, the link, picows and the connections to services are the product's; only the loop is replaced, as in
`tests/bench/offline.py`. The gateway and the services stand on fake transports. Each message of the gateway has as
many requests as the row says, each on a stream of its own that is kept, and the next follows when all are answered.
The link's WebSocket counts as one over TLS: picows would write to the socket of a plain one by itself.

Deterministic, so that instructions can be counted (`tests/bench/instructions.py`). Ends with status 0 only if the
gateway got COUNT right answers, over the streams of the row.
"""

import asyncio
import base64
import gc
import hashlib
import json
import re
import socket
import sys
from collections.abc import Callable
from typing import Any

from websockets.speedups import apply_mask

from tests.bench.offline import WARM_UP, StillLoop, Transport, frame

ROWS = {"agent, 1 at a time": 1, "agent, 5 at a time": 5}
"""How many requests come in one message. With 50 connections about 5 answers leave together."""

_GATEWAY_PORT = 8080
_REQUEST = (
    b"GET /small?n=1 HTTP/1.1\r\nhost: app.example.test\r\naccept: */*\r\nuser-agent: bench/1.0\r\n"
    b"x-forwarded-for: 203.0.113.9\r\nx-forwarded-proto: http\r\nx-forwarded-host: app.example.test\r\n"
    b"forwarded: for=203.0.113.9;host=app.example.test;proto=http\r\n\r\n"
)
_ANSWER = b"HTTP/1.1 200 OK\r\nX-Service: plain\r\nX-Connection: 1\r\nContent-Length: 7\r\n\r\nsmall 1"

_DATA, _WINDOW_UPDATE = 0, 1
_SYN, _ACK = 1, 2
_GRANTED_BYTES = 1 << 30
"""Credit for every answer of a run at once."""
_CLOSE, _TEXT, _BINARY = 8, 1, 2


def message(opcode: int, payload: bytes) -> bytes:
    """One whole WebSocket frame of a server."""
    size = len(payload)
    length = bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2, "big")
    return bytes([0x80 | opcode]) + length + payload


def envelope(kind: str, payload: dict[str, Any], request_id: str | None = None) -> bytes:
    """A control message in its frame."""
    return message(_TEXT, json.dumps({"type": kind, "request_id": request_id, "payload": payload}).encode())


def requests(streams: range) -> bytes:
    """One message with a request on each of these streams."""
    return message(_BINARY, b"".join(frame(_DATA, 0, stream, len(_REQUEST)) + _REQUEST for stream in streams))


class _Socket:
    """What picows and the agent ask of a socket."""

    family = socket.AF_INET

    def fileno(self) -> int:
        return -1

    def setsockopt(self, *option: object) -> None: ...

    def getsockopt(self, *option: object) -> int:
        return 1


class Wire(Transport):
    """A connection of the agent."""

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: Any) -> None:
        super().__init__(loop, {"socket": _Socket(), "ssl_object": self})
        self.protocol = protocol


class Service(Wire):
    """Answers each request with the same bytes, in a turn of the loop of its own."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if data != _REQUEST:
            raise AssertionError(f"not the request: {bytes(data)!r}")
        self._loop.call_soon(self.protocol.data_received, _ANSWER)


class Gateway(Wire):
    """Takes the agent, opens the streams, asks, and asks again when it is answered."""

    def __init__(self, loop: "AgentLoop", protocol: Any) -> None:
        super().__init__(loop, protocol)
        self.answers = 0
        self._asked = 0
        self._streams = range(2, 2 * loop.together + 2, 2)
        self._requests = requests(self._streams)
        self._take: Callable[[bytes], None] = self._handshake
        self._left = loop.count
        self._end = loop.end

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._take(bytes(data))

    def feed(self, data: bytes) -> None:
        """Our bytes arrive, as a socket's do: in a turn of the loop of their own."""
        self._loop.call_soon(self._arrive, data)

    def _arrive(self, data: bytes) -> None:
        self.protocol.get_buffer(-1)[: len(data)] = data
        self.protocol.buffer_updated(len(data))

    def _handshake(self, data: bytes) -> None:
        key = re.search(rb"(?i)sec-websocket-key: *(\S+)", data)[1]  # type: ignore[index]
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        self._take = self._registration
        head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        self.feed(head + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")

    def _registration(self, data: bytes) -> None:
        request_id = json.loads(_payload(data))["request_id"]
        self._take = self._acknowledgement
        self.feed(envelope("register_success", {"cluster_id": "c1"}, request_id))
        self.feed(envelope("gateway_hello", {"use_yamux": True}))

    def _acknowledgement(self, data: bytes) -> None:
        self._take = self._answered
        header = b"\x01\x01\x00\x50\x00\x03web\x00\x04apps\x00\x00"
        self.feed(
            message(
                _BINARY,
                b"".join(
                    frame(_WINDOW_UPDATE, _SYN, stream, _GRANTED_BYTES) + frame(_DATA, 0, stream, len(header)) + header
                    for stream in self._streams
                ),
            )
        )
        self._ask()

    def _ask(self) -> None:
        if self._left <= 0:
            self._take = self._closed_by_agent
            self._end()
            return
        together = min(self._left, len(self._streams))
        self._left -= together
        self._asked += together
        self.feed(self._requests if together == len(self._streams) else requests(self._streams[:together]))

    def _answered(self, data: bytes) -> None:
        self.answers += _payload(data).count(_ANSWER)
        if self.answers == self._asked:
            if self.answers == WARM_UP:
                gc.collect()  # a full collection costs as much as many requests: the next one is far off now
            self._ask()

    def _closed_by_agent(self, data: bytes) -> None:
        if data[0] & 0x0F == _CLOSE:
            self.close()


def _payload(data: bytes) -> bytes:
    """Of one whole frame of a client."""
    start = 8 if data[1] & 0x7F == 126 else 6
    return apply_mask(data[start:], data[start - 4 : start])


class AgentLoop(StillLoop):
    """Connects to the far ends of this file."""

    together: int
    count: int

    def __init__(self) -> None:
        super().__init__()
        self.gateway: Gateway | None = None
        self.services: list[Service] = []
        self._stop: Callable[[], None]

    def add_signal_handler(self, sig: int, callback: Callable[..., object], *args: Any) -> None:
        self._stop = callback  # type: ignore[assignment]

    def end(self) -> None:
        """As two signals do: nothing is waited for."""
        self._stop()
        self.call_soon(self._stop)

    async def create_connection(  # type: ignore[override]
        self, protocol_factory: Callable[[], Any], host: str, port: int, **options: Any
    ) -> tuple[asyncio.Transport, Any]:
        protocol = protocol_factory()
        wire: Wire
        if port == _GATEWAY_PORT:
            wire = self.gateway = Gateway(self, protocol)
        else:
            wire = Service(self, protocol)
            self.services.append(wire)
        protocol.connection_made(wire)
        return wire, protocol


def main(row: str, count: int) -> None:
    """Run the agent's own entrance with a loop that has no sockets."""
    import picows.api

    from tunnel.agent import __main__ as agent
    from tunnel.agent import program

    picows.api._HAS_AIOFASTNET = False  # then it connects with our loop
    loops: list[AgentLoop] = []

    def loop() -> AgentLoop:
        AgentLoop.together, AgentLoop.count = ROWS[row], count
        loops.append(AgentLoop())
        return loops[0]

    program._loop_factory = lambda: loop  # type: ignore[assignment, return-value]
    sys.argv[1:] = [
        *("--gateway", f"ws://127.0.0.1:{_GATEWAY_PORT}/agent", "--token", "offline", "--cluster", "c1"),
        *("--service", "web.apps:80=127.0.0.1:1", "--log-level", "info"),
    ]
    try:
        agent.main()
    except SystemExit as end:
        if end.code:
            raise
    gateway = loops[0].gateway
    answers = 0 if gateway is None else gateway.answers
    if answers != count or len(loops[0].services) != ROWS[row]:
        raise AssertionError(f"{answers} right answers of {count}, over {len(loops[0].services)} connections")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
