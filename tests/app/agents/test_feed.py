"""What a publisher is shown of the exchanges that came by its routes: which, when, and how much."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from app.agents.feed import Feed
from tests.app.agents.publisher import HOST, Publisher, route, stage
from tests.app.stage import Stage
from tests.fakes.asgi import Request, WebSocket
from tests.fakes.exchange import FakeExchange
from tests.fakes.link import FakeLink
from tests.fakes.loop import dialogue, quiet
from tests.fakes.service import FakeService
from tests.tunnel.gateway.peer import Line
from tunnel.account import Account
from tunnel.port import Target, Upstream
from tunnel.wire.messages import Notice
from tunnel.wire.publishing import MOST_ROWS


class FakeCarrier:
    """In place of the link's own: what is opened through the link is a `FakeLink`'s, for the test to answer."""

    def __init__(self, link: Any) -> None:
        self.link = FakeLink("p1")
        link.upstream = self._upstream

    def _upstream(self, target: Target) -> Upstream:
        assert target.publisher == "p1"
        return self.link


@asynccontextmanager
async def watching(*, watch: bool = True, **settings: Any) -> AsyncIterator[tuple[Stage, Publisher, FakeLink]]:
    async with stage(**settings) as s:
        publisher = await Publisher(s).register()
        carrier = FakeCarrier(publisher.link)
        await publisher.publish(route(), watch=watch)
        yield s, publisher, carrier.link
        await publisher.go()


def asked(s: Stage, target: str = "/", method: str = "GET", **scope: Any) -> Request:
    request = Request(s.app, method, target, host=HOST, **scope)
    request.body()
    return request.start()


async def answered(s: Stage, link: FakeLink, target: str = "/", status: int = 200, body: bytes = b"hello") -> None:
    request = asked(s, target)
    await quiet()
    answer(link.exchanges[-1], status, body)
    await request.over()


def answer(exchange: FakeExchange, status: int = 200, body: bytes = b"hello") -> None:
    exchange.answer(status)
    exchange.bring(body)
    exchange.finish()


def rows(publisher: Publisher) -> list[dict[str, Any]]:
    return [row for _, payload in publisher.answers("requests") for row in payload["requests"]]


@dialogue
async def test_the_account_has_the_rows_until_they_are_sent():
    async with watching() as (s, publisher, link):
        await answered(s, link)
        assert 200 < s.gateway.account.held_bytes < 1_000
        await asyncio.sleep(0.25)
        assert len(rows(publisher)) == 1
        assert s.gateway.account.held_bytes == 0
        await answered(s, link)
        assert s.gateway.account.held_bytes > 200
    assert s.gateway.account.held_bytes == 0


@dialogue
async def test_a_request_is_shown_once_it_has_ended():
    async with watching() as (s, publisher, link):
        request = asked(s, "/a/b?token=secret", headers=[(b"authorization", b"Bearer secret")])
        await asyncio.sleep(0.5)
        assert publisher.answers("requests") == []
        answer(link.only, 201)
        await request.over()
        await asyncio.sleep(0.25)
        ((request_id, payload),) = publisher.answers("requests")
        (row,) = payload["requests"]
        assert request_id is None
        assert payload["left_out"] == 0
        assert row["id"] == request.header(b"x-request-id").decode()  # type: ignore[union-attr]
        assert row["at"].endswith("Z")
        assert row["seconds"] == pytest.approx(0.5, abs=0.01)
        shown = {key: value for key, value in row.items() if key not in ("id", "at", "seconds")}
        assert shown == {
            "kind": "http", "method": "GET", "host": HOST, "path": "/a/b", "status": 201, "outcome": "ok",
            "bytes_up": 0, "bytes_down": 5, "client": "203.0.113.9", "key": "5173",
        }  # fmt: skip
        assert "secret" not in json.dumps(publisher.told)


@dialogue
async def test_only_its_own_and_only_while_it_watches():
    async with watching() as (s, publisher, link):
        other = await Publisher(s, agent_id="p2").register()
        await other.publish(route("other.dev.test"), watch=True)
        await answered(s, link)
        await asyncio.sleep(0.25)
        assert len(rows(publisher)) == 1
        assert rows(other) == []
        await asyncio.sleep(1)
        await publisher.publish(route(), watch=False)
        await answered(s, link)
        await asyncio.sleep(0.25)
        assert len(rows(publisher)) == 1
        await other.go()


@pytest.mark.parametrize(
    ("method", "target", "headers", "status", "outcome"),
    [
        ("TRACE", "/", [], 501, "not_implemented"),
        ("GET", "/", [(b"content-length", b"1"), (b"content-length", b"2")], 400, "bad_request"),
    ],
)
@dialogue
async def test_what_the_gateway_refuses_is_shown_too(
    method: str, target: str, headers: list[tuple[bytes, bytes]], status: int, outcome: str
):
    async with watching() as (s, publisher, _):
        request = await asked(s, target, method, headers=headers).over()
        assert request.status == status
        await asyncio.sleep(0.25)
        (row,) = rows(publisher)
        assert (row["method"], row["status"], row["outcome"]) == (method, status, outcome)


@dialogue
async def test_a_redirect_to_https_is_shown_too():
    async with watching() as (s, publisher, _):
        await asyncio.sleep(1)
        await publisher.publish(route(https_redirect=True), watch=True)
        for call in (asked(s, "/x"), WebSocket(s.app, "/x", host=HOST).start()):
            await call.over()
        await asyncio.sleep(0.25)
        assert [(row["kind"], row["outcome"]) for row in rows(publisher)] == [
            ("http", "https_redirect"),
            ("websocket", "https_redirect"),
        ]


@dialogue
async def test_a_client_that_leaves_and_a_websocket_are_shown():
    async with watching() as (s, publisher, link):
        request = asked(s)
        await asyncio.sleep(1.1)
        request.leave()
        await request.over()
        call = WebSocket(s.app, "/ws?x=1", host=HOST).start()
        await quiet()
        service = FakeService(link.exchanges[-1])
        service.accept()
        await quiet()
        await asyncio.sleep(0.5)
        assert [row["kind"] for row in rows(publisher)] == ["http"]
        call.leave(1000)
        await quiet()
        service.close(1000)
        service.exchange.finish()
        await call.over()
        await asyncio.sleep(0.25)
        left, websocket = rows(publisher)
        assert (left["status"], left["outcome"]) == (0, "client_left")
        assert (websocket["kind"], websocket["path"], websocket["status"]) == ("websocket", "/ws", 101)


@dialogue
async def test_rows_leave_together_and_what_is_beyond_the_most_is_counted():
    async with watching() as (s, publisher, link):
        for _ in range(MOST_ROWS + 7):
            await answered(s, link)
        await asyncio.sleep(0.25)
        ((_, first),) = publisher.answers("requests")
        assert (len(first["requests"]), first["left_out"]) == (MOST_ROWS, 7)
        await answered(s, link)
        await asyncio.sleep(0.25)
        _, (_, second) = publisher.answers("requests")
        assert (len(second["requests"]), second["left_out"]) == (1, 0)


@dialogue
async def test_what_the_agent_does_not_accept_is_counted_too():
    async with stage() as s:
        publisher = await Publisher(s).register(message_limit_bytes=16_384)
        link = FakeCarrier(publisher.link).link
        await publisher.publish(route(), watch=True)
        for _ in range(40):
            await answered(s, link, "/" + "%C3%A4" * 80)
        await asyncio.sleep(0.25)
        ((_, payload),) = publisher.answers("requests")
        assert 10 < len(payload["requests"]) < 40
        assert len(payload["requests"]) + payload["left_out"] == 40
        assert max(len(each) for each in publisher.heard if "requests" in str(each)) <= 16_384
        await publisher.go()


@dialogue
async def test_nothing_is_queued_behind_a_link_that_is_full():
    async with watching() as (s, publisher, link):
        publisher.hold()
        for _ in range(2):  # the first is with the socket, the second waits
            publisher.link.send_text("pong", Notice())
            await quiet()
        waiting = list(publisher.link._texts)
        for _ in range(3):
            await answered(s, link)
            await asyncio.sleep(0.25)
        assert list(publisher.link._texts) == waiting
        publisher.release()
        await asyncio.sleep(0.25)
        ((_, payload),) = publisher.answers("requests")
        assert payload == {"requests": [], "left_out": 3}


def test_a_link_is_backed_up_while_its_transport_is_full_or_a_text_waits():
    line = Line(agent_id="p1", publisher="p1", ready=True)
    line.collect()
    assert not line.link.is_backed_up
    line.link.pace.blocked(1, 0.0)
    assert line.link.is_backed_up
    line.link.pace.drained(1.0)
    assert not line.link.is_backed_up
    line.link.send_text("pong", Notice())
    assert line.link.is_backed_up
    line.collect()
    assert not line.link.is_backed_up


@dialogue
async def test_a_link_that_ends_leaves_no_timer():
    line = Line(clock=None, agent_id="p1", publisher="p1", ready=True)
    feed = Feed(line.link, lambda moment: moment, Account())
    feed._left_out = 3
    feed._wait()
    for _ in range(2):
        feed.close()
    assert repr(feed) == f"<Feed of {line.link.name}, 0 rows, 0 left out>"
    line.link.lost("end of the test")
