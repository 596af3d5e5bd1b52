"""A client's WebSocket below ASGI: what passes, in which portions, and who waits for whom."""

import asyncio

import pytest

from app.server.connection_states import WAITING_BYTES
from tests.app.public.limits import Lines, hits
from tests.app.server.browser import Browser, browsing, told
from tests.app.stage import Stage
from tests.fakes.loop import dialogue, quiet
from tests.fakes.service import FakeService
from tests.fakes.transport import HIGH_WATER
from tunnel.websocket import Closed, Message, Opcode, Ping, Pong
from tunnel.websocket.connection import OWED_PONGS_BYTES
from tunnel.websocket.frames import encode_frame

EMPTY = bytes.fromhex("818000000000")  # the smallest message
NOTHING = bytes.fromhex("008000000000")  # a fragment that brings nothing


async def parted(browser: Browser, service: FakeService) -> None:
    """The client closes in order, and nothing is left."""
    browser.bring(browser.codec.close(1000, "bye"))
    await quiet()
    assert told(service) == [Closed(1000, "bye")]
    await quiet()
    assert browser.closed() == (1000, "bye")
    assert browser.wire.lost
    assert (service.exchange.ended, service.exchange.resets) == (1, 0)


@dialogue
async def test_messages_both_ways_are_the_same_messages():
    async with Stage() as s:
        browser, service = await browsing(s)
        for message in ("grüße", b"\x00\xff", "", b"", "x" * 125, "x" * 126, b"y" * 70_000):
            browser.say(message)
            await quiet()
            assert service.heard() == [Message(message)]
            service.say(message)
            assert browser.heard() == [message]
        await parted(browser, service)


@dialogue
async def test_a_message_is_passed_on_without_a_turn_of_the_loop():
    async with Stage() as s:
        browser, service = await browsing(s)
        browser.say("up")
        assert service.heard() == [Message("up")]
        service.say("down")
        assert browser.heard() == ["down"]
        await parted(browser, service)


@dialogue
async def test_a_message_cut_in_every_byte():
    async with Stage() as s:
        browser, service = await browsing(s)
        whole = browser.codec.send_message("grüße " * 30) + encode_frame(Opcode.TEXT, b"a\xc3", masked=True, fin=False)
        whole += encode_frame(Opcode.PING, b"?", masked=True) + encode_frame(Opcode.CONTINUATION, b"\xbc", masked=True)
        for at in range(len(whole)):
            browser.bring(whole[at : at + 1])
        assert service.heard() == [Message("grüße " * 30), Message("aü")]
        assert browser.events() == [Pong(b"?")]
        assert s.gateway.account.held_bytes == 0
        await parted(browser, service)


@dialogue
async def test_messages_of_one_call_leave_in_one_write():
    async with Stage() as s:
        browser, service = await browsing(s)
        writes = browser.wire.writes
        service.say("one", b"two", "three")
        assert browser.wire.writes == writes + 1
        assert browser.heard() == ["one", b"two", "three"]
        service.say(*["x" * 1000] * 100)
        assert browser.wire.writes == writes + 3  # 64 KiB each at most, and what crosses it
        assert len(browser.heard()) == 100
        await parted(browser, service)


@dialogue
async def test_what_a_client_says_before_it_is_accepted_waits():
    async with Stage() as s:
        browser = Browser(s)
        browser.shake_hands()
        browser.say("early", "bird")
        await quiet()
        assert s.gateway.account.held_bytes == (6 + 5) + (6 + 4)
        browser.say("x" * WAITING_BYTES)
        assert not browser.wire.reading
        assert s.gateway.account.held_bytes > WAITING_BYTES
        service = FakeService(s.exchange)
        service.accept()
        await quiet()
        assert service.heard() == [Message("early"), Message("bird"), Message("x" * WAITING_BYTES)]
        assert browser.wire.reading
        assert s.gateway.account.held_bytes == 0
        await parted(browser, service)


# --- floods


@dialogue
async def test_a_flood_of_tiny_messages_is_taken_in_turns():
    async with Stage() as s:
        browser, service = await browsing(s)
        browser.bring(EMPTY * 20_000)
        first = len(service.heard())
        assert 0 < first <= 64
        assert not browser.wire.reading
        assert s.gateway.account.held_bytes > 100_000
        await quiet()
        assert len(service.heard()) == 20_000 - first
        assert browser.wire.reading
        assert s.gateway.account.held_bytes == 0
        await parted(browser, service)


