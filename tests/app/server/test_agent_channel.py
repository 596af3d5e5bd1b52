"""An agent's WebSocket below ASGI: the order of its messages, in which portions they are told, and its answers."""

from tests.app.server.agent import Agent
from tests.fakes.loop import dialogue, quiet, within
from tests.fakes.transport import HIGH_WATER
from tunnel.websocket import HEAD_BYTES, Message, Pong
from tunnel.websocket.frames import encode_frame

SLICE = 64 * 1024


@dialogue
async def test_messages_are_told_in_order_whatever_their_size():
    agent = await Agent().opened()
    agent.channel.divides = True
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
    assert max(len(message) for message in agent.told) <= 50_000
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
    agent.channel.divides = True
    data = agent.codec.send_message(b"x" * 200_000)
    agent.bring(data)
    assert [len(piece) for piece in agent.told] == [HEAD_BYTES, SLICE]
    assert not agent.wire.reading
    await quiet()
    assert [len(piece) for piece in agent.told] == [HEAD_BYTES, SLICE, SLICE, SLICE, 200_000 - 3 * SLICE - HEAD_BYTES]
    assert b"".join(agent.told) == b"x" * 200_000
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
    assert agent.end == "closed with 1001 away"
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


@dialogue
async def test_a_task_that_is_cancelled_leaves_nothing_behind():
    agent = await Agent().opened()
    (task,) = agent.tasks
    task.cancel()
    await quiet()
    assert agent.wire.lost
    assert agent.tasks == set()
    assert agent.door.connections == []


@dialogue
async def test_what_waits_behind_the_close_of_an_agent_that_reads_nothing_costs_no_turns():
    agent = await Agent().opened()
    agent.wire.stuck = True
    agent.channel.send("x" * 2 * HIGH_WATER)
    agent.bring(agent.codec.close(1000) + b"x" * 3 * SLICE)
    assert agent.wire.closed
    await within(3)
    assert not agent.wire.lost
    agent.wire.take(len(agent.wire.buffer))
    await quiet()
    assert agent.wire.lost
