"""A client that reads nothing cannot keep its connection, whoever ends it, and in whatever state."""

import asyncio

import pytest

from app.server import connection_states as states
from app.server.connection_states import State
from tests.app.server.agent import Agent
from tests.app.server.browser import browsing
from tests.app.server.door import GET, Client, Door
from tests.app.server.door_stage import Front, Visitor
from tests.app.stage import Stage
from tests.fakes.loop import dialogue, quiet
from tests.fakes.transport import HIGH_WATER

SOON = 2 * (states.ROWS[State.CLOSING].seconds or 0.0) + 1.0
"""A close frame may be waited for before the connection is closed."""


@dialogue
async def test_it_ends_its_side_long_after_the_request():
    door = Door()
    with Client(door) as client:
        client.wire.stuck = True
        client.send(GET)
        client.connection.start(200, [])
        client.connection.send(b"x" * 2 * HIGH_WATER)
        await quiet()
        await asyncio.sleep(1.0)
        assert not client.end()
        assert door.call.log[-1] == "left"
        assert client.connection.state is State.CLOSING
        await asyncio.sleep(SOON)
        assert client.wire.aborted
        assert client.wire.lost
        assert door.connections == []


@dialogue
async def test_it_ends_its_side_of_a_websocket():
    async with Stage() as s:
        browser, service = await browsing(s)
        browser.wire.stuck = True
        service.say("x" * 2 * HIGH_WATER)
        browser.visitor.protocol.eof_received()
        browser.wire.close()  # as a transport does
        await asyncio.sleep(SOON)
        assert browser.wire.aborted
        assert browser.wire.lost


@pytest.mark.parametrize("how", ["its close frame", "our close frame", "a wrong frame", "the server stops"])
@dialogue
async def test_an_agents_websocket_is_closed(how: str):
    agent = await Agent().opened()
    agent.wire.stuck = True
    agent.channel.send("x" * 2 * HIGH_WATER)
    if how == "its close frame":
        agent.bring(agent.codec.close(1000))
    elif how == "our close frame":
        await agent.socket.close(1001, "")
    elif how == "a wrong frame":
        agent.bring(b"\xff" * 16)
    else:
        agent.client.connection.shutdown()
    await asyncio.sleep(SOON)
    assert agent.wire.aborted
    assert agent.wire.lost
    assert agent.tasks == set()


@pytest.mark.parametrize("how", ["its close frame", "the server stops"])
@dialogue
async def test_a_clients_websocket_is_closed(how: str):
    async with Stage() as s:
        browser, service = await browsing(s)
        browser.wire.stuck = True
        service.say("x" * 2 * HIGH_WATER)
        if how == "its close frame":
            browser.bring(browser.codec.close(1000))
        else:
            browser.protocol.shutdown()
        assert browser.protocol.state is State.CLOSING
        await asyncio.sleep(SOON)
        assert browser.wire.aborted
        assert browser.wire.lost


# --- answers of our own, which have no route and so no limit of one


def asking(front: Front, host: str, path: bytes) -> Visitor:
    """A client that sends ever more requests, and reads no answer."""
    visitor = Visitor(front)
    visitor.wire.stuck = True
    head = b"GET " + path + b" HTTP/1.1\r\nHost: " + host.encode() + b"\r\n\r\n"
    visitor.protocol.data_received(head * (states.WAITING_BYTES // len(head)))
    return visitor


async def until_full(visitor: Visitor) -> None:
    while len(visitor.wire.buffer) <= HIGH_WATER:
        before = len(visitor.wire.buffer)
        await quiet()
        assert len(visitor.wire.buffer) > before


@pytest.mark.parametrize(("host", "path"), [("unrouted.test", b"/"), ("localhost", b"/-/status")])
@dialogue
async def test_it_takes_nothing_of_pages_of_ours(host: str, path: bytes):
    async with Stage() as s:
        with asking(Front(s), host, path) as visitor:
            await until_full(visitor)
            await asyncio.sleep(2 * states.LOOK_SECONDS + 1.0)
            assert visitor.wire.aborted
            await quiet()
            assert visitor.front.state.tasks == set()


@dialogue
async def test_it_takes_nothing_of_the_refusal_of_its_body():
    async with Stage() as s:
        with Visitor(Front(s)) as visitor:
            visitor.wire.stuck = True
            visitor.wire.high_water = 0
            visitor.ask("/", b"Content-Length: 5\r\n", host="unrouted.test", method="POST")
            await quiet()
            assert visitor.protocol.state is State.BODY
            await asyncio.sleep(3 * states.LOOK_SECONDS)
            assert visitor.wire.aborted


@dialogue
async def test_who_reads_slowly_keeps_it_and_who_hardly_reads_does_not():
    async with Stage() as s:
        with asking(Front(s), "unrouted.test", b"/") as visitor:
            await until_full(visitor)
            for _ in range(20):
                await asyncio.sleep(states.LOOK_SECONDS)
                visitor.wire.take(2 * states.LEAST_ANSWER_BYTES)
            assert not visitor.wire.closed
            for _ in range(3):
                await asyncio.sleep(states.LOOK_SECONDS)
                visitor.wire.take(1)
            assert visitor.wire.aborted


@dialogue
async def test_who_read_all_between_two_looks_has_read():
    async with Stage() as s:
        with asking(Front(s), "unrouted.test", b"/") as visitor:
            for _ in range(3):
                await until_full(visitor)
                await asyncio.sleep(states.LOOK_SECONDS)
                visitor.wire.take(len(visitor.wire.buffer))
                assert not visitor.wire.closed
