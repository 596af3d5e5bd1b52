"""How a client's WebSocket below ASGI ends: close codes both ways, broken rules, deadlines, broken connections."""

import asyncio
from unittest import mock

import pytest

from app.public.websocket_call import WebSocketCall
from tests.app.public.limits import Lines, hits
from tests.app.server.browser import Browser, browsing, told
from tests.app.stage import Stage
from tests.fakes.loop import dialogue, quiet
from tests.fakes.service import FakeService
from tests.fakes.transport import HIGH_WATER
from tunnel.errors import LinkLostError
from tunnel.websocket import Closed, Message, Ping
from tunnel.websocket.frames import encode_frame

GRAIN = 0.501
CLOSING_SECONDS = 10.0 + 2 * GRAIN


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "away"), (4001, "bye, grüße"), (1011, "oops")])
@dialogue
async def test_the_service_closes(code: int, reason: str):
    async with Stage() as s:
        browser, service = await browsing(s)
        service.say("last words")
        service.close(code, reason)
        assert browser.wire.written.endswith(encode_frame(8, code.to_bytes(2, "big") + reason.encode(), masked=False))
        assert [type(event).__name__ for event in browser.events()] == ["Message", "Closed"]
        service.exchange.finish()
        await quiet()
        assert not s.gateway.exchanges
        assert not browser.wire.closed, "the client may answer yet"
        browser.bring(browser.codec.data_to_send())
        await quiet()
        assert browser.wire.lost


@dialogue
async def test_an_empty_close_stays_empty():
    async with Stage() as s:
        browser, service = await browsing(s)
        service.close(None)
        assert browser.wire.written.endswith(b"\x88\x00")
        service.exchange.finish()
        browser.bring(bytes.fromhex("888000000000"))
        await quiet()
        assert browser.wire.lost
        browser, service = await browsing(s)
        browser.bring(bytes.fromhex("888000000000"))
        assert browser.wire.written.endswith(b"\x88\x00")
        assert told(service) == [Closed(1005, "")]
        await quiet()
        assert browser.wire.lost


@dialogue
async def test_the_client_closes_behind_its_messages():
    async with Stage() as s:
        browser, service = await browsing(s)
        browser.bring(browser.codec.send_message("x") * 200 + browser.codec.close(4001, "bye"))
        await quiet()
        events = service.heard()
        assert len(events) == 201
        assert events[-1] == Closed(4001, "bye")
        service.exchange.finish()
        await quiet()
        assert browser.closed() == (4001, "bye")
        assert browser.wire.lost


@dialogue
async def test_a_client_that_does_not_answer_the_close_is_left():
    async with Stage() as s:
        browser, service = await browsing(s)
        service.close(4001, "bye")
        service.exchange.finish()
        await asyncio.sleep(9.9)
        browser.say("still talking")
        assert not browser.wire.closed
        await asyncio.sleep(0.2)
        assert browser.wire.lost


@dialogue
async def test_a_client_that_does_not_even_read_the_close_is_cut_off():
    async with Stage() as s:
        browser, service = await browsing(s)
        browser.wire.stuck = True
        service.say("unread")
        service.close(4001, "bye")
        service.exchange.finish()
        await asyncio.sleep(10.1)
        assert browser.wire.closed
        assert not browser.wire.aborted
        await asyncio.sleep(CLOSING_SECONDS)
        assert browser.wire.aborted
        assert browser.wire.lost


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\x81\x01x", 1002),
        (b"\xc1\x81\0\0\0\0x", 1002),
        (b"\x83\x80\0\0\0\0", 1002),
        (b"\x80\x80\0\0\0\0", 1002),
        (b"\x88\x81\0\0\0\0x", 1002),
        (b"\x88\x82\0\0\0\0\x03\xed", 1002),
        (b"\x81\x81\0\0\0\0\xff", 1007),
    ],
    ids=["unmasked", "reserved bit", "opcode", "continuation", "short close", "close with 1005", "not UTF-8"],
)
@dialogue
async def test_a_client_that_breaks_the_rules(frame: bytes, code: int):
    async with Stage() as s:
        browser, service = await browsing(s)
        browser.bring(frame)
        closed = browser.closed()
        assert closed is not None
        assert closed[0] == code
        assert [event.code for event in told(service)] == [code]
        await quiet()
        assert browser.wire.lost


@pytest.mark.parametrize("error", [None, ConnectionResetError("reset")])
@dialogue
async def test_a_client_that_vanishes(error: Exception | None, caplog: pytest.LogCaptureFixture):
    """By the end of its direction, without a close frame, or by a reset."""
    lines = Lines(caplog)
    async with Stage() as s:
        browser, service = await browsing(s)
        assert not browser.protocol.eof_received(), "the transport closes then"
        browser.wire.lose(error)
        assert told(service) == [Closed(1011, "client vanished")]
        await quiet()
        assert (lines.last["close_code"], lines.last["closed_by"]) == (1006, "client")


@dialogue
async def test_a_client_that_never_reads_is_cut_off(caplog: pytest.LogCaptureFixture):
    lines = Lines(caplog)
    async with Stage() as s:
        browser, service = await browsing(s)
        browser.wire.stuck = True
        service.say("x" * HIGH_WATER)
        await asyncio.sleep(10.0)
        assert not browser.wire.closed
        await asyncio.sleep(GRAIN)
        assert browser.wire.aborted
        assert [event.code for event in told(service)] == [1011]
        await quiet()
        assert hits(s) == {"timeout_write": 1}
        line = lines.last
        assert (line["close_code"], line["closed_by"], line["limit"]) == (1006, "gateway", "timeout_write")
        assert line["stalled_by_client_seconds"] >= 10.0


