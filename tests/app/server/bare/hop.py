"""One stream between two nodes: the asking node's HTTP/1.1 on the near end, and at the far end a service, one of two
ways: on the stream itself, as behind a yamux link, or behind a `BareDoor` and an agent of another dialect.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import pytest

from app.server.bare.door import BareDoor
from tests.app.server.bare.services import AgentService, RawService, Service
from tests.fakes.connections import Callbacks
from tests.fakes.exchange import FakeExchange
from tests.fakes.loop import quiet
from tests.fakes.pipe import PipeEnd
from tests.fakes.sink import FakeSink
from tests.tunnel.gateway.proxied.agent import HANDSHAKE, KEY, TARGET, Agent, Stage
from tunnel import websocket
from tunnel.errors import TunnelError
from tunnel.gateway.proxied.disk import Disk
from tunnel.http1 import HttpConnection
from tunnel.port import Exchange, Headers, RequestHead, Sink, Upstream

RAW, JSON, CHUNK = "raw", "json", "chunk"
BOTH = pytest.mark.parametrize("kind", [JSON, CHUNK])
GET = b"GET / HTTP/1.1\r\nhost: h\r\n\r\n"
FIELDS: Headers = [
    (b"host", b"a.test"), (b"x-forwarded-for", b"203.0.113.9"), (b"x-request-id", b"r-1"), (b"cookie", b"a=1; b=2"),
    (b"x-two", b"1"), (b"x-two", b"2"),
]  # fmt: skip
UPGRADE = GET[:-2] + b"upgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-key: %b\r\n\r\n" % KEY


class AtOnce(Executor):
    """No thread: what answers wait for is on the disk at once."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


class Hop:
    """See the module. `answers`: what the asking node was answered, by the door."""

    def __init__(
        self, stage: Stage, kind: str, *, upstream: Upstream | None = None, fresh: bool = False, **options: bool
    ) -> None:
        loop = asyncio.get_running_loop()
        self.stage = stage
        self.near, self.far = PipeEnd.pair(stage.account)
        self.fates: list[str] = []
        self.answers: list[TunnelError | None] = []
        self.connection = HttpConnection(
            self.near,
            clock=loop.time,
            owner=Callbacks(
                on_idle=lambda _: self.fates.append("idle"), on_closed=lambda _: self.fates.append("closed")
            ),
        )
        self.door: BareDoor | None = None
        self.agent: Agent | None = None
        self.service: Service
        if kind == RAW:
            self.service = RawService(self.far)
            return
        pings = {"pings": True, "orderly": True} if kind == JSON else {}
        stage.shared.disk = Disk(1024 * 1024 * 1024, executor=AtOnce())
        self.agent = stage.agent(kind, **{**pings, **options})
        self.service = AgentService(self.agent)
        self.door = BareDoor(stage.account, loop)
        self.door.attach(
            self.far, upstream or self.agent.carrier.upstream(TARGET), self._answer,
            peer="n1", fresh=fresh, break_off=self.far.break_off,
        )  # fmt: skip

    def _answer(self, error: TunnelError | None) -> None:
        assert self.far.written == b"", "before all else"
        assert not self.answers
        self.answers.append(error)

    def ask(
        self, method: bytes = b"GET", target: bytes = b"/a?b=1", fields: Headers | None = None,
        *, length: int | None = 0,
    ) -> tuple[Exchange, FakeSink]:  # fmt: skip
        sink = FakeSink()
        head = RequestHead(method, target, list(FIELDS if fields is None else fields), length)
        return self.connection.open(head, sink), sink

    async def settle(self) -> None:
        """All that can happen has happened, and the service has heard it."""
        for _ in range(4):
            await quiet()
            self.service.pump()

    async def upload(self, exchange: Exchange, sink: FakeSink, *pieces: bytes, length: int | None) -> None:
        """Send a body as a client does that waits while it is told to."""
        for piece in pieces:
            drained = sink.calls.count("writable")
            if not exchange.send_data(piece):
                for _ in range(200):
                    await self.settle()
                    if sink.calls.count("writable") > drained:
                        break
                else:
                    raise AssertionError("the body is not taken")
        if length is None:
            exchange.end()
        await self.settle()

    async def end(self) -> None:
        """The asking node lets go of the stream; nothing of it is left at the owner."""
        if not self.near.is_over:
            self.near.reset()
        await self.settle()
        assert self.far.is_over
        if self.door is not None:
            assert not self.door.connections
            assert not len(self.door.deadlines)
            assert not len(self.door.backlog)


class Socket:
    """The asking node's end of one WebSocket."""

    def __init__(self, hop: Hop, fields: Headers | None = None) -> None:
        self.hop = hop
        self.sink = FakeSink()
        self.codec = websocket.Connection(websocket.Role.CLIENT)
        head = RequestHead(b"GET", b"/ws?room=1", list(HANDSHAKE if fields is None else fields), 0, upgrade=True)
        self.exchange = hop.connection.open(head, self.sink)
        self._read = 0

    def send(self, data: str | bytes) -> bool:
        return self.exchange.send_data(self.codec.send_message(data))

    def heard(self) -> list[str]:
        """What came since the last time."""
        pieces = self.sink.pieces[self._read :]
        self._read = len(self.sink.pieces)
        events = [event for piece in pieces for event in self.codec.receive_data(piece)]
        return [
            f"Message of {len(event.data)}"
            if isinstance(event, websocket.Message) and len(event.data) > 100
            else repr(event)
            for event in events
        ]


class Writer:
    """An asking node that writes bytes by hand."""

    def __init__(self) -> None:
        self.data = b""
        self.ended = False

    def data_received(self, data: bytes, /) -> None:
        self.data += data

    def end_received(self) -> None:
        self.ended = True

    def stream_lost(self, error: TunnelError, /) -> None: ...

    def stream_writable(self) -> None: ...


class Telling(Upstream):
    """An upstream that the test plays: its exchanges tell what the dialects of today cannot."""

    label, agent_id, dialect, passes_bytes, upgrade_allowance, node = "link-7", None, "own", False, 0.0, ""
    exchange: FakeExchange
    fresh: bool

    def open(self, head: RequestHead, sink: Sink, fresh: bool = False, /) -> FakeExchange:
        self.exchange = FakeExchange(head, sink, fresh=fresh)
        return self.exchange


def ok(hop: Hop, body: bytes = b"ok") -> None:
    hop.service.head(200, [(b"content-length", b"%d" % len(body))])
    hop.service.data(body)
    hop.service.end()
