"""Exchanges over a peer link: the asking node, the owner, and the service at the far end of the owner's link."""

import asyncio

import pytest

from app.cluster.peer.preamble import Preamble
from tests.app.cluster.peer.hop import OK, TARGET, Hop
from tests.fakes.loop import dialogue
from tunnel.errors import (
    LinkBusyError,
    LinkLostError,
    NodeBusyError,
    NodeDrainingError,
    NotHereError,
    ServiceUnreachableError,
    TunnelError,
)
from tunnel.port import Target


@dialogue
async def test_an_exchange():
    hop = Hop()
    _, sink = hop.ask(fields=[(b"X-Request-ID", b"req-7")])
    await hop.run()
    assert hop.wanted == [Preamble("c1", "apps", "web", 8080, agent_id="a1", request_id="req-7")]
    _, stream = hop.line.stream()
    assert str(stream.header) == "apps/web:8080"
    assert stream.data == b"GET / HTTP/1.1\r\nHost: a.test\r\nX-Request-ID: req-7\r\n\r\n"
    assert hop.line.link.active == 1
    hop.answer(OK)
    await hop.run()
    assert (sink.statuses, sink.body, sink.outcome) == ([200], b"ok", "end")
    assert hop.answers() == ["through"]
    assert hop.asking.counts.exchanges == 1
    await hop.end()


@dialogue
async def test_the_preamble_and_the_head_leave_in_one_frame():
    hop = Hop()
    await hop.run()
    before = hop.near.sent_bytes
    hop.ask()
    batches: list[int] = []
    write = hop.near.write
    hop.near.write = lambda data: (batches.append(len(data)), write(data))[1]  # type: ignore[method-assign]
    await hop.run()
    assert len(batches) == 1
    assert hop.near.sent_bytes - before == batches[0]
    await hop.end()


@dialogue
async def test_what_an_upstream_tells():
    hop = Hop()
    upstream = hop.upstream()
    assert (upstream.label, upstream.node, upstream.agent_id, upstream.dialect) == (
        "node-owner",
        "owner",
        "a1",
        "yamux",
    )
    assert upstream.passes_bytes
    assert upstream.upgrade_allowance == 0.0
    assert hop.asking.upstream(TARGET, agent_id="a1", dialect="json").upgrade_allowance > 0
    assert hop.upstream() is upstream
    assert repr(upstream) == "<PeerUpstream c1/apps/web:8080: 0 busy, 0 idle>"
    await hop.end()


@dialogue
async def test_streams_are_pooled_and_the_second_request_has_no_preamble():
    hop = Hop()
    for _ in range(3):
        _, sink = hop.ask()
        await hop.run()
        hop.answer(OK)
        await hop.run()
        assert sink.outcome == "end"
    assert len(hop.line.peer.streams) == 1
    assert len(hop.wanted) == 1
    assert repr(hop.upstream()) == "<PeerUpstream c1/apps/web:8080: 0 busy, 1 idle>"
    await hop.end()


@dialogue
async def test_idle_streams_expire_and_their_upstreams_too():
    hop = Hop()
    hop.ask()
    await hop.run()
    hop.answer(OK)
    await hop.run()
    for _ in range(8):
        await _pass(hop, 1.0)
    assert hop.session.stream_count == hop.owner.stream_count == 0
    assert hop.line.link.active == 0
    assert repr(hop.asking) == "<Asking owner, 0 active, 0 upstreams>"
    await hop.end()


async def _pass(hop: Hop, seconds: float) -> None:

    await asyncio.sleep(seconds)
    await hop.run()


@dialogue
async def test_a_second_attempt_says_so():
    hop = Hop()
    hop.ask(b"POST", fresh=True)
    await hop.run()
    assert hop.wanted[0].fresh
    await hop.end()


REFUSALS: list[tuple[TunnelError, type[TunnelError], bool]] = [
    (NotHereError("gone"), NotHereError, True),
    (LinkLostError("gone"), NotHereError, True),
    (NodeDrainingError("soon"), NodeDrainingError, True),
    (NodeBusyError("full"), NodeBusyError, True),
    (LinkBusyError("full"), NodeBusyError, True),
    (ServiceUnreachableError("no words"), ServiceUnreachableError, False),
]


