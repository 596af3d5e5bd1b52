"""A WebSocket call whose bytes pass, and what takes its place (see `test_websocket_call_states.py`)."""

import logging
from collections.abc import Callable
from unittest import mock

import pytest

from app.public.splice import Splice
from app.public.spliced_call import SplicedCall
from tests.app.public.handshakes import FAR, INPUTS, World, talking, world
from tests.app.public.spliced import closes, frames_of
from tests.app.public.test_websocket_call_states import ended
from tests.fakes.loop import dialogue
from tunnel.websocket import Closed, Connection, Role

OPEN, PARTING, OVER = "OPEN", "PARTING", "OVER"
RESTARTING = Closed(1012, "gateway is restarting")
FATES: dict[str, tuple[Callable[[SplicedCall], object], str, list[str], list[Closed]]] = {
    "tick": (lambda call: call.tick(0.0), OPEN, [], []),
    "left": (lambda call: call.client_left(1006, ""), PARTING, ["hang up"], []),
    "broke": (lambda call: call.broke(), OVER, ["leave"], []),
    "stop": (lambda call: call.stop(now=False), PARTING, [], [RESTARTING]),
    "stop now": (lambda call: call.stop(now=True), OVER, ["leave", "hang up"], [RESTARTING]),
    "end by the operator": (lambda call: call.end_by_operator(), PARTING, [], [Closed(1012, "ended by the operator")]),
    "relieve": (lambda call: call.relieve(), OVER, ["leave", "hang up"], [Closed(1013, "gateway is out of room")]),
    "tick, far too late": (lambda call: call.tick(FAR), PARTING, [], [Closed(1001, "idle")]),
}
"""What it is told; its next state, what is asked of the client's end, and what the client is told."""


def spliced(w: World) -> SplicedCall:
    """What stands for the WebSocket once it is open."""
    w.stage.link.passes_bytes = w.client.passes_bytes = True
    talking(w)
    (heir,) = w.stage.gateway.exchanges
    assert isinstance(heir, SplicedCall)
    return heir


@pytest.mark.parametrize("name", FATES)
@dialogue
async def test_a_spliced_websocket_meets_everything_and_ends_once(name: str, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "gateway.access")
    async with world() as w:
        heir = spliced(w)
        assert w.client.log[-2:] == ["splice", "start"]
        client, told = w.client.end_spliced, len(w.client.log)
        act, state, asked, said = FATES[name]
        act(heir)
        assert (heir.state.name, w.client.log[told:], closes(client.written)) == (state, asked, said)
        assert bool(w.stage.exchange.resets) == (state == OVER) == (heir not in w.stage.gateway.exchanges)
        heir.broke()
        heir.broke()
        assert ended(caplog) == 1
        assert not w.stage.gateway.exchanges
        assert repr(w.stage.gateway.admission) == "<Admission 0 WebSockets: 0 routes, 0 clients, 0 clusters>"


@pytest.mark.parametrize("name", ["accepted", "refused", "broke", "abandoned", "left", "stop", "stop now", "relieve"])
@dialogue
async def test_its_call_is_over_and_passes_on_what_it_is_still_told(name: str):
    async with world() as w:
        heir = spliced(w)
        INPUTS[name](w.call)
        assert (w.call.state.name, w.call.is_over) == ("SPLICED", True)
        assert heir.state.name == (FATES[name][1] if name in ("left", "stop", "stop now", "relieve") else OPEN)
        heir.broke()


@dialogue
async def test_a_fault_as_it_begins_ends_it():
    async with world() as w:
        w.stage.link.passes_bytes = w.client.passes_bytes = True
        with (
            mock.patch.object(Splice, "begin", side_effect=ValueError("a bug")),
            pytest.raises(ValueError, match="bug"),
        ):
            talking(w)
        assert w.stage.exchange.resets == 1
        assert not w.stage.gateway.exchanges


@dialogue
async def test_the_operator_ends_it_once():
    async with world() as w:
        heir = spliced(w)
        assert [heir.end_by_operator(), heir.end_by_operator()] == [True, False]
        assert (heir.record.outcome, heir.record.closed_by) == ("ended_by_operator", "gateway")
        heir.broke()


@pytest.mark.parametrize(("client", "link"), [(True, False), (False, True), (False, False)])
@dialogue
async def test_who_does_not_pass_bytes_is_not_spliced(client: bool, link: bool):
    async with world() as w:
        w.client.passes_bytes, w.stage.link.passes_bytes = client, link
        talking(w)
        assert w.client.log[-2:] == ["open", "start"]


@dialogue
async def test_early_frames_are_held_until_the_client_is_accepted():
    async with world() as w:
        w.stage.link.passes_bytes = w.client.passes_bytes = True
        w.call.begin()
        w.service.accept(b"chat")
        early = Connection(Role.SERVER).send_message("early")
        w.stage.exchange.bring(early)
        assert (w.stage.exchange.paused, w.call.held_bytes) == (True, len(early))
        w.call.accepted()
        (heir,) = w.stage.gateway.exchanges
        assert isinstance(heir, SplicedCall)
        assert w.client.end_spliced.written == early
        assert w.call.held_bytes == 0
        w.client.end_spliced.vanish()
        assert closes(w.stage.exchange.body) == [Closed(1011, "client vanished")]
        assert len(frames_of(w.stage.exchange.body)) == 1
        heir.broke()
