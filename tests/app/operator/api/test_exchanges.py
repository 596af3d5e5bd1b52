"""`/-/exchanges`: what is said of a request and a WebSocket that run, who is listed, and the end of one."""

import asyncio
import json
from typing import Any

import pytest

from app.node.exchange_item import ExchangeItem, item_of, stalled_by
from app.node.stalls import NO_LAGS, Lag, Lags
from app.observed.metrics import Limit
from app.observed.record import Record
from tests.app.operator.api.calls import ask, stage, told
from tests.app.stage import HOST, Stage
from tests.fakes.asgi import Request, WebSocket
from tests.fakes.link import TARGET
from tests.fakes.loop import dialogue, quiet
from tunnel.port import Target


class Running:
    """An exchange of the ledger that does nothing."""

    is_websocket = False
    held_bytes = 0

    def __init__(self, **changes: Any) -> None:
        fields = {"kind": "http", "request_id": "r", "method": "GET", "host": b"a.test", "path": b"/", "target": TARGET,
                  "began": 1_000.0, "client": "192.0.2.1"}  # fmt: skip
        self.record = Record(**{**fields, **changes})
        self.client = self.record.client
        self.ended = 0

    def item(self, identity: str, *, began_at: float, now: float) -> ExchangeItem:
        return item_of(self.record, identity, "answering", self.held_bytes, NO_LAGS, began_at=began_at, now=now)

    def stop(self, *, now: bool) -> None: ...

    def end_by_operator(self) -> bool:
        self.ended += 1
        return self.ended == 1

    def tick(self, now: float) -> float | None:
        return None

    def relieve(self, limit: Limit) -> None: ...

    def lags(self) -> Lags:
        return NO_LAGS


def run(s: Stage, *exchanges: Running) -> None:
    for each in exchanges:
        s.gateway.exchanges.began(each)


def over(s: Stage) -> None:
    for each in s.gateway.exchanges:
        s.gateway.exchanges.ended(each)


async def items(s: Stage, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await told(s, f"/-/exchanges{query}"))["exchanges"]
    return found


# --- what is said


@dialogue
async def test_what_is_said_of_a_request():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.time", lambda: 1_800_000_000.0)
        async with stage(links=1) as s:
            headers = [(b"x-request-id", b"id-1"), (b"content-length", b"9")]
            running = Request(s.app, "POST", "/a/b?token=secret", headers=headers).start()
            running.body(b"1234", more=True)
            await quiet()
            await asyncio.sleep(2)
            (item,) = await items(s)
            assert item == await told(s, f"/-/exchanges/{item['id']}")
            assert item.pop("age_seconds") == pytest.approx(2.0, abs=0.01)
            assert item.pop("request_id")
            assert item == {
                "id": "exchange-1", "kind": "http", "method": "POST", "host": HOST, "path": "/a/b",
                "client": "203.0.113.9", "cluster": "c1", "namespace": "apps", "service": "web", "port": 80,
                "link": s.link.name, "agent": s.link.agent_id, "dialect": "yamux", "status": None,
                "state": "waiting for the answer", "since": "2027-01-15T08:00:00.000Z", "bytes_up": 4,
                "bytes_down": 0, "messages_up": 0, "messages_down": 0, "held_bytes": 0, "stalled_by": None,
            }  # fmt: skip
            running.body(b"56789")
            await quiet()
            s.exchange.answer(201)
            s.exchange.bring(b"abc")
            await quiet()
            (item,) = await items(s)
            assert (item["status"], item["state"], item["bytes_up"], item["bytes_down"]) == (201, "answering", 9, 3)
            s.exchange.finish()
            await running.over()
            assert await items(s) == []


@dialogue
async def test_who_takes_nothing_is_said():
    async with stage(links=1) as s:
        running = Request(s.app).start()
        await quiet()
        running.hold()
        s.exchange.answer(200)
        s.exchange.bring(b"x" * 100_000)
        await asyncio.sleep(2)
        (item,) = await items(s)
        assert (item["stalled_by"], item["held_bytes"]) == ("client", 100_000)
        running.release()
        await quiet()
        (item,) = await items(s)
        assert (item["stalled_by"], item["held_bytes"]) == (None, 0)
        s.exchange.finish()
        await running.over()


@pytest.mark.parametrize(
    ("lags", "side"),
    [
        ((None, None), None),
        ((Lag(9.4, 1), None), "client"),
        ((Lag(9.6, 1), None), None),
        ((None, Lag(8.4, 1)), "service"),
        ((None, Lag(8.6, 1)), None),
        ((Lag(1.0, 1), Lag(1.0, 1)), "client"),
        ((Lag(None, 1), Lag(1.0, 1)), "service"),
    ],
)
def test_a_side_stalls_when_it_took_nothing_for_long_enough(lags: Lags, side: str | None):
    assert stalled_by(lags, 10.0) == side


# --- who is listed


ROWS = {
    "kind=http": "acd", "kind=websocket": "b", "cluster=c1": "abc", "cluster=c2": "d", "cluster=none": "",
    "host=a.test": "ab", "host=A.test.:443": "ab", "host=test": "", "client=192.0.2.1": "ab", "client=192.0.2.2": "cd",
    "link=link-1": "c", "request_id=b": "b", "cluster=c1&kind=http": "ac", "cluster=c2&kind=websocket": "",
}  # fmt: skip