@pytest.mark.parametrize(("error", "expected", "retryable"), REFUSALS, ids=[type(row[0]).__name__ for row in REFUSALS])
@pytest.mark.parametrize("to", [TARGET, Target("c1", "apps", "web", 443, scheme="https", verify=False)], ids=str)
@dialogue
async def test_an_owner_that_does_not_take_it(
    error: TunnelError, expected: type[TunnelError], retryable: bool, to: Target
):
    hop = Hop()
    hop.way = error
    exchange, sink = hop.ask(b"POST", length=10, to=to)
    exchange.send_data(b"0123456789")
    await hop.run()
    assert type(sink.error) is expected
    assert sink.error.retryable is retryable
    assert not hop.line.peer.streams
    assert hop.serving.refused == hop.serving.opened == 1
    counted = {NotHereError: "not_here", NodeDrainingError: "draining", NodeBusyError: "busy"}
    assert hop.answers() == [counted.get(expected, "refused")]
    assert hop.session.stream_count == hop.owner.stream_count == 0
    await hop.end()


@dialogue
async def test_a_link_without_room_is_busy():
    hop = Hop()
    hop.line.link.carrier.retire()
    _, sink = hop.ask(b"POST")
    await hop.run()
    assert isinstance(sink.error, NotHereError)
    await hop.end()


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("refused", "ServiceRefusedError"), ("not_allowed", "ServiceNotAllowedError"),
        ("no_such_name", "NoSuchServiceError"), ("slow", "ServiceSlowError"), ("", "ServiceUnreachableError"),
        ("of the next version", "ServiceUnreachableError"),
    ],
)  # fmt: skip
@dialogue
async def test_an_agent_that_has_no_connection_is_a_refusal_with_its_reason(kind: str, expected: str):
    hop = Hop()
    _, sink = hop.ask()
    await hop.run()
    stream_id, _ = hop.line.stream()
    hop.line.say("stream_refused", {"stream_id": stream_id, "reason": "it is so", "kind": kind})
    await hop.run()
    assert sink.outcome == expected
    assert "it is so" in str(sink.error)
    assert hop.serving.refused == 1
    await hop.end()


@dialogue
async def test_an_agent_that_says_so_after_the_answer_is_still_understood():
    hop = Hop()
    exchange, sink = hop.ask(b"POST", length=200_000)
    exchange.send_data(bytes(200_000))
    await hop.run()
    stream_id, _ = hop.line.stream()
    hop.line.say("stream_refused", {"stream_id": stream_id, "reason": "it is so", "kind": "refused"})
    await hop.run()
    assert sink.outcome == "ServiceRefusedError"
    assert hop.serving.refused == 0
    await hop.end()


@dialogue
async def test_a_short_request_waits_for_no_answer():
    """The owner holds its answer until the service says something: one frame less, and refusals stay refusals."""
    hop = Hop()
    hop.ask()
    await hop.run()
    before = hop.far.sent_bytes
    await hop.run()
    assert hop.far.sent_bytes == before
    [splice] = hop.serving.running
    assert not splice.is_answered
    assert repr(splice) == "<Splice c1/apps/web:8080 of node asker, 32 bytes in, 0 out>"
    await hop.end()


