"""The bound on connections: who makes room, who is cut off, and what the operator is told."""

import asyncio

import pytest

from app.server import crowd as crowd_module
from app.server.connection_states import State
from tests.app.observed.counted import samples
from tests.app.server.crowded import CUT_OFF, IDLE, NOBODY, TURNED_AWAY, Crowded
from tests.app.server.door_stage import HANDSHAKE
from tests.fakes.loop import dialogue, quiet
from tests.fakes.service import FakeService


@dialogue
async def test_up_to_the_bound_nobody_makes_room():
    async with Crowded(3, 1) as crowded:
        clients = [await crowded.answered() for _ in range(3)]
        await asyncio.sleep(10.0)
        assert [client.is_there for client in clients] == [True] * 3
        assert crowded.shed() == NOBODY
        assert repr(crowded.crowd) == "<Crowd 3 of 3 connections, 1 in reserve>"


@dialogue
async def test_above_it_the_longest_idle_connection_makes_room():
    async with Crowded(3, 1) as crowded:
        clients = []
        for _ in range(3):
            clients.append(await crowded.answered())
            await asyncio.sleep(1.0)
        await clients[0].served()  # and so the second one is the longest idle
        new = [crowded.come(), crowded.come()]
        await quiet()
        assert [client.is_there for client in clients] == [True, False, False]
        assert [client.wire.done[-1] for client in clients[1:]] == ["abort", "abort"]
        for client in new:
            await client.served()
            assert client.status == 200
            assert client.connection.state is State.WAITING
        assert crowded.shed() == {IDLE: 2}


@dialogue
async def test_those_that_come_in_one_turn_find_the_room_that_was_made():
    """A connection that was closed is gone only later: it counts neither as room nor as a connection."""
    async with Crowded(4, 1) as crowded:
        old = [await crowded.answered() for _ in range(4)]
        new = [crowded.come() for _ in range(4)]
        await quiet()
        assert [client.is_there for client in old] == [False] * 4
        assert [client.is_there for client in new] == [True] * 4
        assert crowded.shed() == {IDLE: 4}
        assert len(crowded.reception.connections) == 4


@dialogue
async def test_who_is_not_idle_never_makes_room():
    async with Crowded(6, 0) as crowded:
        silent, asks, head, unread, open_ = (crowded.come() for _ in range(5))
        asks.ask()
        head.send(b"GET / HTTP")
        open_.ask("/ws", HANDSHAKE)
        FakeService(crowded.stage.link.exchanges[-1]).accept()
        slow = crowded.come(stuck=True)
        await slow.served()
        assert (slow.connection.state, slow.wire.buffer != b"") == (State.WAITING, True)
        unread.ask()
        unread.ask()
        crowded.stage.link.exchanges[-1].whole(b"one")
        assert unread.connection.state is State.WAITING  # until the next turn of the loop
        cut = crowded.come()
        assert cut.wire.aborted
        assert all(client.is_there for client in (silent, asks, head, unread, open_, slow))
        assert crowded.shed() == {CUT_OFF: 1}
        await quiet()
        open_.wire.lose()
        await asyncio.sleep(6.0)


@dialogue
async def test_above_the_reserve_a_connection_is_cut_off_unread_and_unanswered():
    async with Crowded(2, 2) as crowded:
        clients = [crowded.come() for _ in range(4)]
        for _ in range(3):
            cut = crowded.come()
            cut.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")  # it was on its way
            assert (cut.wire.done, cut.got) == (["abort"], b"")
            await quiet()
        assert all(client.is_there for client in clients)
        assert crowded.shed() == {CUT_OFF: 3}
        assert len(crowded.reception.connections) == 4


@dialogue
async def test_when_the_silent_ones_are_late_everybody_gets_in_again():
    async with Crowded(3, 1) as crowded:
        silent = [crowded.come() for _ in range(3)]
        trickling = crowded.come()
        for _ in range(21):
            trickling.send(b"G" if trickling.is_there else b"")
            await asyncio.sleep(1.0)
        assert [client.is_there for client in silent] == [False] * 3
        new = await crowded.answered()
        assert (new.status, new.connection.state) == (200, State.WAITING)
        assert crowded.shed() == {TURNED_AWAY: 1}


@pytest.mark.parametrize(("arriving", "is_let_in"), [(0, True), (2, True), (3, False), (9, False)])
@dialogue
async def test_those_that_are_arriving_take_room_too(arriving: int, is_let_in: bool):
    """Two are there, and five may be: three more, of which two are under way at most."""
    async with Crowded(3, 2) as crowded:
        for _ in range(2):
            crowded.come()
        assert crowded.crowd.lets_in(arriving) is is_let_in
        assert crowded.shed() == (NOBODY if is_let_in else {CUT_OFF: 1})