@dialogue
async def test_a_flood_of_fragments_is_taken_in_turns():
    async with Stage() as s:
        browser, service = await browsing(s)
        browser.bring(encode_frame(Opcode.TEXT, b"a", masked=True, fin=False))
        browser.bring(NOTHING * 40_000)
        assert not browser.wire.reading
        assert s.gateway.account.held_bytes > 150_000
        await quiet()
        assert browser.wire.reading
        browser.bring(encode_frame(Opcode.CONTINUATION, b"z", masked=True))
        assert service.heard() == [Message("az")]
        await parted(browser, service)


@dialogue
async def test_every_ping_of_a_flood_is_answered_in_order():
    async with Stage() as s:
        browser, service = await browsing(s)
        browser.bring(b"".join(encode_frame(Opcode.PING, b"%d" % number, masked=True) for number in range(10_000)))
        await quiet()
        assert browser.events() == [Pong(b"%d" % number) for number in range(10_000)]
        await parted(browser, service)


@dialogue
async def test_pongs_do_not_pile_up_before_a_client_that_reads_nothing():
    async with Stage() as s:
        browser, service = await browsing(s)
        browser.wire.stuck = True
        service.say("x" * (HIGH_WATER + 1))
        held = len(browser.wire.buffer)
        before = s.gateway.account.held_bytes
        kept = OWED_PONGS_BYTES // len(encode_frame(Opcode.PONG, b"00000", masked=False))
        for number in range(3 * kept):
            browser.bring(encode_frame(Opcode.PING, b"%05d" % number, masked=True))
        assert len(browser.wire.buffer) == held
        assert OWED_PONGS_BYTES - 10 < s.gateway.account.held_bytes - before <= OWED_PONGS_BYTES
        browser.wire.stuck = False
        browser.wire.take(held)
        pongs = [Pong(b"%05d" % number) for number in range(2 * kept, 3 * kept)]
        assert browser.events() == [Message("x" * (HIGH_WATER + 1)), *pongs]
        assert s.gateway.account.held_bytes == 0
        await parted(browser, service)


# --- who waits for whom


