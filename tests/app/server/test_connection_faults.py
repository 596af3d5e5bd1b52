"""A bug of ours, wherever it is: it ends only its own connection, and nothing of that is left."""

import asyncio
from typing import NoReturn

import pytest

from app.server import connection_states as states
from app.server.connection_states import State
from tests.app.server.door import GET, Client, Door
from tests.fakes.loop import dialogue, quiet
from tests.fakes.transport import HIGH_WATER

BAD = b"bad\nmore"
UPGRADE = b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n"


def fail(*_: object) -> NoReturn:
    raise ValueError("a bug")


@dialogue
async def test_a_call_that_does_not_begin(caplog: pytest.LogCaptureFixture):
    door = Door()
    door.on_begin = fail
    with Client(door) as client:
        client.send(GET)
        assert door.call.log == ["begin", "broke"]
        assert client.wire.aborted
    assert "a request failed" in caplog.text


@pytest.mark.parametrize(("name", "asked"), [("take", GET), ("refuse", BAD), ("upgrade", UPGRADE)])
@pytest.mark.parametrize("in_turn", [False, True])
@dialogue
async def test_nobody_takes_it(name: str, asked: bytes, in_turn: bool, caplog: pytest.LogCaptureFixture):
    door = Door()
    with Client(door) as client:
        if in_turn:
            client.send(GET + asked)
            setattr(door, name, fail)
            door.call.whole()
        else:
            setattr(door, name, fail)
            client.send(asked)
        await quiet()
        assert client.wire.lost
        assert (door.connections, len(door.deadlines), door.account.held_bytes) == ([], 0, 0)
    assert caplog.messages == [f"a {'WebSocket' if name == 'upgrade' else 'request'} failed"]


@dialogue
async def test_a_call_that_fails_at_its_end_does_not_end_the_connection():
    said: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context["exception"]))
    door = Door()
    with Client(door) as client:
        client.send(GET * 2)
        door.call.finished = fail  # type: ignore[method-assign]
        client.connection.start(200, [])
        client.connection.end()
        await quiet()
        assert [str(error) for error in said] == ["a bug"]
        assert len(door.calls) == 2
        door.call.whole()
        assert client.connection.state is State.WAITING


@pytest.mark.parametrize("data", [GET, POST + b"he"])
@dialogue
async def test_a_call_that_fails_when_its_client_is_gone(data: bytes):
    door = Door()
    client = Client(door)
    client.send(data)
    door.call.left = fail  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="a bug"):
        client.wire.lose()
    assert client.connection.state is State.CLOSED
    assert (door.connections, len(door.deadlines), door.account.held_bytes) == ([], 0, 0)


@dialogue
async def test_a_websocket_that_fails_when_its_client_is_gone():
    door = Door()
    client = Client(door)
    client.send(UPGRADE)
    door.peers[0].left = fail  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="a bug"):
        client.wire.lose()
    assert (door.connections, len(door.deadlines), door.account.held_bytes) == ([], 0, 0)


@dialogue
async def test_a_call_that_fails_when_its_client_is_cut_off():
    door = Door()
    client = Client(door)
    client.wire.stuck = True
    client.send(GET)
    door.call.left = fail  # type: ignore[method-assign]
    client.connection.start(200, [])
    client.connection.send(b"x" * 2 * HIGH_WATER)
    await asyncio.sleep(2 * states.LOOK_SECONDS + 1.0)
    assert client.wire.lost
    assert (door.connections, len(door.deadlines)) == ([], 0)
