"""How a WebSocket call opens its service's side: attempts, deadlines, and what comes before its client is accepted."""

import asyncio

import pytest

from app.public.websocket_states import State
from tests.app.public.handshakes import FAR, FRAME, INPUTS, REACH, accepting, choosing, opened, talking, world
from tests.app.public.limits import hits
from tests.fakes.loop import dialogue, left_behind, quiet
from tunnel.errors import LinkLostError, StreamRefusedError
from tunnel.websocket import Message

# --- opening


@dialogue
async def test_the_second_attempt_goes_elsewhere_and_there_is_no_third():
    async with world(links=2) as w:
        w.call.begin()
        first, second = sorted(w.stage.links, key=lambda link: not link.exchanges)
        first.only.fail(StreamRefusedError("reset"))
        assert (w.call.state, first.only.resets > 0, second.only.fresh) == (State.OPEN, True, True)
        second.only.fail(StreamRefusedError("reset"))
        assert (w.call.state, w.call.status) == (State.REFUSED, 502)
        assert sum(len(link.exchanges) for link in w.stage.links) == 2


@dialogue
async def test_the_second_attempt_waits_for_a_link_where_there_is_none():
    async with world(reconnect_grace=5.0) as w:
        opened(w)
        w.stage.link.available = False
        w.stage.exchange.fail(LinkLostError("gone"))
        assert w.call.state is State.CHOOSING
        w.call.tick(FAR)
        assert w.call.state is State.CHOOSING
        await asyncio.sleep(5.1)
        assert (w.call.state, w.call.outcome) == (State.REFUSED, "no_agent")


@dialogue
async def test_a_link_that_comes_is_taken():
    async with world(reconnect_grace=5.0) as w:
        choosing(w)
        await quiet()
        w.stage.link.available = True
        w.stage.gateway.registry.ready(w.stage.link)  # type: ignore[arg-type]
        await quiet()
        assert (w.call.state, len(w.stage.link.exchanges)) == (State.OPEN, 1)


@pytest.mark.parametrize("settings", [{"max_websockets": 0}, {"max_websockets_per_client": 0}])
@dialogue
async def test_what_is_not_admitted_opens_nothing(settings: dict[str, object]):
    async with world(**settings) as w:
        w.call.begin()
        assert w.call.state is State.REFUSED
        assert w.call not in w.stage.gateway.exchanges
        assert w.stage.link.exchanges == []


@dialogue
async def test_a_stopping_gateway_refuses():
    async with world() as w:
        w.stage.gateway.drain.closing = True
        w.call.begin()
        assert (w.call.state, w.client.log, w.call.outcome) == (State.REFUSED, ["refuse 503"], "stopping")


# --- the deadlines


@pytest.mark.parametrize("state", ["OPEN", "DECLINED"])
@dialogue
async def test_the_deadline_is_kept_to_the_moment(state: str):
    async with world(upgrade_timeout=7.3) as w:
        REACH[state](w)
        await asyncio.sleep(7.299)
        assert w.call.state is State[state]
        await asyncio.sleep(0.002)
        assert (w.call.state, w.call.status, w.call.limit) == (State.REFUSED, 504, "timeout_upgrade")
        assert hits(w.stage) == {"timeout_upgrade": 1}


@pytest.mark.parametrize("ending", ["a 101", "left", "stop"])
@dialogue
async def test_nothing_is_left_of_a_deadline(ending: str):
    async with world(upgrade_timeout=7.3) as w:
        opened(w)
        await asyncio.sleep(7.1)
        assert len(left_behind()) == 2, "the gateway's timer, and that of the last half second"
        INPUTS[ending](w.call)
        w.call.accepted()
        w.call.refused()
        await quiet()
        assert len(left_behind()) == 1, "the gateway's own timer"
        assert hits(w.stage) == {}


@dialogue
async def test_the_second_attempt_has_a_deadline_of_its_own():
    async with world(links=2, upgrade_timeout=7.3) as w:
        w.call.begin()
        await asyncio.sleep(7.1)  # the timer of the first runs
        first = next(link for link in w.stage.links if link.exchanges)
        first.only.fail(StreamRefusedError("reset"))
        await asyncio.sleep(7.299)
        assert w.call.state is State.OPEN
        await asyncio.sleep(0.002)
        assert (w.call.state, w.call.status) == (State.REFUSED, 504)


# --- between the 101 and the conversation


@dialogue
async def test_frames_that_come_early_are_held_and_then_passed_on():
    async with world() as w:
        accepting(w)
        w.stage.exchange.bring(FRAME)
        assert (w.stage.exchange.paused, w.call.held_bytes) == (True, len(FRAME))
        w.call.accepted()
        assert w.client.log == ["accept", "open", "start", "send 'hello'"]
        assert (w.stage.exchange.paused, w.call.held_bytes, w.call.messages_down) == (False, 0, 1)


@pytest.mark.parametrize(
    ("name", "code"), [("end", 1011), ("failed", 1011), ("failed, to be repeated", 1012), ("stop", 1012)]
)
@dialogue
async def test_what_happens_before_the_client_was_accepted_closes_it_afterwards(name: str, code: int):
    async with world() as w:
        accepting(w)
        INPUTS[name](w.call)
        w.call.accepted()
        assert w.client.log == ["accept", "open", "start", f"close {code}", "leave", "end"]
        assert (w.call.state, w.call.status, w.call.close_code) == (State.OVER, 101, code)
        assert len(w.stage.link.exchanges) == 1, "nothing is repeated after a 101"


@dialogue
async def test_messages_pass_both_ways_until_both_sides_are_done():
    async with world() as w:
        w.call.begin()
        service = w.service
        service.accept(b"chat")
        w.call.accepted()
        conversation = w.call._conversation
        assert conversation is not None
        conversation.message("up")
        service.say("down")
        assert service.heard() == [Message("up")]
        conversation.client_left(1000, "")
        service.heard()
        service.exchange.bring(service.codec.data_to_send())
        service.exchange.finish()
        assert (w.call.state, w.client.log[-3:]) == (State.OVER, ["send 'down'", "leave", "end"])
        assert (w.call.messages_up, w.call.messages_down, w.call.close_code) == (1, 1, 1000)
        assert (service.exchange.ended, service.exchange.resets) == (1, 0)


@dialogue
async def test_an_open_websocket_keeps_no_head_of_its_handshake():
    async with world() as w:
        talking(w)
        assert w.call._request_head is None
