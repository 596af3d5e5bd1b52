"""A spliced WebSocket on a connection of our own: what passes, floods and full buffers, and how the connection ends."""

import asyncio
from collections.abc import Callable
from unittest import mock

import pytest

from app.public.splice import Splice
from app.server.connection_states import WAITING_BYTES
from app.server.pings import pings_of
from app.server.spliced_channel import SplicedChannel
from tests.app.public.limits import Lines, hits
from tests.app.server.browser import Browser, browsing, told
from tests.app.stage import Stage
from tests.fakes.loop import dialogue, quiet
from tests.fakes.service import FakeService
from tests.fakes.transport import HIGH_WATER
from tunnel.errors import LinkLostError
from tunnel.websocket import Closed, Message, Opcode, Ping, Pong
from tunnel.websocket.frames import encode_frame

GRAIN = 0.501


class Spliced(Stage):
    """A gateway whose links pass bytes."""

    def __init__(self, **settings: object) -> None:
        super().__init__(**settings)  # type: ignore[arg-type]
        for link in self.links:
            link.passes_bytes = True


def channel_of(browser: Browser) -> SplicedChannel:
    channel: object = browser.protocol
    assert isinstance(channel, SplicedChannel)
    return channel


async def parted(browser: Browser, service: FakeService) -> None:
    """The client closes in order, and nothing is left."""
    browser.bring(browser.codec.close(4321, "bye"))
    assert told(service) == [Closed(4321, "bye")]
    await quiet()
    assert browser.closed() == (4321, "bye")
    assert browser.wire.lost
    assert (service.exchange.ended, service.exchange.resets) == (1, 0)


@dialogue
async def test_messages_both_ways_are_the_same_messages_in_the_same_turn():
    async with Spliced() as s:
        browser, service = await browsing(s)
        assert repr(channel_of(browser)) == "<SplicedChannel open, 0 unsent>"
        for message in ("grüße", b"\x00\xff", "", b"", "x" * 125, "x" * 126, b"y" * 70_000):
            browser.say(message)
            assert service.heard() == [Message(message)]
            service.say(message)
            assert browser.heard() == [message]
        browser.bring(b"".join(encode_frame(Opcode.PING, b"%d" % number, masked=True) for number in range(10)))
        assert service.heard() == [Ping(b"%d" % number) for number in range(10)]
        service.exchange.bring(service.codec.data_to_send())
        assert browser.events() == [Pong(b"%d" % number) for number in range(10)]
        await parted(browser, service)


@dialogue
async def test_what_a_client_says_before_it_is_accepted_waits():
    async with Spliced() as s:
        browser = Browser(s)
        browser.shake_hands()
        browser.say("early")
        browser.say("x" * WAITING_BYTES)
        await quiet()
        service = FakeService(s.exchange)
        service.accept()
        service.exchange.bring(service.codec.send_message("with the 101"))
        await quiet()
        assert browser.heard() == ["with the 101"]
        assert service.heard() == [Message("early"), Message("x" * WAITING_BYTES)]
        assert browser.wire.reading
        assert s.gateway.account.held_bytes == 0
        await parted(browser, service)


@dialogue
async def test_a_flood_is_taken_in_turns_and_another_client_has_its_own():
    async with Spliced() as s:
        browser, service = await browsing(s)
        other, others = await browsing(s)
        browser.bring(encode_frame(Opcode.BINARY, b"", masked=True) * 20_000)
        first = len(service.heard())
        assert 0 < first <= 512
        assert not browser.wire.reading
        other.say("x")
        assert others.heard() == [Message("x")]
        await quiet()
        assert len(service.heard()) == 20_000 - first
        assert browser.wire.reading
        await parted(browser, service)
        await parted(other, others)