@dialogue
async def test_a_client_that_takes_a_little_lives_on():
    async with Stage() as s:
        browser, service = await browsing(s)
        browser.wire.stuck = True
        service.say("x" * HIGH_WATER * 2)
        for _ in range(10):
            await asyncio.sleep(9.0)
            browser.wire.take(1000)
        assert not browser.wire.closed
        assert service.exchange.paused
        await asyncio.sleep(11.0)
        assert browser.wire.aborted
        assert told(service)


# --- keep-alive


@dialogue
async def test_a_client_that_answers_pings_lives_on():
    async with Stage() as s:
        browser, service = await browsing(s, ws_ping_interval=20.0, ws_ping_timeout=5.0)
        for _ in range(5):
            await asyncio.sleep(20.1)
            assert [type(event) for event in browser.events()] == [Ping]
            browser.bring(browser.codec.data_to_send())
        assert not browser.wire.closed
        browser.wire.lose()
        assert told(service)


@pytest.mark.parametrize("stuck", [False, True])
@dialogue
async def test_a_client_that_does_not_answer_a_ping_is_closed(stuck: bool):
    async with Stage() as s:
        browser, service = await browsing(s, ws_ping_interval=20.0, ws_ping_timeout=5.0)
        browser.wire.stuck = stuck
        await asyncio.sleep(24.9)
        assert not browser.wire.closed
        await asyncio.sleep(0.2)
        assert browser.wire.closed
        assert told(service) == [Closed(1011, "client vanished")]
        await asyncio.sleep(CLOSING_SECONDS)
        assert browser.wire.lost
        assert browser.wire.aborted is stuck
        assert not s.gateway.exchanges


# --- the gateway, the server and the tunnel


@dialogue
async def test_drain_tells_both_sides():
    async with Stage() as s:
        browser, service = await browsing(s)
        drain = asyncio.get_running_loop().create_task(s.gateway.drain.run(5.0))
        await quiet()
        assert browser.closed() == (1012, "gateway is restarting")
        assert told(service) == [Closed(1001, "")]
        browser.bring(browser.codec.data_to_send())
        await drain
        assert browser.wire.lost


@dialogue
async def test_a_server_that_shuts_down_tells_both_sides():
    async with Stage() as s:
        browser, service = await browsing(s)
        assert browser.protocol in browser.front.state.connections
        browser.protocol.shutdown()
        assert browser.closed() == (1012, "")
        assert told(service) == [Closed(1012, "")]
        await quiet()
        assert browser.wire.lost
        assert browser.front.state.connections == set()


@dialogue
async def test_a_lost_agent_is_1012_behind_its_messages():
    async with Stage() as s:
        browser, service = await browsing(s)
        browser.wire.stuck = True
        service.say("x" * HIGH_WATER, "y")
        service.exchange.fail(LinkLostError("gone"))
        await quiet()
        assert s.gateway.exchanges
        browser.wire.stuck = False
        browser.wire.take(HIGH_WATER + 10)
        await quiet()
        assert [getattr(event, "data", None) or event for event in browser.events()] == [
            "x" * HIGH_WATER,
            "y",
            Closed(1012, "connection to the cluster lost"),
        ]
        assert not s.gateway.exchanges
        browser.bring(browser.codec.data_to_send())
        await quiet()
        assert browser.wire.lost


@dialogue
async def test_no_task_of_the_server_stands_behind_it_and_an_abort_leaves_nothing():
    async with Stage() as s:
        browser, service = await browsing(s)
        assert browser.front.state.tasks == set()
        browser.protocol.abort()
        await quiet()
        assert told(service) == [Closed(1011, "client vanished")]
        assert not s.gateway.exchanges
        assert browser.wire.aborted
        assert browser.wire.lost
        assert browser.front.state.connections == set()


@dialogue
async def test_a_fault_of_ours_ends_one_websocket(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch):
    async with Stage() as s:
        browser, service = await browsing(s)
        other, others = await browsing(s)

        def send_data(data: bytes) -> bool:
            monkeypatch.undo()
            raise RuntimeError("broken")

        monkeypatch.setattr(service.exchange, "send_data", send_data)
        browser.say("x")
        await quiet()
        assert browser.wire.aborted
        assert told(service) == [Closed(1011, "client vanished")]
        assert [record.message for record in caplog.records if record.levelname == "ERROR"] == ["a WebSocket failed"]
        other.say("x")
        assert others.heard() == [Message("x")]
        other.wire.lose()
        assert told(others)


@dialogue
async def test_a_fault_of_ours_after_the_accept_does_too(monkeypatch: pytest.MonkeyPatch):
    async with Stage() as s:
        browser = Browser(s)
        browser.shake_hands()
        await quiet()
        service = FakeService(s.exchange)
        with monkeypatch.context() as broken:
            broken.setattr(WebSocketCall, "accepted", mock.Mock(side_effect=ValueError("a bug")))
            service.accept()
            await quiet()
        assert browser.wire.lost
        assert s.exchange.resets == 1


@dialogue
async def test_a_client_that_offers_compression_gets_none():
    """The channel speaks no extension, whatever the server's settings say."""
    async with Stage() as s:
        offer = b"Sec-WebSocket-Extensions: permessage-deflate\r\n"
        browser, service = await browsing(s, offer, ws_per_message_deflate=True)
        assert b"sec-websocket-extensions" not in browser.wire.written.lower()
        browser.say("x")
        assert service.heard() == [Message("x")]
        service.say("y")
        assert browser.heard() == ["y"]
        browser.wire.lose()
        assert told(service) == [Closed(1011, "client vanished")]
