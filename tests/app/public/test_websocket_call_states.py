"""Every state of a WebSocket call meets everything that it can be told."""

import logging

import pytest

from app.public.websocket_states import State
from tests.app.public.handshakes import INPUTS, REACH, world
from tests.fakes.loop import dialogue

FINAL = ("LEFT", "OVER")

REFUSED_502, REFUSED_503 = ("REFUSED", ["refuse 502"]), ("REFUSED", ["refuse 503"])
GONE: tuple[str, list[str]] = ("LEFT", [])

MOVES: dict[tuple[str, str], tuple[str, list[str]]] = {
    **{(state, name): GONE
       for state in ("NEW", "CHOOSING", "OPEN", "DECLINED", "ACCEPTING", "RELAYING", "REFUSED")
       for name in ("left", "broke", "abandoned")},
    ("CHOOSING", "stop"): REFUSED_503, ("CHOOSING", "stop now"): REFUSED_503, ("CHOOSING", "relieve"): REFUSED_503,
    ("OPEN", "a 101"): ("ACCEPTING", ["accept"]), ("OPEN", "a bad 101"): REFUSED_502,
    ("OPEN", "a 403"): ("DECLINED", []),
    ("OPEN", "failed"): REFUSED_502, ("OPEN", "stop"): REFUSED_502, ("OPEN", "stop now"): REFUSED_502,
    ("OPEN", "relieve"): REFUSED_503, ("OPEN", "tick, far too late"): ("REFUSED", ["refuse 504"]),
    ("DECLINED", "end"): ("RELAYING", ["refuse 403"]), ("DECLINED", "failed"): REFUSED_502,
    ("DECLINED", "failed, to be repeated"): REFUSED_502, ("DECLINED", "stop"): REFUSED_502,
    ("DECLINED", "stop now"): REFUSED_502, ("DECLINED", "relieve"): REFUSED_503,
    ("DECLINED", "tick, far too late"): ("REFUSED", ["refuse 504"]),
    ("ACCEPTING", "accepted"): ("TALKING", ["open", "start"]),
    ("RELAYING", "refused"): ("OVER", []), ("REFUSED", "refused"): ("OVER", []),
    ("TALKING", "broke"): ("LEFT", ["leave"]), ("TALKING", "abandoned"): ("LEFT", ["leave"]),
    ("TALKING", "data"): ("TALKING", ["send 'hello'"]), ("TALKING", "writable"): ("TALKING", ["resume"]),
    ("TALKING", "end"): ("OVER", ["close 1011", "leave", "end"]),
    ("TALKING", "failed"): ("OVER", ["close 1011", "leave", "end"]),
    ("TALKING", "failed, to be repeated"): ("OVER", ["close 1012", "leave", "end"]),
    ("TALKING", "stop"): ("TALKING", ["close 1012"]), ("TALKING", "stop now"): ("OVER", ["close 1012", "leave", "end"]),
    **{(state, "end by the operator"): REFUSED_502 for state in ("CHOOSING", "OPEN", "DECLINED")},
    ("TALKING", "end by the operator"): ("TALKING", ["close 1012"]),
    ("TALKING", "relieve"): ("OVER", ["close 1013", "leave", "end"]),
    ("TALKING", "tick, far too late"): ("TALKING", ["close 1001"]),
}  # fmt: skip
"""The next state, and what the client is told. Whatever is not here leaves the state as it is, and tells nothing."""


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize("state", REACH)
@dialogue
async def test_every_state_meets_everything(state: str, name: str, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "gateway.access")
    async with world(reconnect_grace=5.0) as w:
        call = w.call
        REACH[state](w)
        assert call.state is State[state]
        told, lines = len(w.client.log), ended(caplog)
        INPUTS[name](call)
        assert (call.state.name, w.client.log[told:]) == MOVES.get((state, name), (state, []))
        final = call.state.name in FINAL
        assert call.is_over == final
        assert ended(caplog) - lines == (final and state not in FINAL)
        assert (call in w.stage.gateway.exchanges) == (state != "NEW" and not final)
        assert len(w.stage.link.exchanges) == exchanges_of(state, name)
        assert all(exchange.resets or exchange.ended for exchange in w.stage.link.exchanges) or not final
        call.abandoned()
        assert ended(caplog) == 1, "one line a call"
        assert call.held_bytes == 0


def ended(caplog: pytest.LogCaptureFixture) -> int:
    lines = [record.getMessage() for record in caplog.records if record.name == "gateway.access"]
    return len([line for line in lines if " open after " not in line])


def exchanges_of(state: str, name: str) -> int:
    """How many exchanges were opened: a failed attempt is repeated, once."""
    if state in ("NEW", "CHOOSING"):
        return 0
    return 2 if (state, name) == ("OPEN", "failed, to be repeated") else 1


RECORDS = {
    ("NEW", "left"): (0, "client_left", ""),
    ("OPEN", "left"): (0, "client_left", "client"),
    ("ACCEPTING", "left"): (0, "client_left", "client"),
    ("RELAYING", "left"): (403, "client_left", "service"),
    ("REFUSED", "left"): (502, "service_unreachable", "gateway"),
    ("RELAYING", "refused"): (403, "ok", "service"),
    ("OPEN", "broke"): (500, "internal_error", ""),
    ("OPEN", "abandoned"): (0, "ok", ""),
    ("OPEN", "a bad 101"): (502, "bad_answer", "gateway"),
    ("OPEN", "tick, far too late"): (504, "service_too_slow", "gateway"),
    ("DECLINED", "relieve"): (503, "busy", "gateway"),
    ("CHOOSING", "stop"): (503, "stopping", "gateway"),
    ("TALKING", "failed, to be repeated"): (101, "ok", "gateway"),
    ("TALKING", "end"): (101, "ok", "service"),
    ("TALKING", "left"): (101, "ok", "client"),
    ("ACCEPTING", "end by the operator"): (0, "ended_by_operator", "gateway"),
    ("OPEN", "end by the operator"): (502, "ended_by_operator", "gateway"),
    ("TALKING", "end by the operator"): (101, "ended_by_operator", "gateway"),
}


@pytest.mark.parametrize(("state", "name"), RECORDS)
@dialogue
async def test_what_the_record_says(state: str, name: str):
    async with world(reconnect_grace=5.0) as w:
        REACH[state](w)
        INPUTS[name](w.call)
        assert (w.call.status, w.call.outcome, w.call.closed_by) == RECORDS[state, name]


@dialogue
async def test_the_operator_ends_it_once():
    async with world() as w:
        REACH["TALKING"](w)
        assert [w.call.end_by_operator(), w.call.end_by_operator()] == [True, False]
        assert (w.call.outcome, w.call.closed_by) == ("ended_by_operator", "gateway")


@dialogue
async def test_the_operator_ends_none_that_its_client_closed():
    async with world() as w:
        REACH["TALKING"](w)
        INPUTS["left"](w.call)
        assert not w.call.end_by_operator()
        assert (w.call.outcome, w.call.closed_by) == ("ok", "client")
