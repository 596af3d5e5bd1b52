"""Every state of an HTTP call meets everything that it can be told. No sockets, no ASGI, no server: plain calls."""

import contextlib
import logging
from collections.abc import AsyncIterator, Callable

import pytest

from app.public.http_call import HttpCall
from app.public.http_states import State
from app.public.reading import read_request
from tests.app.stage import HOST, Stage
from tests.fakes.http_client import FakeHttpClient
from tests.fakes.loop import dialogue
from tunnel.errors import (
    LinkLostError,
    ServiceBrokeOffError,
    ServiceUnreachableError,
    StreamRefusedError,
    TunnelError,
)


class World:
    """A gateway with one fake link, and one call of a client."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.client = FakeHttpClient()
        self.calls: list[HttpCall] = []

    def call(self, method: str = "POST", **fields: str) -> HttpCall:
        route = self.stage.gateway.route_of(HOST, b"/")
        assert route is not None
        named = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
        request = read_request(
            method=method, path=b"/", query=b"", fields=[(b"host", HOST.encode()), *named], peer="203.0.113.9",
            peer_scheme="http", proxies=None,
        )  # fmt: skip
        self.calls.append(HttpCall(self.stage.gateway, route, request, self.client))
        return self.calls[-1]


@contextlib.asynccontextmanager
async def world(links: int = 1, **settings: object) -> AsyncIterator[World]:
    async with Stage(links, **settings) as stage:
        made = World(stage)
        yield made
        for call in made.calls:
            call.left()  # what every door says in the end; the stage then looks whether anything is left


def choosing(w: World) -> HttpCall:
    """Its cluster has lost its link just now."""
    w.stage.link.available = False
    call = w.call(transfer_encoding="chunked")
    call.begin()
    return call


def opened(w: World) -> HttpCall:
    call = w.call(transfer_encoding="chunked")
    call.begin()
    return call


def answering(w: World) -> HttpCall:
    call = opened(w)
    w.stage.exchange.answer(200)
    w.stage.exchange.bring(b"first")
    w.client.taken = True
    call.sending()
    call.sent(5)
    return call


def refused(w: World) -> HttpCall:
    call = opened(w)
    w.stage.exchange.fail(ServiceUnreachableError("no such name"))
    return call


def broken(w: World) -> HttpCall:
    call = answering(w)
    w.stage.exchange.fail(ServiceBrokeOffError("gone"))
    call.broken_off()
    return call


def left(w: World) -> HttpCall:
    call = opened(w)
    call.left()
    return call


def over(w: World) -> HttpCall:
    call = answering(w)
    call.body(b"", last=True)
    w.stage.exchange.finish()
    call.finished()
    return call


REACH: dict[str, Callable[[World], HttpCall]] = {
    "CHOOSING": choosing, "OPEN": opened, "ANSWERING": answering, "REFUSED": refused, "BROKEN": broken, "LEFT": left,
    "OVER": over,
}  # fmt: skip

FAR = 1_000_000.0

INPUTS: dict[str, Callable[[HttpCall], object]] = {
    "a part of the body": lambda call: call.body(b"part", last=False),
    "the last part": lambda call: call.body(b"last", last=True),
    "sending": lambda call: call.sending(),
    "sent": lambda call: call.sent(0),
    "finished": lambda call: call.finished(),
    "broken off": lambda call: call.broken_off(),
    "left": lambda call: call.left(),
    "broke": lambda call: call.broke(),
    "writable": lambda call: call.writable(),
    "stop": lambda call: call.stop(now=False),
    "stop now": lambda call: call.stop(now=True),
    "end by the operator": lambda call: call.end_by_operator(),
    "relieve": lambda call: call.relieve(),
    "tick": lambda call: call.tick(0.0),
    "tick, far too late": lambda call: call.tick(FAR),
}

FINAL = ("BROKEN", "LEFT", "OVER")

MOVES = {
    ("CHOOSING", "finished"): "OVER", ("CHOOSING", "broken off"): "BROKEN", ("CHOOSING", "left"): "LEFT",
    ("CHOOSING", "broke"): "LEFT", ("CHOOSING", "stop now"): "REFUSED", ("CHOOSING", "relieve"): "REFUSED",
    ("OPEN", "finished"): "OVER", ("OPEN", "broken off"): "BROKEN", ("OPEN", "left"): "LEFT", ("OPEN", "broke"): "LEFT",
    ("CHOOSING", "end by the operator"): "REFUSED", ("OPEN", "end by the operator"): "REFUSED",
    ("OPEN", "stop now"): "REFUSED", ("OPEN", "relieve"): "REFUSED", ("OPEN", "tick, far too late"): "REFUSED",
    ("ANSWERING", "finished"): "OVER", ("ANSWERING", "broken off"): "BROKEN", ("ANSWERING", "left"): "LEFT",
    ("ANSWERING", "broke"): "LEFT",
    ("REFUSED", "finished"): "OVER", ("REFUSED", "broken off"): "BROKEN", ("REFUSED", "left"): "LEFT",
    ("REFUSED", "broke"): "LEFT",
}  # fmt: skip
"""Whatever is not here leaves the state as it is."""


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize("state", REACH)
@dialogue
async def test_every_state_meets_everything(state: str, name: str, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "gateway.access")
    async with world(reconnect_grace=5.0) as w:
        call = REACH[state](w)
        assert call.state is State[state]
        lines = len(caplog.records)
        INPUTS[name](call)
        assert call.state.name == MOVES.get((state, name), state)
        assert len(caplog.records) - lines == (call.state.name in FINAL and state not in FINAL)
        assert (call in w.stage.gateway.exchanges) == (call.state.name not in FINAL)
        call.left()
        assert len([record for record in caplog.records if record.name == "gateway.access"]) == 1, "one line a call"
        assert call.held_bytes == 0


@pytest.mark.parametrize("name", ["stop now", "relieve", "tick, far too late"])
@dialogue
async def test_an_answer_that_has_begun_is_broken_off(name: str):
    async with world() as w:
        call = answering(w)
        INPUTS[name](call)
        assert w.client.log[-1] == "break off"
        assert w.stage.exchange.resets > 0
        call.broken_off()
        assert (call.outcome, call.closed_by) == ("broken_off", "gateway")


@pytest.mark.parametrize(
    ("error", "by"), [(LinkLostError("gone"), "gateway"), (ServiceBrokeOffError("gone"), "service")]
)
@dialogue
async def test_who_broke_an_answer_off(error: TunnelError, by: str):
    async with world() as w:
        call = answering(w)
        w.stage.exchange.fail(error)
        call.broken_off()
        assert (call.outcome, call.closed_by) == ("broken_off", by)


@pytest.mark.parametrize("name", ["stop now", "relieve", "tick, far too late"])
@dialogue
async def test_a_client_that_takes_nothing_is_cut_off(name: str):
    async with world() as w:
        call = answering(w)
        call.sending()
        INPUTS[name](call)
        assert w.client.log[-1] == "abort"
        ends = (State.LEFT, "client_left", "client") if name != "relieve" else (State.BROKEN, "broken_off", "gateway")
        assert (call.state, call.outcome, call.closed_by) == ends


@pytest.mark.parametrize("reach", ["CHOOSING", "OPEN"])
@dialogue
async def test_a_call_that_the_operator_ends_is_answered_502(reach: str):
    async with world(reconnect_grace=5.0) as w:
        call = REACH[reach](w)
        call.end_by_operator()
        assert w.client.log[-1] == "answer 502"
        assert (call.status, call.outcome, call.detail) == (502, "ended_by_operator", "ended by the operator")
        call.finished()


@pytest.mark.parametrize("is_read", [True, False])
@dialogue
async def test_an_answer_that_the_operator_ends_says_so_in_its_line(is_read: bool):
    """Its client sees that it is incomplete, also one that reads nothing and would hear no end."""
    async with world() as w:
        call = answering(w)
        if not is_read:
            call.sending()
        assert call.end_by_operator()
        assert w.client.log[-1] == ("break off" if is_read else "abort")
        assert not call.end_by_operator(), "it is ending already"
        assert w.stage.exchange.resets > 0
        call.broken_off()
        assert (call.outcome, call.closed_by, call.detail) == ("ended_by_operator", "gateway", "ended by the operator")
        assert call.limit == "", "no limit ended it"


@dialogue
async def test_a_failure_before_the_head_was_taken_is_an_error_page():
    async with world() as w:
        call = opened(w)
        w.stage.exchange.answer(200)
        w.stage.exchange.fail(ServiceBrokeOffError("gone"))
        assert w.client.log[-2:] == ["retract", "answer 502"]
        assert (call.state, call.status, call.outcome) == (State.REFUSED, 502, "service_broke_off")


@dialogue
async def test_an_interim_answer_forbids_the_second_attempt():
    async with world(links=2) as w:
        call = w.call("GET")
        call.begin()
        first = next(link for link in w.stage.links if link.exchanges)
        first.only.answer(103)
        first.only.fail(StreamRefusedError("reset"))
        assert call.state is State.REFUSED
        assert sum(len(link.exchanges) for link in w.stage.links) == 1


@dialogue
async def test_the_second_attempt_goes_elsewhere_and_there_is_no_third():
    async with world(links=2) as w:
        call = w.call("GET")
        call.begin()
        first, second = sorted(w.stage.links, key=lambda link: not link.exchanges)
        first.only.fail(StreamRefusedError("reset"))
        assert (call.state, second.only.fresh) == (State.OPEN, True)
        second.only.fail(StreamRefusedError("reset"))
        assert (call.state, call.status) == (State.REFUSED, 502)


@dialogue
async def test_a_second_attempt_that_waits_for_a_link_is_choosing():
    async with world(reconnect_grace=5.0) as w:
        call = w.call("GET")
        call.begin()
        w.stage.link.available = False
        w.stage.exchange.fail(StreamRefusedError("reset"))
        assert (call.state, call.status) == (State.CHOOSING, 0)
        call.stop(now=True)
        assert (call.state, call.status) == (State.REFUSED, 503)


@dialogue
async def test_a_slow_client_holds_the_exchange():
    async with world() as w:
        call = answering(w)
        w.stage.exchange.bring(bytes(10_000), bytes(10_000))
        assert (w.stage.exchange.paused, call.held_bytes) == (True, 20_000)
        call.sending()
        call.sent(10_000)
        assert w.stage.exchange.paused
        call.sending()
        call.sent(10_000)
        assert (w.stage.exchange.paused, call.held_bytes) == (False, 0)


@dialogue
async def test_what_the_client_takes_at_once_is_neither_held_nor_waited_for():
    async with world() as w:
        call = answering(w)
        before = call.bytes_down
        w.client.takes_at_once = True
        w.stage.exchange.bring(bytes(60_000), bytes(60_000))
        assert (w.stage.exchange.paused, call.held_bytes) == (False, 0)
        assert call.bytes_down - before == 120_000
        w.client.takes_at_once = False
        w.stage.exchange.bring(bytes(60_000))
        assert (w.stage.exchange.paused, call.held_bytes) == (True, 60_000)


@dialogue
async def test_a_body_that_crosses_its_limit_after_the_answer_is_read_no_further():
    async with world(max_body_bytes=3) as w:
        call = opened(w)
        w.stage.exchange.answer(200)
        w.stage.exchange.finish()
        assert call.body(b"abc", last=False) is True
        assert call.body(b"d", last=False) is False
        assert w.stage.exchange.body == b"abc"
        assert (call.state, call.limit, call.status) == (State.ANSWERING, "body_size", 200)


@pytest.mark.parametrize("size", [0, 1, 16 * 1024 - 1, 16 * 1024, 100_000])
@dialogue
async def test_a_whole_answer_that_is_not_taken_is_held(size: int):
    async with world() as w:
        call = w.call("GET")
        call.begin()
        call.whole(200, [(b"content-length", b"%d" % size)], b"", b"x" * size)
        call.sending()
        large = size >= 16 * 1024
        assert w.stage.gateway.account.held_bytes == (size if large else 0)
        call.tick(call.began + 0.5)
        call.tick(call.began + 1.0)
        assert w.stage.gateway.account.held_bytes == size
        call.sent(size)
        assert w.stage.gateway.account.held_bytes == 0
        call.finished()
        assert (call.bytes_down, call.outcome) == (size, "ok")


@pytest.mark.parametrize(
    ("method", "status", "length", "taken", "outcome"),
    [
        ("GET", 200, b"2", 2, "ok"),
        ("GET", 200, b"3", 2, "client_left"),
        ("GET", 200, None, 2, "client_left"),
        ("GET", 200, b"2", 0, "client_left"),
        ("HEAD", 200, b"2", 0, "ok"),
        ("GET", 204, None, 0, "ok"),
        ("GET", 304, b"2", 0, "ok"),
    ],
)
@dialogue
async def test_a_client_that_has_the_whole_answer_does_not_wait_for_its_end(
    method: str, status: int, length: bytes | None, taken: int, outcome: str
):
    """Without yamux the end is a message of its own."""
    async with world() as w:
        call = w.call(method)
        call.begin()
        exchange = w.stage.exchange
        exchange.answer(status, [(b"Content-Length", length)] if length is not None else [])
        if taken:
            exchange.bring(b"ab")
            call.sent(taken)
        call.left()
        assert (call.status, call.outcome) == (status, outcome)
        assert exchange.resets > 0