@dialogue
async def test_idle_connections_make_room_for_those_that_are_arriving():
    async with Crowded(3, 0) as crowded:
        clients = [await crowded.answered() for _ in range(3)]
        assert crowded.crowd.lets_in(0)
        assert [client.is_there for client in clients].count(True) == 2
        assert crowded.crowd.lets_in(1)
        assert [client.is_there for client in clients].count(True) == 1
        assert crowded.shed() == {IDLE: 2}


# --- what it costs


@dialogue
async def test_places_are_those_of_the_bound_and_of_the_reserve():
    async with Crowded(2, 1) as crowded:
        left = [crowded.crowd.places()]
        for _ in range(3):
            crowded.come()
            left.append(crowded.crowd.places())
        assert left == [3, 2, 1, 0]


@dialogue
async def test_idle_connections_are_closed_in_batches():
    async with Crowded(128, 16) as crowded:
        clients = [await crowded.answered() for _ in range(128)]
        for count in (2, 2, 4):
            crowded.come()
            await quiet()
            assert crowded.shed() == {IDLE: count}
        assert sum(client.is_there for client in clients) == 124


@dialogue
async def test_a_look_is_bounded_and_goes_on_where_the_last_one_ended(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(crowd_module, "LOOKED_AT", 2)
    looked: list[tuple[int, int]] = []
    islice = crowd_module.islice

    def counted(items: object, begin: int, end: int) -> object:
        looked.append((begin, end))
        return islice(items, begin, end)

    monkeypatch.setattr(crowd_module, "islice", counted)
    async with Crowded(5, 8) as crowded:
        for _ in range(5):
            crowded.come()
        for _ in range(6):
            crowded.come()
        assert looked == [(0, 2), (2, 4), (4, 6), (6, 8), (8, 10)]  # all ten; and for a second none
        await asyncio.sleep(1.0)
        crowded.come()
        assert looked[5:] == [(0, 2)]


@dialogue
async def test_the_idle_one_is_found_wherever_it_is(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(crowd_module, "LOOKED_AT", 2)
    async with Crowded(9, 16) as crowded:
        for _ in range(8):
            crowded.come()
        idle = await crowded.answered()
        for _ in range(30):  # a look at all takes some of them
            if idle.is_there:
                crowded.come()
                await asyncio.sleep(0.25)
        assert not idle.is_there
        assert crowded.shed()[IDLE] == 1


# --- what the operator is told


@dialogue
async def test_at_most_a_line_a_minute_says_what_happened(caplog: pytest.LogCaptureFixture):
    def lines() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.name == "gateway"]

    async with Crowded(2, 1) as crowded:
        await crowded.answered()
        for _ in range(5):
            crowded.come()
        assert lines() == []
        await asyncio.sleep(1.1)
        assert len(lines()) == 1
        begin = "no room for more than 2 connections: 1 idle ones were closed, 0 new ones got 503, 2 cut off; look for "
        assert lines()[0].startswith(begin)
        await asyncio.sleep(2.0)  # the one in the reserve gets its 503
        for _ in range(50):
            crowded.come()
            await asyncio.sleep(1.0)
        assert len(lines()) == 1
        await asyncio.sleep(10.0)
        assert len(lines()) == 2
        assert "0 idle ones were closed, " in lines()[1]
        await asyncio.sleep(600.0)
        assert len(lines()) == 2


@dialogue
async def test_a_crowd_that_stops_writes_no_line(caplog: pytest.LogCaptureFixture):
    async with Crowded(1, 0) as crowded:
        crowded.come()
        crowded.come()
        crowded.crowd.stop()
        crowded.crowd.stop()
        await asyncio.sleep(30.0)
        assert "no room" not in caplog.text


@dialogue
async def test_it_is_in_the_metrics():
    async with Crowded(2, 1) as crowded:
        await crowded.answered()
        for _ in range(4):
            crowded.come()
        await asyncio.sleep(3.0)
        got = samples(crowded.metrics)
        assert got["gateway_connections_limit",] == 2
        assert got["gateway_connections_active",] == 2
        assert got["gateway_connections_shed_total", "idle"] == 1
        assert got["gateway_connections_shed_total", "turned_away"] == 1
        assert got["gateway_connections_shed_total", "cut_off"] == 1
