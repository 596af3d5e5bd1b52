"""A silent WebSocket costs the ledger nothing, and is looked at again as soon as something is held or owed."""

import asyncio

import pytest

from app.public.websocket_call import WebSocketCall
from tests.app.public.limits import hits
from tests.app.stage import Stage
from tests.fakes.loop import dialogue, quiet
from tests.fakes.service import opened, parted
from tunnel.websocket import Closed, Ping

GRAIN = 0.501


class Looks:
    """The moments at which the ledger looked at a WebSocket."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.times: list[float] = []
        tick = WebSocketCall.tick

        def counted(call: WebSocketCall, now: float) -> float | None:
            self.times.append(now)
            return tick(call, now)

        patch.setattr(WebSocketCall, "tick", counted)

    def since(self) -> int:
        count = len(self.times)
        self.times.clear()
        return count


@dialogue
async def test_many_that_are_silent_are_looked_at_only_when_they_are_asked_and_given_up():
    with pytest.MonkeyPatch.context() as patch:
        looks = Looks(patch)
        async with Stage(idle_timeout=300) as s:
            all_of_them = [await opened(s) for _ in range(20)]
            await asyncio.sleep(GRAIN)
            looks.since()
            await asyncio.sleep(140)
            assert looks.since() == 0
            await asyncio.sleep(10 + GRAIN)
            assert 20 <= looks.since() <= 3 * 20  # each is asked whether it is there
            assert all(any(isinstance(event, Ping) for event in service.heard()) for _, service in all_of_them)
            await asyncio.sleep(GRAIN)
            looks.since()
            await asyncio.sleep(140)
            assert looks.since() == 0
            await asyncio.sleep(10 + GRAIN)
            assert hits(s) == {"timeout_idle": 20}
            for call, service in all_of_them:
                assert call.closed == (1001, "idle")
                assert any(isinstance(event, Closed) for event in service.heard())
                service.exchange.bring(service.codec.data_to_send())
                service.exchange.finish()
                await call.over()


@dialogue
async def test_what_is_said_moves_the_deadline_and_costs_a_look():
    with pytest.MonkeyPatch.context() as patch:
        looks = Looks(patch)
        async with Stage(idle_timeout=100) as s:
            call, service = await opened(s)
            for _ in range(5):
                await asyncio.sleep(40)
                service.say("still here")
                await quiet()
            assert looks.since() <= 2 * 5
            assert not any(isinstance(event, Ping) for event in service.heard())
            assert hits(s) == {}
            await parted(call, service)


@dialogue
async def test_who_holds_something_is_looked_at_while_it_does():
    with pytest.MonkeyPatch.context() as patch:
        looks = Looks(patch)
        async with Stage(idle_timeout=10_000) as s:
            call, service = await opened(s)
            await asyncio.sleep(60)
            looks.since()
            service.exchange.bring(b"\x82\x7e\x10\x00" + bytes(100))  # a part of a message of 4 KiB
            await asyncio.sleep(60)
            assert looks.since() >= 100
            service.exchange.bring(bytes(4096 - 100))
            await asyncio.sleep(60)
            assert looks.since() <= 3
            await parted(call, service)


@dialogue
async def test_a_client_that_takes_nothing_is_cut_off_though_all_was_silent_before():
    async with Stage(idle_timeout=10_000, websocket_write_timeout=10) as s:
        call, service = await opened(s)
        await asyncio.sleep(500)
        call.hold()
        service.say("for nobody")
        await asyncio.sleep(9)
        assert hits(s) == {}
        await asyncio.sleep(1 + 2 * GRAIN)
        assert hits(s) == {"timeout_write": 1}
        call.release()
        service.exchange.finish()
        await call.over()
