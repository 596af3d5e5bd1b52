"""Hops to an agent whose link carries no bytes: real sessions, the bare door at the owner, and the agent's messages."""

import asyncio
from collections.abc import Callable

import pytest

from app.cluster.peer.serving import Answer, Bare, BreakOff
from app.server.bare.door import BareDoor
from tests.app.cluster.peer.hop import Hop, whole
from tests.app.server.bare.hop import Telling
from tests.app.server.bare.services import AgentService
from tests.fakes.loop import quiet
from tests.fakes.sink import FakeSink
from tests.tunnel.gateway.proxied.agent import HANDSHAKE, TARGET, Stage, conversation
from tunnel import websocket
from tunnel.errors import (
    BadAnswerError,
    EndedForRoomError,
    LinkLostError,
    MessageTooLargeError,
    NotReadError,
    RequestRefusedError,
    ServiceBrokeOffError,
    ServiceUnreachableError,
    StoppingError,
    TooSlowError,
    TunnelError,
)
from tunnel.port import Exchange, Headers, RequestHead, Upstream
from tunnel.streams import ByteStream

LONG = bytes(range(256)) * 4 * 1024
DIALECTS = pytest.mark.parametrize("dialect", ["json", "chunk"])


def by_bytes(size: int) -> Callable[[bytes], list[bytes]]:
    return lambda data: [data[at : at + size] for at in range(0, len(data), size)]


class BareHop:
    """Two nodes, and an agent of the second one. `service` is behind it."""

    def __init__(self, stage: Stage, dialect: str, cut: Callable[[bytes], list[bytes]] = whole) -> None:
        self.hop = Hop(cut=cut)
        self.dialect = dialect
        self.agent = stage.agent(dialect, **({"pings": True, "orderly": True} if dialect == "json" else {}))
        self.service = AgentService(self.agent)
        self.upstream: Upstream = self.agent.carrier.upstream(TARGET)
        self.door = BareDoor(self.hop.owner_account, asyncio.get_running_loop())
        self.hop.way = Bare(self._attach, "a1", dialect)

    def _attach(self, stream: ByteStream, early: bytes, answer: Answer, break_off: BreakOff) -> None:
        self.door.attach(stream, self.upstream, answer, peer="asker", early=early, break_off=break_off)

    def ask(
        self, method: bytes = b"GET", path: bytes = b"/", *, fields: Headers | None = None, length: int | None = 0
    ) -> tuple[Exchange, FakeSink]:
        return self.hop.ask(method, path=path, fields=fields, length=length, dialect=self.dialect)

    async def run(self) -> None:
        for _ in range(6):
            await self.hop.run()
            await quiet()
            self.service.pump()

    def answer(self, body: bytes = b"ok") -> None:
        self.service.head(200, [(b"content-length", b"%d" % len(body))])
        self.service.data(body)
        self.service.end()

    async def end(self) -> None:
        await self.hop.end()
        assert not self.door.connections


@DIALECTS
@pytest.mark.parametrize("size", [0, 1, 100])
@conversation
async def test_requests_on_one_stream(stage: Stage, dialect: str, size: int):
    bare = BareHop(stage, dialect, by_bytes(size) if size else whole)
    for number in range(3):
        exchange, sink = bare.ask(b"POST", b"/a?b=%d" % number, fields=[(b"Content-Length", b"5")], length=5)
        exchange.send_data(b"hello")
        await bare.run()
        assert (bare.service.heard.target, bare.service.heard.body) == (f"/a?b={number}", b"hello")
        bare.answer()
        await bare.run()
        assert (sink.statuses, sink.body, sink.outcome) == ([200], b"ok", "end")
        bare.ask()
        await bare.run()
        bare.answer()
        await bare.run()
    assert bare.hop.serving.refused == 0
    assert bare.hop.serving.opened < 6, "streams are used again"
    await bare.end()


@DIALECTS
@conversation
async def test_long_ones_both_ways(stage: Stage, dialect: str):
    bare = BareHop(stage, dialect)
    exchange, sink = bare.ask(b"PUT", length=None)
    for _ in range(6):
        drained = sink.calls.count("writable")
        if not exchange.send_data(LONG):
            while sink.calls.count("writable") == drained:
                await bare.run()
    exchange.end()
    await bare.run()
    assert bare.service.heard.body == LONG * 6
    bare.service.head(200)
    for at in range(0, len(LONG), 30_000):
        bare.service.data(LONG[at : at + 30_000])
        await bare.run()
    bare.service.end()
    await bare.run()
    assert (sink.body, sink.outcome) == (LONG, "end")
    await bare.end()


