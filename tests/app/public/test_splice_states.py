"""Every state of a splice meets everything that either side, and the gateway, can do."""

import asyncio
from collections.abc import Callable

import pytest

from tests.app.public.spliced import Pair, close, frame
from tests.fakes.loop import dialogue, left_behind
from tunnel.errors import LinkLostError, StreamRefusedError

UP, DOWN = frame(b"hello", masked=True), frame(b"hello")
FAR = 1_000_000.0

NEXT = {"OPEN": {"OPEN", "PARTING", "OVER"}, "PARTING": {"PARTING", "OVER"}, "OVER": {"OVER"}}
"""The table of `splice_states.py`. From OPEN an input may lead through PARTING."""
NEXT_WAY = {"FLOWS": {"FLOWS", "ENDING", "CLOSED"}, "ENDING": {"ENDING", "CLOSED"}, "CLOSED": {"CLOSED"}}
"""The table of `way.py`."""


def opened(pair: Pair) -> None: ...


def inside(pair: Pair) -> None:
    """Of frames that no input ends."""
    pair.client.bring(frame(bytes(100), masked=True)[:20])
    pair.stream.bring(frame(bytes(100))[:20])


def blocked(pair: Pair) -> None:
    pair.client.room = pair.stream.is_writable = False
    pair.client.bring(UP, UP)
    pair.stream.bring(DOWN, DOWN)


def flooded(pair: Pair) -> None:
    pair.client.bring(frame(masked=True) * 1000)
    pair.stream.bring(frame() * 1000)


def client_closed(pair: Pair) -> None:
    pair.client.bring(close(1000, masked=True))


def service_closed(pair: Pair) -> None:
    pair.stream.bring(close(1000))


def closed(pair: Pair) -> None:
    pair.splice.stop(now=False)


def ending(pair: Pair) -> None:
    inside(pair)
    pair.splice.stop(now=False)


def client_gone(pair: Pair) -> None:
    pair.client.vanish()


def service_gone(pair: Pair) -> None:
    pair.stream.lose(LinkLostError("gone"))


def over(pair: Pair) -> None:
    pair.splice.stop(now=True)


def dropped(pair: Pair) -> None:
    pair.splice.drop()


REACH: dict[str, tuple[Callable[[Pair], None], str, str, str]] = {
    "open": (opened, "OPEN", "FLOWS", "FLOWS"),
    "inside frames": (inside, "OPEN", "FLOWS", "FLOWS"),
    "blocked": (blocked, "OPEN", "FLOWS", "FLOWS"),
    "flooded": (flooded, "OPEN", "FLOWS", "FLOWS"),
    "client closed": (client_closed, "PARTING", "CLOSED", "FLOWS"),
    "service closed": (service_closed, "PARTING", "FLOWS", "CLOSED"),
    "closed": (closed, "PARTING", "CLOSED", "CLOSED"),
    "ending": (ending, "PARTING", "ENDING", "ENDING"),
    "client gone": (client_gone, "PARTING", "CLOSED", "CLOSED"),
    "service gone": (service_gone, "PARTING", "CLOSED", "CLOSED"),
    "over": (over, "OVER", "CLOSED", "CLOSED"),
    "dropped": (dropped, "OVER", "CLOSED", "CLOSED"),
}

INPUTS: dict[str, Callable[[Pair], object]] = {
    "the client's message": lambda pair: pair.client.bring(UP),
    "the client's close": lambda pair: pair.client.bring(close(1000, masked=True)),
    "the client's fault": lambda pair: pair.client.bring(b"\xff\x00"),
    "the service's message": lambda pair: pair.stream.bring(DOWN),
    "the service's close": lambda pair: pair.stream.bring(close(1000)),
    "the service's fault": lambda pair: pair.stream.bring(b"\xff\x00"),
    "the service's end": lambda pair: pair.stream.finish(),
    "stream lost": lambda pair: pair.stream.lose(StreamRefusedError("gone")),
    "stream writable": lambda pair: pair.splice.stream_writable(),
    "client writable": lambda pair: pair.splice.client_writable(),
    "client left": lambda pair: pair.splice.client_left(1006, ""),
    "client silent": lambda pair: pair.splice.client_silent(),
    "ping": lambda pair: pair.splice.ping_client(),
    "a turn": lambda pair: pair.client.turn(),
    "server stops": lambda pair: pair.splice.server_stops(),
    "stop": lambda pair: pair.splice.stop(now=False),
    "stop now": lambda pair: pair.splice.stop(now=True),
    "relieve": lambda pair: pair.splice.relieve(),
    "tick": lambda pair: pair.splice.tick(0.0),
    "tick, far too late": lambda pair: pair.splice.tick(FAR),
    "drop": lambda pair: pair.splice.drop(),
}

ENDS = {"stop now", "relieve", "drop"}
"""What leads to OVER from everywhere."""
LEAVES = {
    "a turn", "ping", "tick", "client writable", "stream writable", "the client's message", "the service's message",
}  # fmt: skip
"""What ends nothing that is open."""


def ways(pair: Pair) -> tuple[str, str]:
    return pair.splice._up.state.name, pair.splice._down.state.name


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize("reach", REACH)
@pytest.mark.parametrize("sudden", [False, True])
@dialogue
async def test_every_state_meets_everything(reach: str, name: str, sudden: bool):
    pair = Pair()
    act, state, up, down = REACH[reach]
    act(pair)
    assert (pair.state, *ways(pair)) == (state, up, down)
    pair.client.is_sudden = sudden
    sent = pair.up, pair.down, pair.record.messages_up, pair.record.messages_down
    if not (pair.stream.lost or pair.stream.was_reset) or not name.startswith(("the service's", "stream")):
        INPUTS[name](pair)
    assert pair.state in NEXT[state]
    assert ways(pair)[0] in NEXT_WAY[up]
    assert ways(pair)[1] in NEXT_WAY[down]
    if state == "OPEN" and name in LEAVES:
        assert pair.state == "OPEN"
    if name in ENDS:
        assert pair.state == "OVER"
    if state == "OVER" or (up == down == "CLOSED"):
        assert (pair.up, pair.down, pair.record.messages_up, pair.record.messages_down) == sent, "nothing passes"
    if pair.state == "OVER":
        was_dropped = reach == "dropped" or (name == "drop" and state != "OVER")
        assert pair.overs == (0 if was_dropped else 1)
        assert (pair.account.held_bytes, pair.stream.unacknowledged) == (0, 0)
        assert left_behind() == []
    assert (pair.record.close_code is None) == (pair.state == "OPEN" or pair.record.closed_by == "")
    pair.splice.drop()
    pair.splice.drop()
    assert (pair.state, pair.client.log.count("leave"), pair.closed) == ("OVER", 1, 1)
    assert (pair.account.held_bytes, pair.stream.unacknowledged) == (0, 0)
    assert left_behind() == []


@pytest.mark.parametrize("reach", [name for name, (_, state, *_) in REACH.items() if state == "PARTING"])
@dialogue
async def test_whatever_is_parting_is_over_in_the_end(reach: str):
    pair = Pair()
    REACH[reach][0](pair)
    await asyncio.sleep(10.1)
    pair.over()
