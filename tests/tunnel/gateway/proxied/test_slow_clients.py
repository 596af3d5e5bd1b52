"""Answers that come faster than their client reads: counted, spooled, bounded, and given back."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.fakes.loop import quiet
from tests.tunnel.gateway.proxied.agent import Stage, asked, conversation, encoded, open_websocket, opened
from tests.tunnel.gateway.proxied.spooling import FaultyDisk, HandExecutor
from tunnel.gateway.proxied.http import COLLECTED_BYTES
from tunnel.gateway.proxied.lanes import HIGH_BYTES
from tunnel.port import Exchange
from tunnel.websocket import Message


@contextmanager
def disk_of(stage: Stage, limit_bytes: int = 100_000_000) -> Iterator[HandExecutor]:
    """A disk whose threads work only when told to."""
    hand = HandExecutor()
    stage.shared.disk = FaultyDisk(limit_bytes, hand)
    yield hand
    while hand.jobs:
        hand.step()


async def settled(hand: HandExecutor) -> None:
    for _ in range(50):
        await quiet()
        while hand.jobs:
            hand.step()
            await asyncio.sleep(0)


@conversation
@pytest.mark.parametrize("whole", [True, False])
async def test_a_large_answer_for_a_client_that_waits(stage: Stage, whole: bool):
    body = bytes(range(256)) * 12_000
    with disk_of(stage) as hand:
        agent = stage.agent()
        request_id, exchange, sink = await asked(agent)
        sink.on_call = lambda name: exchange.pause() if name == "data" else None
        if whole:
            agent.say("proxy_response", request_id, {"status": 200, "body": encoded(body), "encoding": "base64"})
        else:
            agent.header(request_id)
            for at in range(0, len(body), 32 * 1024):
                agent.chunk(request_id, body[at : at + 32 * 1024])
                await settled(hand)
            agent.end(request_id)
        await settled(hand)
        if not whole:
            assert stage.shared.disk.used_bytes > 2_000_000
            assert stage.account.held_bytes < 1_000_000
        rounds = 0
        while sink.outcome == "open":
            rounds += 1
            exchange.resume()
            await settled(hand)
            assert stage.account.held_bytes == exchange.held_bytes
        assert sink.body == body
        assert rounds > 40
        await settled(hand)
        assert stage.shared.disk.used_bytes == 0


@conversation
async def test_what_was_taken_out_of_the_inbox_is_counted_until_the_reset(stage: Stage):
    agent = stage.agent()
    request_id, exchange, sink = await asked(agent)
    sink.on_call = lambda name: exchange.pause() if name == "data" else None
    agent.say("proxy_response", request_id, {"status": 200, "body": "x" * 200_000})
    await quiet()
    assert len(sink.body) == 65_536
    assert stage.account.held_bytes == exchange.held_bytes >= 200_000
    exchange.reset()
    assert stage.account.held_bytes == 0


@conversation
async def test_a_message_larger_than_memory_without_a_disk(stage: Stage):
    stage.shared = type(stage.shared)(
        account=stage.account, clock=stage.shared.clock, disk_bytes=0, max_message_bytes=1024 * 1024
    )
    agent = stage.agent()
    request_id, door = await open_websocket(agent)
    data = bytes(1024 * 1024)
    agent.websocket_data(request_id, b"\x02" + data)
    await quiet()
    assert door.events() == [Message(data)]
    door.exchange.reset()


@conversation
async def test_a_whole_answer_larger_than_memory_without_a_disk(stage: Stage):
    stage.shared = type(stage.shared)(
        account=stage.account, clock=stage.shared.clock, disk_bytes=0, max_message_bytes=1024 * 1024
    )
    agent = stage.agent("chunk", streams_responses=False)
    request_id, _, sink = await asked(agent)
    agent.say("proxy_response", request_id, {"status": 200, "body": "x" * 1024 * 1024})
    await quiet()
    assert (len(sink.body), sink.outcome) == (1024 * 1024, "end")


@conversation
async def test_a_websocket_that_is_not_read(stage: Stage, caplog: pytest.LogCaptureFixture):
    stage.shared = type(stage.shared)(
        account=stage.account, clock=stage.shared.clock, disk_bytes=0, max_message_bytes=300_000
    )
    agent = stage.agent()
    request_id, door = await open_websocket(agent)
    door.exchange.pause()
    for _ in range(4):
        agent.websocket_data(request_id, b"\x02" + bytes(100_000))
    assert door.sink.outcome == "NotReadError"
    assert agent.kinds() == ["proxy_websocket_close"]
    assert "is not read" in caplog.text


@conversation
async def test_a_sink_that_raises_when_told_to_go_on(stage: Stage, caplog: pytest.LogCaptureFixture):
    stage.may_fail = True
    agent = stage.agent()
    agent.reads = False
    exchange, sink = opened(agent, b"POST", length=COLLECTED_BYTES * 2)

    def fail(name: str) -> None:
        if name == "writable":
            sink._inside = False
            raise RuntimeError("the door's fault")

    sink.on_call = fail
    while exchange.send_data(bytes(32 * 1024)):
        pass
    agent.reads = True
    agent.hear()
    assert "the door's fault" in caplog.text
    assert sink.outcome == "ServiceBrokeOffError"


@conversation
@pytest.mark.parametrize("dialect", ["json", "chunk"])
async def test_a_websocket_left_over_from_before_this_process(stage: Stage, dialect: str):
    """An agent keeps its WebSockets when it reconnects. Those that we do not know are closed, each once."""
    agent = stage.agent(dialect)
    for _ in range(3):
        if dialect == "json":
            agent.websocket_data("of-another-gateway", b"\x01hello?")
        else:
            agent.say("proxy_stream_chunk", "of-another-gateway", data="AWE=", direction="from_agent")
    kind = "proxy_websocket_close" if dialect == "json" else "proxy_stream_close"
    assert agent.hear_one(kind)["request_id"] == "of-another-gateway"
    agent.say("proxy_stream_chunk" if dialect == "chunk" else "ws_data", "x" * 200, data="AWE=")
    assert agent.hear() == []
    assert agent.carrier.ignored == 4


@conversation
async def test_an_agent_that_floods_and_does_not_read(stage: Stage):
    """What an agent can make us send is bounded: pongs for its pings, and closes of what it should not have."""
    agent = stage.agent("chunk")
    request_id, door = await open_websocket(agent)
    agent.reads = False
    for number in range(5_000):
        agent.say("proxy_stream_chunk", request_id, data=encoded(b"\x09" + bytes(100)))
        agent.say("proxy_stream_chunk", f"nobody-{number}", data=encoded(b"\x01"))
        agent.say("proxy_stream_chunk", request_id, data=encoded(b"\x01"), direction="to_agent")
    assert stage.account.held_bytes < 2 * HIGH_BYTES + 10_000
    door.exchange.reset()
    agent.reads = True


@conversation
async def test_warnings_do_not_fill_the_log(stage: Stage, caplog: pytest.LogCaptureFixture):
    agent = stage.agent("chunk")
    request_id, door = await open_websocket(agent)
    for number in range(100):
        agent.say("proxy_stream_chunk", request_id, data="AQ==", direction=f"up{number}")
        agent.say("proxy_stream_chunk", request_id, data="AQ==", direction="to_agent")
    assert len(caplog.records) == 16
    door.exchange.reset()


@conversation
@pytest.mark.parametrize("dialect", ["json", "chunk"])
async def test_a_close_that_waits_for_its_client_while_the_link_is_lost(stage: Stage, dialect: str):
    agent = stage.agent(dialect)
    request_id, door = await open_websocket(agent)
    door.exchange.pause()
    data = encoded(b"\x08\x03\xe8")
    agent.say("ws_data" if dialect == "json" else "proxy_stream_chunk", request_id, {"data": data})
    await asyncio.sleep(1.0)
    agent.lose()
    door.close(1000)
    assert door.send("too late") is True
    door.exchange.resume()
    await quiet()
    assert door.sink.outcome == "end"
    assert agent.kinds() == ["proxy_websocket_close" if dialect == "json" else "proxy_stream_close"]


def reset_at_next_byte(stage: Stage, exchange: Exchange) -> None:
    def reset() -> None:
        stage.account.on_hard_mark = None
        exchange.reset()

    stage.account.high_mark_bytes = stage.account.hard_mark_bytes = 0
    stage.account.on_hard_mark = reset


@conversation
async def test_the_account_may_reset_an_exchange_while_it_takes_a_piece(stage: Stage):
    agent = stage.agent()
    request_id, exchange, sink = await asked(agent)
    agent.header(request_id)
    await quiet()
    agent.chunk(request_id, b"x" * 1000)
    exchange.pause()
    reset_at_next_byte(stage, exchange)
    await quiet()
    assert (sink.calls, stage.account.held_bytes) == (["head"], 0)
    assert agent.kinds() == ["proxy_cancel"]


@conversation
@pytest.mark.parametrize("length", [3, None])
async def test_the_account_may_reset_an_exchange_while_it_takes_a_body(stage: Stage, length: int | None):
    agent = stage.agent()
    exchange, sink = opened(agent, b"POST", length=length)
    reset_at_next_byte(stage, exchange)
    assert exchange.send_data(b"abc") is True
    exchange.end()
    await quiet()
    assert (sink.calls, stage.account.held_bytes, agent.hear()) == ([], 0, [])
