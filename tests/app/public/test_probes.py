"""A probe: carried like a client's request, and left as soon as it has seen enough."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

import pytest

from app.observed.record import Record
from app.public import probe_client
from app.rules.request import Request
from app.rules.routes import Route, RouteTable
from tests.app.stage import HOST, Stage
from tests.fakes.link import TARGET
from tests.fakes.loop import dialogue, quiet
from tests.fakes.service import FakeService
from tunnel.errors import ServiceBrokeOffError, ServiceRefusedError
from tunnel.websocket import Closed

CLIENT = "198.51.100.7"
SECONDS = 20.0


def asked(method: str = "GET", path: bytes = b"/a", *, is_websocket: bool = False) -> Request:
    fields = [(b"host", HOST.encode()), (b"user-agent", b"probe")]
    return Request(
        method, HOST.encode(), path, b"", 1, b"", b"", fields, None, 0, CLIENT, "https", CLIENT, "https", None, "r1",
        is_websocket=is_websocket,
    )  # fmt: skip


def probing(stage: Stage, request: Request) -> "asyncio.Task[Record]":
    prober = stage.gateway.prober
    assert prober is not None
    carried: Coroutine[Any, Any, Record] = prober.probe(request, SECONDS)  # type: ignore[assignment]
    return asyncio.get_running_loop().create_task(carried)


def seen(record: Record) -> tuple[int, str, str]:
    return record.status, record.outcome, record.detail


# --- requests


@pytest.mark.parametrize("size", [0, 5, 200_000])
@dialogue
async def test_an_answer_in_parts_is_taken_and_counted(size: int):
    async with Stage() as s:
        task = probing(s, asked())
        await quiet()
        s.exchange.answer(200)
        for _ in range(4):
            s.exchange.bring(bytes(size // 4))
            await quiet()
        s.exchange.finish()
        record = await task
        assert seen(record) == (200, "ok", "")
        assert record.bytes_down == size // 4 * 4
        assert record.client == CLIENT
        assert record.ended_at is not None


@pytest.mark.parametrize("body", [b"", b"hello", bytes(100_000)])
@dialogue
async def test_a_whole_answer_is_taken(body: bytes):
    async with Stage() as s:
        task = probing(s, asked())
        await quiet()
        s.exchange.whole(body)
        record = await task
        assert seen(record) == (200, "ok", "")
        assert record.bytes_down == len(body)


@dialogue
async def test_the_service_gets_what_a_client_sends_and_no_body():
    async with Stage() as s:
        task = probing(s, asked("POST"))
        await quiet()
        head = s.exchange.head
        assert (head.method, head.target, head.body_length) == (b"POST", b"/a", 0)
        assert (b"user-agent", b"probe") in head.headers
        assert (b"x-forwarded-for", CLIENT.encode()) in head.headers
        assert (b"x-forwarded-proto", b"https") in head.headers
        s.exchange.answer(204)
        s.exchange.finish()
        assert seen(await task) == (204, "ok", "")


@dialogue
async def test_it_is_an_exchange_while_it_runs():
    async with Stage(max_requests_per_client=1) as s:
        task = probing(s, asked())
        await quiet()
        assert len(s.gateway.exchanges) == 1
        assert s.gateway.prober is not None
        assert s.gateway.prober.running == 1
        assert (await probing(s, asked())).outcome == "too_many_requests_of_client"
        s.exchange.whole(b"")
        await task
        assert s.gateway.prober.running == 0


@pytest.mark.parametrize(
    ("path", "status", "outcome"), [(b"/other", 404, "no_route"), (b"/a/..%2fb", 400, "unsafe_path")]
)
@dialogue
async def test_what_has_no_route_is_refused_as_for_a_client(path: bytes, status: int, outcome: str):
    async with Stage(routes=RouteTable([Route(HOST, b"/a", TARGET)])) as s:
        assert seen(await probing(s, asked(path=path))) == (status, outcome, "")


@dialogue
async def test_a_failure_has_the_agents_own_words():
    async with Stage() as s:
        task = probing(s, asked())
        await quiet()
        s.exchange.fail(ServiceRefusedError("connection refused by 10.0.0.1:80"))
        assert seen(await task) == (502, "service_refused", "connection refused by 10.0.0.1:80")


@dialogue
async def test_a_head_that_fails_in_the_same_turn_is_taken_back_as_at_a_door():
    async with Stage() as s:
        task = probing(s, asked("POST"))
        await quiet()
        s.exchange.answer(200)
        s.exchange.fail(ServiceBrokeOffError("it closed"))
        assert seen(await task) == (502, "service_broke_off", "it closed")


@dialogue
async def test_an_answer_that_breaks_off():
    async with Stage() as s:
        task = probing(s, asked())
        await quiet()
        s.exchange.answer(200)
        s.exchange.bring(b"half")
        await quiet()
        s.exchange.fail(ServiceBrokeOffError("it closed"))
        assert seen(await task) == (200, "broken_off", "it closed")


@dialogue
async def test_it_leaves_an_answer_that_goes_on():
    """An event stream: the head says all."""
    async with Stage() as s:
        task = probing(s, asked())
        await quiet()
        began = asyncio.get_running_loop().time()
        s.exchange.answer(200)
        record = await task
        assert seen(record) == (200, "client_left", probe_client.ENOUGH)
        assert asyncio.get_running_loop().time() - began == pytest.approx(probe_client.ANSWER_SECONDS)
        assert s.exchange.resets == 1


@pytest.mark.parametrize("piece", [1_000, 100_000])
@dialogue
async def test_it_leaves_an_answer_that_is_long(piece: int):
    async with Stage() as s:
        task = probing(s, asked())
        await quiet()
        s.exchange.answer(200)
        brought = 0
        while not s.exchange.resets:
            s.exchange.bring(bytes(piece))
            brought += piece
            await quiet()
        assert seen(await task) == (200, "client_left", probe_client.ENOUGH)
        assert probe_client.ANSWER_BYTES < brought <= probe_client.ANSWER_BYTES + piece


@dialogue
async def test_it_waits_no_longer_than_it_may():
    async with Stage(response_head_timeout=60.0) as s:
        task = probing(s, asked())
        began = asyncio.get_running_loop().time()
        record = await task
        assert seen(record) == (0, "client_left", "the probe waited no longer than 20 s")
        assert asyncio.get_running_loop().time() - began == pytest.approx(SECONDS)
        assert s.exchange.resets == 1


@dialogue
async def test_the_routes_own_deadline_comes_first():
    async with Stage(response_head_timeout=5.0) as s:
        record = await probing(s, asked())
        assert (record.status, record.outcome) == (504, "service_too_slow")


@pytest.mark.parametrize("is_websocket", [False, True])
@dialogue
async def test_an_operator_who_leaves_takes_the_probe_along(*, is_websocket: bool):
    async with Stage() as s:
        task = probing(s, asked(is_websocket=is_websocket))
        await quiet()
        task.cancel()
        await asyncio.wait((task,))
        assert s.exchange.resets == 1
        assert not s.gateway.exchanges


@dialogue
async def test_a_drain_ends_it():
    async with Stage() as s:
        task = probing(s, asked())
        await quiet()
        for exchange in s.gateway.exchanges:
            exchange.stop(now=True)
        assert (await task).outcome == "stopping_unanswered"


@pytest.mark.parametrize("is_websocket", [False, True])
@dialogue
async def test_a_fault_of_ours_is_logged_and_has_an_access_line(
    caplog: pytest.LogCaptureFixture, *, is_websocket: bool
):
    async with Stage() as s:
        s.link.refuses = RuntimeError("a bug")  # type: ignore[assignment]
        record = await probing(s, asked(is_websocket=is_websocket))
        assert (record.status, record.outcome) == (500, "internal_error")
        (line,) = [line for line in caplog.records if line.levelno == logging.ERROR]
        assert line.getMessage() == "a probe failed"


# --- WebSockets


@dialogue
async def test_a_websocket_is_closed_as_soon_as_it_is_open():
    async with Stage() as s:
        task = probing(s, asked(is_websocket=True))
        await quiet()
        service = FakeService(s.exchange)
        service.accept()
        await quiet()
        assert service.heard() == [Closed(1000, "")]
        service.close(1000)
        service.exchange.finish()
        record = await task
        assert seen(record) == (101, "ok", "")
        assert (record.closed_by, record.close_code) == ("client", 1000)


@dialogue
async def test_a_websocket_that_the_service_refuses():
    async with Stage() as s:
        task = probing(s, asked(is_websocket=True))
        await quiet()
        s.exchange.answer(403)
        s.exchange.bring(b"no")
        s.exchange.finish()
        record = await task
        assert (record.status, record.outcome, record.closed_by) == (403, "ok", "service")


@dialogue
async def test_a_websocket_without_a_route():
    async with Stage(routes=RouteTable([])) as s:
        assert seen(await probing(s, asked(is_websocket=True))) == (404, "no_route", "")


@dialogue
async def test_a_service_that_does_not_answer_the_handshake():
    async with Stage(upgrade_timeout=60.0) as s:
        record = await probing(s, asked(is_websocket=True))
        assert seen(record) == (0, "client_left", "the probe waited no longer than 20 s")


@dialogue
async def test_a_service_that_does_not_answer_the_close():
    async with Stage() as s:
        task = probing(s, asked(is_websocket=True))
        await quiet()
        FakeService(s.exchange).accept()
        began = asyncio.get_running_loop().time()
        record = await task
        assert (record.status, record.outcome, record.close_code) == (101, "ok", 1000)
        assert asyncio.get_running_loop().time() - began < 10
