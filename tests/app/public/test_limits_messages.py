"""Messages of a WebSocket: how many, how many bytes, how large; both directions, each with a limit of its own."""

import asyncio
from typing import Any

import pytest

from tests.app.public.limits import Lines, hits
from tests.app.stage import Stage
from tests.fakes.asgi import WebSocket
from tests.fakes.loop import dialogue, quiet
from tests.fakes.service import FakeService, opened, parted
from tunnel.websocket import Closed, Message

Pair = tuple[WebSocket, FakeService]
DIRECTIONS = pytest.mark.parametrize("up", [True, False], ids=["client to service", "service to client"])


class Flow:
    """Messages in one direction of one WebSocket."""

    def __init__(self, pair: Pair, *, up: bool) -> None:
        self.call, self.service = pair
        self.up = up
        self.told: list[Closed] = []
        self._arrived: list[str | bytes] = []

    async def send(self, *messages: str | bytes) -> None:
        for message in messages:
            if self.up:
                self.call.say(message)
            else:
                self.service.say(message)
        await quiet()

    @property
    def arrived(self) -> list[str | bytes]:
        for event in self.service.heard():
            if isinstance(event, Message):
                self._arrived.append(event.data)
            elif isinstance(event, Closed):
                self.told.append(event)
        return self._arrived if self.up else self.call.heard


def assert_closed(stage: Stage, flow: Flow, lines: Lines, code: int, limit: str, passed: int) -> None:
    """Both sides were told the code, once; so were the operator's metric and log."""
    assert len(flow.arrived) == passed
    assert flow.call.closed is not None
    assert flow.call.closed[0] == code
    assert [event.code for event in flow.told] == [code]
    assert hits(stage) == {limit: 1}
    line = lines.last
    assert (line["close_code"], line["closed_by"], line["limit"]) == (code, "gateway", limit)
    assert line["messages_up" if flow.up else "messages_down"] == passed


async def hang_up(flow: Flow) -> None:
    """The service answers the close frame, and ends."""
    assert flow.arrived is not None
    if not flow.service.exchange.resets:
        flow.service.exchange.bring(flow.service.codec.data_to_send())
        flow.service.exchange.finish()
    await flow.call.over()


# --- rates that close


@pytest.mark.parametrize(
    ("settings", "messages", "beyond"),
    [
        ({"messages_per_second": 10.0}, ["x"] * 10, "x"),
        ({"messages_per_second": 10.0, "rate_burst_seconds": 3.0}, ["x"] * 30, "x"),
        ({"bytes_per_second": 1000.0}, ["x" * 400, b"y" * 600], "x"),
        ({"bytes_per_second": 1000.0, "rate_burst_seconds": 2.0}, [b"x" * 2000], b"x"),
        ({"bytes_per_second": 1000.0}, [], "x" * 1001),
        ({"bytes_per_second": 1000.0}, [], "ü" * 501),  # bytes, not characters
        ({"messages_per_second": 2.0, "bytes_per_second": 1000.0}, ["x", "x"], "x"),
        ({"messages_per_second": 100.0, "bytes_per_second": 10.0}, ["x" * 9], "xx"),
    ],
)
@DIRECTIONS
@dialogue
async def test_a_rate_that_is_crossed_closes_with_1008(
    up: bool, settings: dict[str, Any], messages: list[str | bytes], beyond: str, caplog: pytest.LogCaptureFixture
):
    lines = Lines(caplog)
    async with Stage(**settings) as s:
        flow = Flow(await opened(s), up=up)
        await flow.send(*messages)
        assert flow.arrived == messages
        assert flow.call.closed is None
        assert hits(s) == {}
        await flow.send(beyond)
        await hang_up(flow)
        assert_closed(s, flow, lines, 1008, "messages_rate", len(messages))


@DIRECTIONS
@dialogue
async def test_what_time_brings_back(up: bool):
    async with Stage(messages_per_second=10.0) as s:
        flow = Flow(await opened(s), up=up)
        await flow.send(*["x"] * 10)
        for _ in range(30):
            await asyncio.sleep(0.1)
            await flow.send("x")
        assert len(flow.arrived) == 40
        assert flow.call.closed is None
        await asyncio.sleep(0.09)
        await flow.send("x")
        assert len(flow.arrived) == 40
        assert flow.call.closed is not None
        await hang_up(flow)


@dialogue
async def test_each_direction_has_its_own_rate():
    async with Stage(messages_per_second=10.0) as s:
        pair = await opened(s)
        up, down = Flow(pair, up=True), Flow(pair, up=False)
        for flow in (up, down):
            await flow.send(*["x"] * 10)
        assert len(up.arrived) == len(down.arrived) == 10
        assert hits(s) == {}
        await parted(*pair)


