"""An agent's WebSocket below ASGI: the order of its messages, in which portions they are told, and its answers."""

from collections.abc import Callable
from typing import Any

from app.server.agent_channel import AgentChannel
from tests.app.server.uvicorn_connection import Connection
from tests.fakes.loop import dialogue, quiet
from tests.fakes.transport import HIGH_WATER, FakeTransport
from tunnel import websocket
from tunnel.websocket import Message, Pong
from tunnel.websocket.frames import encode_frame

SLICE = 64 * 1024


class Agent:
    """A connection whose application becomes a channel with the accept, and waits for its end."""

    def __init__(self) -> None:
        self.wire = FakeTransport()
        self.connection = Connection(self, self.wire, ws_ping_interval=None, ws_per_message_deflate=False)
        self.codec = websocket.Connection(websocket.Role.CLIENT)
        self.told: list[str | bytes] = []
        self.drained = 0
        self.end: dict[str, Any] = {}

    async def __call__(self, scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        self.channel: AgentChannel = scope["extensions"]["gateway.channel"]()
        self.channel.start(self.told.append, self._on_writable)
        self.end = await receive()

    def _on_writable(self) -> None:
        self.drained += 1

    async def opened(self) -> "Agent":
        self.connection.upgrade()
        await quiet()
        return self

    def bring(self, data: bytes) -> None:
        self.wire.protocol.data_received(data)

    def frames(self) -> list[websocket.Event]:
        return self.codec.receive_data(self.wire.written.partition(b"\r\n\r\n")[2])

    async def hang_up(self) -> None:
        self.wire.lose()
        await quiet()
        assert self.end["type"] == "websocket.disconnect"


@dialogue
async def test_messages_are_told_in_order_whatever_their_size():
    agent = await Agent().opened()
    messages: list[str | bytes] = ["text", b"x" * SLICE, b"y" * (SLICE + 1), b"z", b"w" * 300_000, "end"]
    for message in messages:
        data = agent.codec.send_message(message)
        for at in range(0, len(data), 50_000):
            agent.bring(data[at : at + 50_000])
    await quiet()
    assert [message for message in agent.told if isinstance(message, str)] == ["text", "end"]
    assert (agent.told[0], agent.told[-1]) == ("text", "end")
    assert b"".join(data for data in agent.told if isinstance(data, bytes)) == b"".join(
        data for data in messages if isinstance(data, bytes)
    )
    assert max(len(message) for message in agent.told) == SLICE
    assert agent.wire.reading
    await agent.hang_up()


@dialogue
async def test_a_message_of_its_own_is_told_without_a_turn_of_the_loop():
    agent = await Agent().opened()
    agent.bring(agent.codec.send_message(b"one"))
    assert agent.told == [b"one"]
    await agent.hang_up()


@dialogue
async def test_a_message_above_the_slice_is_told_in_turns():
    agent = await Agent().opened()
    data = agent.codec.send_message(b"x" * 200_000)
    agent.bring(data[:150_000])
    await quiet()
    agent.bring(data[150_000:])
    assert len(agent.told) <= 1
    assert not agent.wire.reading
    await quiet()
    assert [len(message) for message in agent.told] == [SLICE, SLICE, SLICE, 200_000 - 3 * SLICE]
    assert agent.wire.reading
    await agent.hang_up()


@dialogue
async def test_a_message_that_means_something_as_a_whole_is_not_divided():
    agent = await Agent().opened()
    agent.channel.divides = False
    agent.bring(agent.codec.send_message(b"x" * 200_000))
    await quiet()
    assert [len(message) for message in agent.told] == [200_000]
    await agent.hang_up()


@dialogue
async def test_pings_are_answered_and_a_close_ends_it():
    agent = await Agent().opened()
    agent.bring(encode_frame(9, b"p", masked=True) + agent.codec.send_message(b"m"))
    assert agent.told == [b"m"]
    assert agent.frames() == [Pong(b"p")]
    agent.bring(agent.codec.close(1001, "away"))
    await quiet()
    assert agent.end == {"type": "websocket.disconnect", "code": 1001, "reason": "away"}
    assert agent.wire.lost


@dialogue
async def test_send_tells_when_the_agent_does_not_read():
    agent = await Agent().opened()
    assert agent.channel.send("hello")
    agent.wire.stuck = True
    assert not agent.channel.send(b"x" * (HIGH_WATER + 1))
    agent.wire.stuck = False
    agent.wire.take(HIGH_WATER * 2)
    assert agent.drained == 1
    assert agent.frames() == [Message("hello"), Message(b"x" * (HIGH_WATER + 1))]
    await agent.hang_up()
