"""A WebSocket call whose bytes pass: what it is told once it talks (see `test_websocket_call_states.py`)."""

import pytest

from tests.app.public.handshakes import INPUTS, World, talking, world
from tests.app.public.spliced import closes, frames_of
from tests.fakes.loop import dialogue
from tunnel.websocket import Closed, Connection, Role

FATES: dict[str, tuple[str, list[str], list[Closed]]] = {
    "left": ("TALKING", ["hang up"], []),
    "broke": ("LEFT", ["leave"], []),
    "abandoned": ("LEFT", ["leave"], []),
    "stop": ("TALKING", [], [Closed(1012, "gateway is restarting")]),
    "stop now": ("OVER", ["leave", "hang up"], [Closed(1012, "gateway is restarting")]),
    "relieve": ("OVER", ["leave", "hang up"], [Closed(1013, "gateway is out of room")]),
    "tick, far too late": ("TALKING", [], [Closed(1001, "idle")]),
}
"""The next state, what is asked of the client's end, and what the client is told. Nothing else changes anything."""


def spliced(w: World) -> None:
    w.stage.link.passes_bytes = w.client.passes_bytes = True
    talking(w)


@pytest.mark.parametrize("name", ["accepted", "refused", "writable", "tick", *FATES])
@dialogue
async def test_a_spliced_call_meets_everything(name: str):
    async with world() as w:
        spliced(w)
        assert w.client.log[-2:] == ["splice", "start"]
        client, told = w.client.end_spliced, len(w.client.log)
        INPUTS[name](w.call)
        state, asked, said = FATES.get(name, ("TALKING", [], []))
        assert (w.call.state.name, w.client.log[told:], closes(client.written)) == (state, asked, said)
        assert bool(w.stage.exchange.resets) == (state != "TALKING")


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
        assert w.client.end_spliced.written == early
        assert w.call.held_bytes == 0
        w.client.end_spliced.vanish()
        assert closes(w.stage.exchange.body) == [Closed(1011, "client vanished")]
        assert len(frames_of(w.stage.exchange.body)) == 1
