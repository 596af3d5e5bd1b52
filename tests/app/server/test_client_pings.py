"""Pings on a WebSocket: who answers or sends anything stays, who is silent is closed.

When they are due is in test_pings.py.
"""

import asyncio
from typing import Any

import pytest

from app.server.pings import pings_of
from tests.app.public.limits import Lines, hits
from tests.app.server.agent import Agent
from tests.app.server.browser import Browser, browsing, told
from tests.app.stage import Stage
from tests.fakes.loop import dialogue, left_behind, quiet
from tests.fakes.service import FakeService
from tests.fakes.transport import HIGH_WATER
from tunnel.websocket import Closed, Message, Ping
from tunnel.websocket.frames import encode_frame

EMPTY_PING = b"\x89\x00"
GIVEN_UP = encode_frame(8, (1011).to_bytes(2, "big") + b"keepalive ping timeout", masked=False)


def timers() -> list[object]:
    return [each for each in left_behind() if isinstance(each, asyncio.TimerHandle)]


async def pinged(stage: Stage, **options: Any) -> tuple[Browser, FakeService]:
    """An open WebSocket. Every 20 s it is pinged, and has 5 s to answer."""
    return await browsing(stage, **{"ws_ping_interval": 20.0, "ws_ping_timeout": 5.0, **options})


async def let_go(browser: Browser, service: FakeService) -> None:
    browser.wire.lose()
    assert told(service) == [Closed(1011, "client vanished")]
    await quiet()


@dialogue
async def test_a_client_that_does_not_answer_is_told_why_and_recorded_as_gone(caplog: pytest.LogCaptureFixture):
    lines = Lines(caplog)
    async with Stage() as s:
        browser, service = await pinged(s)
        await asyncio.sleep(25.1)
        assert browser.wire.written.endswith(EMPTY_PING + GIVEN_UP)
        assert told(service) == [Closed(1011, "client vanished")]
        await quiet()
        assert browser.wire.lost
        assert not browser.wire.aborted
        assert (lines.last["close_code"], lines.last["closed_by"], lines.last["limit"]) == (1006, "client", None)
        assert hits(s) == {}


@pytest.mark.parametrize("payload", [b"", b"of its own"])
@dialogue
async def test_any_pong_is_a_sign_of_life(payload: bytes):
    async with Stage() as s:
        browser, service = await pinged(s)
        for _ in range(4):
            await asyncio.sleep(20.1)
            assert browser.events() == [Ping(b"")]
            browser.bring(encode_frame(10, payload, masked=True))
        await let_go(browser, service)


@dialogue
async def test_every_byte_of_a_message_is_a_sign_of_life_and_without_one_a_client_is_closed():
    """No frame may come inside another one, so the pong waits for the message's end."""
    async with Stage() as s:
        browser, service = await pinged(s)
        await asyncio.sleep(19.0)
        text = "large" * 2_000
        data = browser.codec.send_message(text)
        for at in range(0, len(data), 1_000):
            browser.bring(data[at : at + 1_000])
            await asyncio.sleep(4.0)
        assert browser.events().count(Ping(b"")) == 3
        assert service.heard() == [Message(text)]
        browser.bring(browser.codec.send_message("x" * 100)[:-1])
        await asyncio.sleep(21.0)
        assert not browser.wire.closed, "it was heard after the ping at 60 s, and has time to answer that at 80 s"
        await asyncio.sleep(3.0)
        assert browser.wire.written.endswith(EMPTY_PING + GIVEN_UP)
        assert told(service) == [Closed(1011, "client vanished")]


@dialogue
async def test_a_ping_that_is_due_while_a_large_message_is_sent_comes_behind_it():
    async with Stage() as s:
        browser, service = await pinged(s)
        await asyncio.sleep(19.0)
        browser.wire.stuck = True
        service.say("x" * 3 * HIGH_WATER)
        await asyncio.sleep(2.0)
        assert browser.wire.buffer.endswith(EMPTY_PING)
        browser.wire.take(2 * HIGH_WATER)
        await asyncio.sleep(3.0)
        browser.wire.stuck = False
        browser.wire.take(len(browser.wire.buffer))
        assert browser.events() == [Message("x" * 3 * HIGH_WATER), Ping(b"")]
        browser.bring(browser.codec.data_to_send())
        await asyncio.sleep(17.0)
        assert browser.events() == [Ping(b"")]
        await let_go(browser, service)


@dialogue
async def test_what_a_client_is_sent_is_no_sign_of_life():
    """The system takes it, and goes on trying to send it for a quarter of an hour."""
    async with Stage() as s:
        browser, service = await pinged(s)
        for _ in range(25):
            assert not browser.wire.closed
            service.say("x" * 100_000)
            await asyncio.sleep(1.0)
        await quiet()
        assert browser.wire.closed
        assert browser.wire.written.endswith(GIVEN_UP)
        assert told(service) == [Closed(1011, "client vanished")]