@pytest.mark.parametrize("query", ROWS)
@dialogue
async def test_filters_are_exact(query: str):
    async with stage() as s:
        run(
            s,
            Running(request_id="a", host=b"a.test:8080"),
            Running(request_id="b", host=b"A.TEST", kind="websocket"),
            Running(request_id="c", host=b"b.test", client="192.0.2.2", link="link-1"),
            Running(request_id="d", host=b"b.test", client="192.0.2.2", target=Target("c2", "apps", "web", 80)),
        )
        page = await told(s, f"/-/exchanges?{query}")
        assert "".join(item["request_id"] for item in page["exchanges"]) == ROWS[query]
        assert page["total"] == 4
        over(s)


@dialogue
async def test_pages_go_on_while_exchanges_come_and_go():
    async with stage() as s:
        calls = [Running(request_id=str(number)) for number in range(7)]
        run(s, *calls[:5])
        first = await told(s, "/-/exchanges?limit=2")
        s.gateway.exchanges.ended(calls[1])
        s.gateway.exchanges.ended(calls[2])
        run(s, *calls[5:])
        second = await told(s, f"/-/exchanges?limit=2&after={first['next']}")
        third = await told(s, f"/-/exchanges?limit=2&after={second['next']}")
        pages = [[item["request_id"] for item in page["exchanges"]] for page in (first, second, third)]
        assert pages == [["0", "1"], ["3", "4"], ["5", "6"]]
        assert third["next"] is None
        over(s)


@dialogue
async def test_of_those_that_ended_nothing_is_kept():
    async with stage() as s:
        for _ in range(3):
            run(s, *(Running() for _ in range(50)))
            await told(s, "/-/exchanges")
            over(s)
        assert (len(s.gateway.exchanges._numbers), len(s.gateway.exchanges._by_number)) == (0, 0)
        assert s.gateway.exchanges.last_number == 150


@dialogue
async def test_one_that_ends_while_the_page_is_made_is_left_out():
    async with stage() as s:
        calls = [Running(request_id=str(number)) for number in range(250)]
        run(s, *calls)
        asked = asyncio.ensure_future(told(s, "/-/exchanges"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        s.gateway.exchanges.ended(calls[249])
        page = await asked
        assert len(page["exchanges"]) == 249
        assert len(s.gateway.exchanges._numbers) == 249
        over(s)


@pytest.mark.parametrize(
    ("name", "status"),
    [("exchange-1", 410), ("exchange-2", 200), ("exchange-3", 404), ("exchange-0", 404), ("exchange-02", 404),
     ("2", 404), ("link-2", 404), ("exchange-", 404), ("exchange-%D9%A2", 404), ("exchange-" + "9" * 19, 404)],
)  # fmt: skip
@dialogue
async def test_one_by_its_name(name: str, status: int):
    async with stage() as s:
        ended = Running()
        run(s, ended, Running())
        await told(s, "/-/exchanges")
        s.gateway.exchanges.ended(ended)
        answered, body = await ask(s, f"/-/exchanges/{name}")
        assert answered == status
        if status != 200:
            assert body["code"] == {404: "not_found", 410: "gone"}[status]
            assert (await ask(s, f"/-/exchanges/{name}", "DELETE"))[0] == status
        over(s)


# --- the end of one


@dialogue
async def test_a_request_is_ended_at_once():
    async with stage(links=1) as s:
        running = Request(s.app).start()
        await quiet()
        (item,) = await items(s)
        status, body = await ask(s, f"/-/exchanges/{item['id']}", "DELETE")
        assert (status, body["id"]) == (202, item["id"])
        await running.over()
        assert (running.status, running.header(b"retry-after")) == (502, None)
        assert json.loads(running.answer)["code"] == "ended_by_operator"
        assert s.exchange.resets
        (event,) = s.gateway.events.since()
        assert (event.kind, event.cluster, event.address) == ("exchange_ended_by_operator", "c1", "203.0.113.9")
        assert f"http {HOST}/, id {item['request_id']}, ended by the operator" == event.message
        assert (await ask(s, f"/-/exchanges/{item['id']}", "DELETE"))[0] == 410


@dialogue
async def test_a_websocket_is_closed_as_by_a_drain():
    async with stage() as s:
        socket = Running(kind="websocket")
        socket.is_websocket = True
        run(s, socket)
        await told(s, "/-/exchanges")
        _, body = await ask(s, "/-/exchanges/exchange-1", "DELETE")
        assert socket.ended == 1
        assert body["message"] == "the WebSocket is being closed with 1012"
        over(s)


@dialogue
async def test_what_is_ending_already_is_no_event_again():
    async with stage() as s:
        socket = Running(kind="websocket")
        socket.is_websocket = True
        run(s, socket)
        await told(s, "/-/exchanges")
        await ask(s, "/-/exchanges/exchange-1", "DELETE")
        status, body = await ask(s, "/-/exchanges/exchange-1", "DELETE")
        assert (status, body["message"]) == (202, "it was ending already")
        assert [event.kind for event in s.gateway.events.since()] == ["exchange_ended_by_operator"]
        over(s)


@dialogue
async def test_a_handshake_that_runs_is_listed_too():
    async with stage(links=1) as s:
        client = WebSocket(s.app, "/ws?token=secret", headers=[(b"sec-websocket-version", b"13")]).start()
        await quiet()
        (item,) = await items(s)
        assert (item["kind"], item["path"], item["state"]) == ("websocket", "/ws", "waiting for the service's answer")
        await ask(s, f"/-/exchanges/{item['id']}", "DELETE")
        await client.over()
        assert await items(s) == []