@dialogue
async def test_each_websocket_has_its_own_rate():
    async with Stage(messages_per_second=10.0) as s:
        flows = [Flow(await opened(s), up=True) for _ in range(3)]
        for flow in flows:
            await flow.send(*["x"] * 10)
            assert len(flow.arrived) == 10
            await parted(flow.call, flow.service)


# --- rates that slow down


@pytest.mark.parametrize(
    ("settings", "size"), [({"messages_per_second": 10.0}, 1), ({"bytes_per_second": 1000.0}, 100)]
)
@DIRECTIONS
@dialogue
async def test_a_sender_is_slowed_down(up: bool, settings: dict[str, Any], size: int):
    async with Stage(**settings, rate_limit_action="slow") as s:
        flow = Flow(await opened(s), up=up)
        await flow.send(*["x" * size] * 15)
        assert len(flow.arrived) == 10
        for number in range(11, 16):
            await asyncio.sleep(0.09)
            assert len(flow.arrived) == number - 1
            await asyncio.sleep(0.01)
            await quiet()
            assert len(flow.arrived) == number
        assert flow.call.closed is None
        assert set(hits(s)) == {"messages_rate"}
        await parted(flow.call, flow.service)


@dialogue
async def test_a_client_that_is_slowed_down_is_not_read():
    async with Stage(messages_per_second=10.0, rate_limit_action="slow") as s:
        flow = Flow(await opened(s), up=True)
        before = flow.call.received
        await flow.send(*["x"] * 20)
        assert flow.call.received == before + 12  # one is read ahead, to notice a client that leaves
        await asyncio.sleep(1.1)
        assert flow.call.received == before + 20
        await parted(flow.call, flow.service)


@dialogue
async def test_a_service_that_is_slowed_down_gets_no_credit():
    async with Stage(messages_per_second=10.0, rate_limit_action="slow") as s:
        flow = Flow(await opened(s), up=False)
        await flow.send(*["x"] * 20)
        assert flow.service.exchange.paused
        await asyncio.sleep(1.1)
        assert not flow.service.exchange.paused
        assert len(flow.arrived) == 20
        await parted(flow.call, flow.service)


@pytest.mark.parametrize(
    ("up", "who", "seconds"),
    [
        (True, "client", 306.0),  # it is not read, so only the idle timeout sees that it has left
        (True, "service", 6.0),
        (True, "gateway", 0.0),
        (False, "client", 6.0),
        (False, "service", 6.0),
        (False, "gateway", 0.0),
    ],
)
@dialogue
async def test_a_long_wait_ends_with_its_websocket(up: bool, who: str, seconds: float):
    """One large message may have to wait for a quarter of an hour: nobody who leaves meanwhile waits for it."""
    async with Stage(bytes_per_second=10.0, rate_limit_action="slow") as s:
        flow = Flow(await opened(s), up=up)
        await flow.send("x" * 10_000)
        loop = asyncio.get_running_loop()
        began = loop.time()
        if who == "client":
            flow.call.leave(1000)
        elif who == "service":
            flow.service.close(1000)
        else:
            await s.gateway.aclose()
        await flow.call.over()
        assert loop.time() - began <= seconds + 0.001


# --- size


@DIRECTIONS
@dialogue
async def test_a_message_that_is_too_large_closes_with_1009(up: bool, caplog: pytest.LogCaptureFixture):
    lines = Lines(caplog)
    async with Stage(max_message_bytes=1000) as s:
        flow = Flow(await opened(s), up=up)
        fitting: list[str | bytes] = ["x" * 1000, b"y" * 1000, "ü" * 500]
        await flow.send(*fitting)
        assert flow.arrived == fitting
        assert hits(s) == {}
        await flow.send("ü" * 500 + "x")
        await hang_up(flow)
        assert_closed(s, flow, lines, 1009, "message_size", 3)


@dialogue
async def test_the_default_is_ten_mebibytes():
    async with Stage() as s:
        flow = Flow(await opened(s), up=True)
        await flow.send(bytes(10 * 1024 * 1024))
        assert len(flow.arrived) == 1
        await flow.send(bytes(10 * 1024 * 1024 + 1))
        await hang_up(flow)
        assert flow.call.closed is not None
        assert flow.call.closed[0] == 1009


@dialogue
async def test_what_the_server_refused_counts_too(caplog: pytest.LogCaptureFixture):
    """It closes with 1009 itself, for a message larger than any route allows."""
    lines = Lines(caplog)
    async with Stage() as s:
        flow = Flow(await opened(s), up=True)
        flow.call.leave(1009)
        await quiet()
        await hang_up(flow)
        assert hits(s) == {"message_size": 1}
        assert (lines.last["close_code"], lines.last["closed_by"]) == (1009, "gateway")