@dialogue
async def test_a_service_waits_for_a_client_that_reads_slowly():
    async with Spliced() as s:
        browser, service = await browsing(s)
        stream = service.exchange.stream
        assert stream is not None
        browser.wire.stuck = True
        service.say("a" * HIGH_WATER)  # above the mark, with its head
        service.say("b" * 500)
        assert len(browser.wire.buffer) == HIGH_WATER + 10
        assert stream.unacknowledged == HIGH_WATER + 10 + 504
        browser.wire.take(HIGH_WATER * 3 // 4)
        assert stream.unacknowledged == HIGH_WATER + 10 + 504
        browser.wire.stuck = False
        browser.wire.take(HIGH_WATER)
        assert stream.unacknowledged == 0
        assert browser.heard() == ["a" * HIGH_WATER, "b" * 500]
        await parted(browser, service)


@dialogue
async def test_a_client_is_not_read_while_the_service_does_not_read():
    async with Spliced() as s:
        browser, service = await browsing(s)
        service.exchange.welcome = False
        browser.say("one", "two")
        browser.say("three")
        assert not browser.wire.reading
        service.exchange.drained()
        assert browser.wire.reading
        assert service.heard() == [Message("one"), Message("two"), Message("three")]
        await parted(browser, service)


@dialogue
async def test_a_client_that_never_reads_is_cut_off(caplog: pytest.LogCaptureFixture):
    lines = Lines(caplog)
    async with Spliced() as s:
        browser, service = await browsing(s)
        browser.wire.stuck = True
        service.say("x" * HIGH_WATER)
        await asyncio.sleep(10.0 - GRAIN)
        assert not browser.wire.closed
        await asyncio.sleep(2 * GRAIN)
        assert browser.wire.aborted
        assert [event.code for event in told(service)] == [1011]
        await quiet()
        assert hits(s) == {"timeout_write": 1}
        assert (lines.last["close_code"], lines.last["closed_by"]) == (1006, "gateway")


# --- ends


@pytest.mark.parametrize("error", [None, ConnectionResetError("reset")])
@dialogue
async def test_a_client_that_vanishes(error: Exception | None, caplog: pytest.LogCaptureFixture):
    lines = Lines(caplog)
    async with Spliced() as s:
        browser, service = await browsing(s)
        channel = channel_of(browser)
        if error is None:
            assert not browser.protocol.eof_received(), "the transport closes then"
            service.say("to nobody")
        browser.wire.lose(error)
        assert told(service) == [Closed(1011, "client vanished")]
        await quiet()
        assert (lines.last["close_code"], lines.last["closed_by"]) == (1006, "client")
        assert repr(pings_of(asyncio.get_running_loop())) == "<Pings to 0>"
        assert channel.write(b"x"), "nobody is written to"


@dialogue
async def test_the_service_closes(caplog: pytest.LogCaptureFixture):
    lines = Lines(caplog)
    async with Spliced() as s:
        browser, service = await browsing(s)
        service.say("last words")
        service.close(4001, "grüße")
        assert browser.events() == [Message("last words"), Closed(4001, "grüße")]
        browser.bring(browser.codec.data_to_send())
        service.exchange.finish()
        await quiet()
        assert browser.wire.lost
        assert (lines.last["close_code"], lines.last["closed_by"]) == (4001, "service")
        assert (lines.last["messages_down"], lines.last["bytes_down"]) == (1, 10)


@pytest.mark.parametrize("inside", [False, True])
@dialogue
async def test_a_lost_agent(inside: bool):
    async with Spliced() as s:
        browser, service = await browsing(s)
        service.say("x")
        if inside:
            service.exchange.bring(b"\x82\x05he")
        service.exchange.fail(LinkLostError("gone"))
        assert browser.wire.aborted is inside
        if not inside:
            assert browser.events() == [Message("x"), Closed(1012, "connection to the cluster lost")]
            browser.bring(browser.codec.data_to_send())
        await quiet()
        assert browser.wire.lost
        assert not s.gateway.exchanges


@dialogue
async def test_drain_tells_both_sides():
    async with Spliced() as s:
        browser, service = await browsing(s)
        drain = asyncio.get_running_loop().create_task(s.gateway.drain.run(5.0))
        await quiet()
        assert browser.closed() == (1012, "gateway is restarting")
        assert told(service) == [Closed(1001, "")]
        browser.bring(browser.codec.data_to_send())
        await drain
        assert browser.wire.lost


@pytest.mark.parametrize("inside", [False, True])
@dialogue
async def test_a_server_that_shuts_down_tells_both_sides(inside: bool):
    async with Spliced() as s:
        browser, service = await browsing(s)
        if inside:
            service.exchange.bring(b"\x82\x05he")
        browser.protocol.shutdown()
        if not inside:
            assert browser.closed() == (1012, "gateway is restarting")
        assert told(service) == [Closed(1001, "")]
        await quiet()
        assert browser.wire.lost
        assert browser.front.state.connections == set()


FAULTS: dict[str, tuple[str, Callable[[Browser, FakeService], object]]] = {
    "bytes": ("bytes_received", lambda browser, _: browser.say("x")),
    "turn": ("_read_up", lambda browser, _: browser.bring(encode_frame(Opcode.BINARY, b"", masked=True) * 2)),
    "drained": ("client_writable", lambda browser, _: browser.wire.take(HIGH_WATER + 10)),
    "ping": ("ping_client", lambda browser, _: None),
}


@pytest.mark.parametrize("how", FAULTS)
@dialogue
async def test_a_fault_of_ours_ends_one_websocket(how: str, caplog: pytest.LogCaptureFixture):
    async with Spliced() as s:
        browser, service = await browsing(s, ws_ping_interval=5.0)
        other, others = await browsing(s, ws_ping_interval=None)
        if how == "drained":
            browser.wire.stuck = True
            service.say("x" * HIGH_WATER)
        name, act = FAULTS[how]
        with pytest.MonkeyPatch.context() as patch:

            def once(*_: object) -> None:
                patch.undo()
                raise ValueError("a bug")

            patch.setattr(Splice, name, once)
            act(browser, service)
            await asyncio.sleep(10.6 if how == "ping" else 0.01)
        await quiet()
        assert browser.wire.aborted
        assert told(service) == [Closed(1011, "client vanished")]
        assert [record.levelname for record in caplog.records].count("ERROR") == 1
        await quiet()
        other.say("x")
        assert others.heard() == [Message("x")]
        await parted(other, others)


@dialogue
async def test_a_fault_that_comes_again_as_the_client_is_lost_ends_it_all_the_same():
    async with Spliced() as s:
        browser, service = await browsing(s)
        with mock.patch.object(Splice, "client_left", side_effect=ValueError("a bug")):
            browser.wire.lose()
        assert (service.exchange.resets, service.exchange.ended) == (1, 0)
        assert not s.gateway.exchanges


# --- pings


@dialogue
async def test_only_a_silent_client_is_pinged_and_it_is_given_up_if_it_does_not_answer():
    async with Spliced() as s:
        browser, service = await browsing(s, ws_ping_interval=20.0, ws_ping_timeout=5.0)
        for _ in range(3):
            browser.say("x")
            await asyncio.sleep(19.9)
        assert browser.events() == []
        await asyncio.sleep(1.0)
        (ping,) = browser.events()
        assert isinstance(ping, Ping)
        heard = len(service.heard())
        browser.bring(browser.codec.data_to_send())
        assert (heard, service.heard()) == (3, []), "the pong is for us"
        await asyncio.sleep(42.0)
        assert [type(event) for event in browser.events()] == [Ping], "its pong spared it the next one"
        await asyncio.sleep(5.1)
        assert browser.closed() == (1011, "keepalive ping timeout")
        assert told(service) == [Closed(1011, "client vanished")]
        await quiet()
        assert browser.wire.lost


@dialogue
async def test_a_client_that_is_sent_a_long_frame_is_not_asked_and_not_given_up():
    async with Spliced(idle_timeout=1000) as s:
        browser, service = await browsing(s, ws_ping_interval=20.0, ws_ping_timeout=5.0)
        frame = encode_frame(Opcode.BINARY, bytes(2_000), masked=False)
        for at in range(0, len(frame), 100):
            service.exchange.bring(frame[at : at + 100])
            await asyncio.sleep(10.0)
        assert not browser.wire.closed
        assert browser.events()[0] == Message(bytes(2_000))
        await asyncio.sleep(30.0)
        assert told(service) == [Closed(1011, "client vanished")]
        await quiet()