@dialogue
async def test_half_close_arrives_at_the_far_end_and_the_other_direction_goes_on():
    hop = Hop()
    exchange, sink = hop.ask(upgrade=True, fields=[(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade")])
    await hop.run()
    hop.answer(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
    await hop.run()
    assert sink.statuses == [101]
    exchange.send_data(b"up")
    exchange.end()
    await hop.run()
    _, stream = hop.line.stream()
    assert stream.data.endswith(b"up")
    assert stream.ended
    assert sink.outcome == "open"
    hop.answer(b"down", end=True)
    await hop.run()
    assert (sink.body, sink.outcome) == (b"down", "end")
    assert hop.session.stream_count == hop.owner.stream_count == 0
    await hop.end()


@dialogue
async def test_a_service_that_ends_first():
    hop = Hop()
    exchange, sink = hop.ask(upgrade=True)
    await hop.run()
    hop.answer(b"HTTP/1.1 101 Switching Protocols\r\n\r\ndown", end=True)
    await hop.run()
    assert (sink.body, sink.outcome) == (b"down", "end")
    exchange.send_data(b"late")
    exchange.end()
    await hop.run()
    assert hop.line.stream()[1].data.endswith(b"late")
    assert hop.line.stream()[1].ended
    await hop.end()


@dialogue
async def test_a_service_that_ends_without_a_byte():
    hop = Hop()
    _, sink = hop.ask()
    await hop.run()
    hop.answer(b"", end=True)
    await hop.run()
    assert sink.outcome == "ServiceUnreachableError"
    assert "without a byte" in str(sink.error)
    assert sink.error is not None
    assert sink.error.retryable
    await hop.end()


@dialogue
async def test_a_reset_of_the_client_arrives_at_the_service():
    hop = Hop()
    exchange, _ = hop.ask()
    await hop.run()
    exchange.reset()
    await hop.run()
    assert hop.line.stream()[1].was_reset
    assert hop.session.stream_count == hop.owner.stream_count == 0
    await hop.end()


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"])
@dialogue
async def test_a_reset_of_the_service_arrives_after_all_that_it_had_sent(begun: bytes):
    hop = Hop()
    _, sink = hop.ask()
    await hop.run()
    stream_id, _ = hop.line.stream()
    hop.answer(begun)
    hop.line.deliver()
    hop.line.peer.session.reset_stream(stream_id)
    await hop.run()
    assert sink.outcome == "StreamRefusedError"
    assert sink.error is not None
    assert sink.error.retryable is not bool(begun)
    assert sink.body == begun[-3:]
    await hop.end()


@dialogue
async def test_a_lost_agent_is_told_from_a_service_that_broke_off():
    """So that WebSockets are closed with 1012, as on the node that has the agent."""
    hop = Hop()
    _, sink = hop.ask(upgrade=True)
    _, other = hop.ask()
    await hop.run()
    hop.answer(b"HTTP/1.1 101 Switching Protocols\r\n\r\n", 0)
    await hop.run()
    hop.line.link.lost("the agent is gone")
    await hop.run()
    assert (sink.outcome, other.outcome) == ("LinkLostError", "LinkLostError")
    hop.line.link.carrier.active = 0
    await hop.end()


@dialogue
async def test_the_peer_link_is_lost():
    hop = Hop()
    _, sink = hop.ask()
    await hop.run()
    hop.near.lose()
    await hop.run()
    assert sink.outcome == "LinkLostError"
    assert hop.line.stream()[1].was_reset
    with pytest.raises(LinkLostError, match="no link to node owner"):
        hop.upstream()
    assert hop.asking.is_lost
    assert (hop.account.held_bytes, hop.owner_account.held_bytes) == (0, 0)


@dialogue
async def test_a_client_gone_while_the_answer_is_on_its_way():
    hop = Hop()
    exchange, sink = hop.ask()
    await hop.run()
    hop.answer(OK)
    hop.line.deliver()
    exchange.reset()
    await hop.run()
    assert sink.calls == []
    await hop.end()


@dialogue
async def test_json_and_tls_do_not_mix():
    hop = Hop()
    secure = Target("c1", "apps", "web", 443, scheme="https", verify=False)
    with pytest.raises(TunnelError, match="do not verify"):
        hop.ask(to=Target("c1", "apps", "web", 443, scheme="https"), dialect="json")
    _, sink = hop.ask(to=secure, dialect="json")
    await hop.run()
    assert hop.wanted[0].http
    assert hop.wanted[0].agent_tls
    assert isinstance(sink.error, NotHereError)  # the link speaks yamux by now: look again
    await hop.end()