# --- the end, while a pong is awaited


@dialogue
async def test_a_service_that_closes_meanwhile_gives_its_own_code(caplog: pytest.LogCaptureFixture):
    lines = Lines(caplog)
    async with Stage() as s:
        browser, service = await pinged(s)
        await asyncio.sleep(20.1)
        service.close(4001, "bye")
        service.exchange.finish()
        await asyncio.sleep(9.0)
        assert browser.events() == [Ping(b""), Closed(4001, "bye")]
        assert not browser.wire.closed, "the client may answer yet"
        await asyncio.sleep(1.1)
        assert browser.wire.lost
        assert (lines.last["close_code"], lines.last["closed_by"]) == (4001, "service")


@dialogue
async def test_nothing_follows_our_close_frame():
    async with Stage() as s:
        browser, service = await pinged(s)
        await asyncio.sleep(15.0)
        service.close(4001, "bye")
        service.exchange.finish()
        await asyncio.sleep(9.0)
        assert browser.wire.written.endswith(encode_frame(8, (4001).to_bytes(2, "big") + b"bye", masked=False))
        browser.bring(browser.codec.close(4001))
        await quiet()
        assert browser.wire.lost


@dialogue
async def test_a_client_that_closes_meanwhile_gives_its_own_code(caplog: pytest.LogCaptureFixture):
    lines = Lines(caplog)
    async with Stage() as s:
        browser, service = await pinged(s)
        await asyncio.sleep(20.1)
        browser.bring(browser.codec.close(4002, "bye"))
        assert told(service) == [Closed(4002, "bye")]
        await asyncio.sleep(30.0)
        assert browser.closed() == (4002, "bye")
        assert (lines.last["close_code"], lines.last["closed_by"]) == (4002, "client")


@pytest.mark.parametrize("waits", [10.0, 20.1])
@dialogue
async def test_a_client_that_is_lost_is_not_pinged_any_more(waits: float):
    async with Stage() as s:
        browser, service = await pinged(s)
        await asyncio.sleep(waits)
        await let_go(browser, service)
        written = browser.wire.written
        await asyncio.sleep(60.0)
        assert browser.wire.written == written


@dialogue
async def test_a_server_that_shuts_down_meanwhile_says_so():
    async with Stage() as s:
        browser, service = await pinged(s)
        await asyncio.sleep(20.1)
        browser.protocol.shutdown()
        assert browser.closed() == (1012, "")
        assert told(service) == [Closed(1012, "")]
        await asyncio.sleep(30.0)


# --- who else is pinged


@dialogue
async def test_without_an_interval_nobody_is_pinged():
    async with Stage() as s:
        browser, service = await pinged(s, ws_ping_interval=None)
        await asyncio.sleep(100.0)
        assert browser.events() == []
        await let_go(browser, service)


@dialogue
async def test_an_agent_is_pinged_and_closed_too():
    agent = await Agent(20.0, 5.0).opened()
    await asyncio.sleep(20.1)
    assert agent.wire.written.endswith(b"\r\n\r\n" + EMPTY_PING)
    agent.codec.receive_data(EMPTY_PING)
    agent.bring(agent.codec.data_to_send())
    await asyncio.sleep(20.0)
    assert agent.wire.written.endswith(EMPTY_PING)
    assert not agent.wire.closed
    await asyncio.sleep(5.0)
    assert agent.wire.written.endswith(EMPTY_PING + GIVEN_UP)
    await quiet()
    assert agent.wire.lost
    assert agent.end == "nothing was received after a WebSocket ping"


@dialogue
async def test_a_handshake_that_is_not_over_is_not_pinged():
    async with Stage() as s:
        browser = Browser(s, ws_ping_interval=1.0, ws_ping_timeout=1.0)
        browser.shake_hands()
        await asyncio.sleep(5.0)
        assert browser.wire.written == b""
        browser.wire.lose()
        await quiet()


@dialogue
async def test_all_share_one_timer():
    async with Stage() as s:
        first = await browsing(s, ws_ping_interval=None)
        without = len(timers())
        more = [await pinged(s) for _ in range(5)]
        assert len(timers()) == without + 1
        for each in (first, *more):
            await let_go(*each)


@dialogue
async def test_the_pings_begin_with_the_accept_and_stop_at_the_end():
    async with Stage() as s:
        browser = Browser(s, ws_ping_interval=1.0)
        browser.shake_hands()
        await quiet()
        pings = pings_of(asyncio.get_running_loop())
        assert repr(pings) == "<Pings to 0>"
        service = FakeService(s.exchange)
        service.accept()
        await quiet()
        assert repr(pings) == "<Pings to 1>"
        await asyncio.sleep(1.1)
        assert browser.wire.written.endswith(EMPTY_PING)
        await let_go(browser, service)
        assert repr(pings) == "<Pings to 0>"