@DIALECTS
@conversation
async def test_a_refusal_names_its_reason(stage: Stage, dialect: str):
    bare = BareHop(stage, dialect)
    _, sink = bare.ask(path=b"/a%2Fb")
    await bare.run()
    assert sink.outcome == "RequestRefusedError"
    assert "encoded slash" in str(sink.error)
    assert (bare.hop.serving.refused, bare.service.requests) == (1, 0)
    await bare.end()


@DIALECTS
@conversation
async def test_a_lost_link_sends_the_asking_node_elsewhere(stage: Stage, dialect: str):
    bare = BareHop(stage, dialect)
    bare.agent.lose()
    _, sink = bare.ask(b"POST")
    await bare.run()
    assert sink.outcome == "NotHereError"
    await bare.end()


@DIALECTS
@conversation
async def test_a_head_that_is_longer_than_what_goes_ahead(stage: Stage, dialect: str):
    bare = BareHop(stage, dialect)
    _, sink = bare.ask(fields=[(b"X-Long", b"x" * 60_000), (b"X-Longer", b"y" * 60_000)])
    await bare.run()
    assert ("x-longer", "y" * 60_000) in bare.service.heard.fields
    bare.answer()
    await bare.run()
    assert sink.outcome == "end"
    await bare.end()


@DIALECTS
@conversation
async def test_a_broken_answer_keeps_what_came_and_says_why(stage: Stage, dialect: str):
    bare = BareHop(stage, dialect)
    _, sink = bare.ask()
    await bare.run()
    bare.service.head(200, [(b"content-length", b"10")])
    bare.service.data(b"hello")
    bare.service.vanish()
    await bare.run()
    assert (sink.statuses, sink.body, sink.outcome) == ([200], b"hello", "ServiceBrokeOffError")
    await bare.end()


@DIALECTS
@conversation
async def test_an_asking_node_that_gives_up_ends_the_exchange(stage: Stage, dialect: str):
    bare = BareHop(stage, dialect)
    exchange, _ = bare.ask()
    await bare.run()
    exchange.reset()
    await bare.run()
    assert bare.service.left
    await bare.end()


@DIALECTS
@conversation
async def test_a_websocket_and_its_link_that_is_lost(stage: Stage, dialect: str):
    bare = BareHop(stage, dialect)
    sink = FakeSink()
    codec = websocket.Connection(websocket.Role.CLIENT)
    head = RequestHead(b"GET", b"/ws", list(HANDSHAKE), 0, upgrade=True)
    exchange = bare.hop.upstream(dialect=dialect).open(head, sink)
    await bare.run()
    bare.service.accept("chat.v2")
    await bare.run()
    assert sink.statuses == [101]
    for data in ("héllo", b"x" * 400_000):
        exchange.send_data(codec.send_message(data))
        for _ in range(3):
            await bare.run()
        bare.service.say(data)
        for _ in range(3):
            await bare.run()
    assert bare.service.events == ["Message(data='héllo')", "Message of 400000"]
    heard = [event for piece in sink.pieces for event in codec.receive_data(piece)]
    assert heard == [websocket.Message("héllo"), websocket.Message(b"x" * 400_000)]
    bare.agent.lose()
    await bare.run()
    assert sink.outcome == "LinkLostError", "the client is told 1012"
    await bare.end()


@pytest.mark.parametrize(
    "kind",
    [BadAnswerError, EndedForRoomError, LinkLostError, MessageTooLargeError, NotReadError, RequestRefusedError,
     ServiceBrokeOffError, ServiceUnreachableError, StoppingError, TooSlowError],
)  # fmt: skip
@pytest.mark.parametrize("answered", [False, True])
@conversation
async def test_what_an_exchange_fails_with_reaches_the_asking_node(
    stage: Stage, kind: type[TunnelError], answered: bool
):
    bare = BareHop(stage, "json")
    upstream = Telling()
    bare.upstream = upstream
    _, sink = bare.ask()
    await bare.hop.run()
    if answered:
        upstream.exchange.answer(200)
        upstream.exchange.bring(b"some")
    upstream.exchange.fail(kind("of the test"))
    await bare.hop.run()
    assert type(sink.error) is kind
    assert sink.body == (b"some" if answered else b"")
    await bare.end()
