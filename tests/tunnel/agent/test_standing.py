"""The record of one gateway: every state meets every event."""

import pytest

from tunnel.agent.standing import FAILURE_CHARACTERS, Dial, Standing, State, one_line

URL = "wss://g/agent"
EVENTS = {
    "connecting": lambda standing, now: standing.connecting("l-1", now),
    "registering": lambda standing, now: standing.registering(now),
    "ready": lambda standing, now: standing.ready(now),
    "waiting": lambda standing, now: standing.waiting("no route", now + 2, now),
    "leaving": lambda standing, now: standing.leaving(now),
}
TO_REACH = {
    State.CONNECTING: ["connecting"],
    State.REGISTERING: ["connecting", "registering"],
    State.READY: ["connecting", "registering", "ready"],
    State.WAITING: ["connecting", "waiting"],
    State.LEAVING: ["connecting", "registering", "ready", "leaving"],
}
MOVES = {
    "connecting": dict.fromkeys(State, State.CONNECTING),
    "registering": {state: State.REGISTERING if state is State.CONNECTING else state for state in State},
    "ready": {state: state if state is State.LEAVING else State.READY for state in State},
    "waiting": dict.fromkeys(State, State.WAITING),
    "leaving": dict.fromkeys(State, State.LEAVING),
}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", EVENTS)
def test_every_state_meets_every_event(state, event):
    standing = Standing(URL, 1.0)
    for step in TO_REACH[state]:
        EVENTS[step](standing, 2.0)
    assert standing.state is state
    EVENTS[event](standing, 3.0)
    after = MOVES[event][state]
    assert standing.state is after
    stayed = (after is state and event in {"registering", "leaving"}) or (event, state) == ("ready", State.LEAVING)
    assert standing.since == (2.0 if stayed else 3.0)
    assert standing.next_attempt_at == (
        5.0 if event == "waiting" else 4.0 if stayed and state is State.WAITING else None
    )


def test_a_life():
    standing = Standing(URL, 0.0)
    standing.connecting("l-1", 1.0)
    standing.dials[Dial.UNREACHABLE] += 1
    standing.waiting("cannot connect: refused", 3.5, 2.0)
    assert (standing.link, standing.last_failure.at, standing.last_failure.text) == ("", 2.0, "cannot connect: refused")
    for link, at in (("l-2", 3.0), ("l-3", 5.0)):
        standing.connecting(link, at)
        standing.ready(at + 1)
        assert (standing.link, standing.since) == (link, at + 1)
    assert standing.reconnects == 1
    assert standing.last_failure.text == "cannot connect: refused"
    assert repr(standing) == "<Standing wss://g/agent ready>"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("as it is", "as it is"),
        ("two\nlines\r\n\tand more", "two lines and more"),
        ("\x1b[31mred\x00", "[31mred"),
        ("x" * 5_000, "x" * FAILURE_CHARACTERS),
    ],
)
def test_a_failure_is_one_printable_line(text, line):
    assert one_line(text) == line