@dialogue
async def test_a_service_waits_for_a_client_that_reads_slowly():
    async with Stage() as s:
        browser, service = await browsing(s)
        browser.wire.stuck = True
        service.say("a" * HIGH_WATER)  # above the mark, with its head
        assert service.exchange.paused
        service.say("b" * 500, "c")  # what was already being parsed
        assert len(browser.wire.buffer) == HIGH_WATER + 10
        assert s.gateway.account.held_bytes >= HIGH_WATER + 501
        browser.wire.take(HIGH_WATER * 3 // 4)
        assert service.exchange.paused
        browser.wire.take(20)
        assert not service.exchange.paused
        assert s.gateway.account.held_bytes == 0
        browser.wire.stuck = False
        browser.wire.take(HIGH_WATER)
        assert browser.heard() == ["a" * HIGH_WATER, "b" * 500, "c"]
        await parted(browser, service)


@dialogue
async def test_a_message_at_the_mark_does_not_pause():
    async with Stage() as s:
        browser, service = await browsing(s)
        browser.wire.stuck = True
        service.say("a" * (HIGH_WATER - 4))
        assert len(browser.wire.buffer) == HIGH_WATER
        assert not service.exchange.paused
        browser.wire.stuck = False
        browser.wire.take(HIGH_WATER)
        await parted(browser, service)


@dialogue
async def test_a_client_waits_for_a_service_that_reads_slowly():
    async with Stage() as s:
        browser, service = await browsing(s)
        service.exchange.welcome = False
        browser.say("m0")
        assert browser.wire.reading  # so that one who leaves is noticed
        browser.say("m1", "m2")
        assert not browser.wire.reading
        await quiet()
        assert service.heard() == [Message("m0")]
        service.exchange.sink.writable()  # one more fits
        await quiet()
        assert service.heard() == [Message("m1")]
        assert not browser.wire.reading
        service.exchange.drained()
        await quiet()
        assert service.heard() == [Message("m2")]
        assert browser.wire.reading
        await parted(browser, service)


@dialogue
async def test_what_is_held_of_a_client_counts_and_ends_with_it():
    async with Stage() as s:
        browser, service = await browsing(s)
        message = browser.codec.send_message("x" * 5000)
        browser.bring(message[:-1000])
        assert s.gateway.account.held_bytes == 4000
        service.exchange.welcome = False
        browser.bring(message[-1000:])
        assert s.gateway.account.held_bytes == 0
        browser.say("z" * 3000)
        assert s.gateway.account.held_bytes > 3000
        browser.wire.lose(ConnectionResetError("reset"))
        assert s.gateway.account.held_bytes == 0
        service.exchange.drained()
        assert told(service) == [Closed(1011, "client vanished")]


@dialogue
async def test_a_part_of_a_message_is_not_held_any_longer_than_its_client():
    async with Stage() as s:
        browser, service = await browsing(s)
        browser.bring(browser.codec.send_message("x" * 5000)[:-1000])
        assert s.gateway.account.held_bytes == 4000
        browser.wire.lose(ConnectionResetError("reset"))
        assert s.gateway.account.held_bytes == 0
        assert told(service) == [Closed(1011, "client vanished")]


@dialogue
async def test_who_takes_nothing_when_the_process_holds_too_much_is_cut_off(caplog: pytest.LogCaptureFixture):
    lines = Lines(caplog)
    async with Stage() as s:
        browser, service = await browsing(s)
        browser.wire.stuck = True
        service.say("x" * (HIGH_WATER + 1))
        for exchange in list(s.gateway.exchanges):
            exchange.relieve()
        await quiet()
        assert browser.wire.aborted
        assert service.exchange.resets
        assert hits(s) == {"held_hard": 1}
        assert (lines.last["close_code"], lines.last["closed_by"]) == (1013, "gateway")


# --- limits


@dialogue
async def test_a_rate_that_is_crossed_closes_with_1008():
    async with Stage(messages_per_second=10.0) as s:
        browser, service = await browsing(s)
        browser.say(*["x"] * 10)
        await quiet()
        assert len(service.heard()) == 10
        assert browser.closed() is None
        browser.say("x")
        await quiet()
        assert browser.closed() == (1008, "rate limit exceeded")
        assert told(service) == [Closed(1008, "")]
        assert hits(s) == {"messages_rate": 1}
        browser.bring(browser.codec.data_to_send())
        await quiet()
        assert browser.wire.lost


@dialogue
async def test_a_client_is_slowed_down_to_its_rate():
    async with Stage(messages_per_second=10.0, rate_limit_action="slow") as s:
        browser, service = await browsing(s)
        browser.say(*["x"] * 12)
        await quiet()
        assert len(service.heard()) == 10
        assert not browser.wire.reading
        await asyncio.sleep(0.09)
        assert service.heard() == []
        await asyncio.sleep(0.011)
        assert len(service.heard()) == 1
        await asyncio.sleep(0.1)
        assert len(service.heard()) == 1
        assert browser.wire.reading
        assert set(hits(s)) == {"messages_rate"}
        await parted(browser, service)


@dialogue
async def test_one_who_is_slowed_down_and_leaves_is_noticed():
    async with Stage(bytes_per_second=10.0, rate_limit_action="slow") as s:
        browser, service = await browsing(s)
        browser.say("x" * 10_000)
        assert browser.wire.reading
        browser.wire.lose()
        assert service.heard() == [Message("x" * 10_000), Closed(1011, "client vanished")]
        service.exchange.finish()


@dialogue
async def test_a_message_that_is_too_large_closes_with_1009(caplog: pytest.LogCaptureFixture):
    """By its head, before it is held."""
    lines = Lines(caplog)
    async with Stage(max_message_bytes=1000) as s:
        browser, service = await browsing(s)
        browser.say("x" * 1000)
        assert service.heard() == [Message("x" * 1000)]
        browser.bring(browser.codec.send_message("x" * 1001)[:8])
        await quiet()
        assert [event.code for event in told(service)] == [1009]
        await quiet()
        closed = browser.closed()
        assert closed is not None
        assert closed[0] == 1009
        assert browser.wire.lost
        assert hits(s) == {"message_size": 1}
        line = lines.last
        assert (line["close_code"], line["closed_by"], line["messages_up"]) == (1009, "gateway", 1)


@dialogue
async def test_a_ping_of_the_service_is_answered_by_the_gateway():
    async with Stage() as s:
        browser, service = await browsing(s)
        service.ping(b"p")
        assert service.heard() == [Pong(b"p")]
        assert browser.events() == []
        browser.bring(encode_frame(Opcode.PING, b"c", masked=True))
        assert not any(isinstance(event, Ping) for event in service.heard())
        await parted(browser, service)
