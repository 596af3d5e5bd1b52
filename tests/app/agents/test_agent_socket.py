"""What an agent's socket writes past ASGI: all there is, up to a turn's measure, and nothing into a full channel."""

import asyncio
from collections import deque
from typing import Any, cast

import pytest

from app.agents.socket import AgentSocket
from tests.fakes.loop import dialogue
from tunnel.yamux import Pace

KIB = 1024


class Writer:
    """The link that has messages, and the channel that takes them, as far as a socket that only writes can see."""

    def __init__(self, *messages: str | bytes) -> None:
        self.waiting = deque(messages)
        self.sent: list[str | bytes] = []
        self.asked = 0
        self.has_room = True
        self.knows_its_last = False
        self.close_code: int | None = None
        self.pace = Pace()
        nothing = cast("Any", None)
        self.socket = AgentSocket(nothing, nothing, nothing)
        self.socket.link = self.socket._channel = cast("Any", self)

    def next_message(self) -> str | bytes | None:
        self.asked += 1
        return self.waiting.popleft() if self.waiting else None

    @property
    def has_more(self) -> bool:
        return not self.knows_its_last or bool(self.waiting)

    @property
    def has_said_all(self) -> bool:
        return self.close_code is not None

    def send(self, message: str | bytes) -> bool:
        self.sent.append(message)
        return self.has_room

    async def turn(self) -> int:
        """One turn of the loop; how many messages it sent."""
        before = len(self.sent)
        await asyncio.sleep(0)
        return len(self.sent) - before


@dialogue
async def test_what_there_is_leaves_in_one_turn():
    writer = Writer("text", b"a", b"b", "text")
    writer.socket._wake_up()
    writer.socket._wake_up()
    assert await writer.turn() == 4
    assert writer.socket._flush_turn is None, "no turn of the loop is spent on looking again"


@dialogue
async def test_a_turn_has_a_measure():
    writer = Writer(*[bytes(16 * KIB)] * 3, bytes(64 * KIB), b"last")
    writer.socket._wake_up()
    assert [await writer.turn() for _ in range(4)] == [2, 2, 1, 0]


@dialogue
async def test_a_full_channel_is_given_nothing_until_it_has_room():
    writer = Writer(b"a", b"b")
    writer.has_room = False
    writer.socket._wake_up()
    assert await writer.turn() == 1
    writer.socket._wake_up()
    assert await writer.turn() == 0
    writer.has_room = True
    writer.socket._drained()
    assert await writer.turn() == 1
    assert writer.sent == [b"a", b"b"]


@dialogue
async def test_a_link_that_knows_its_last_message_is_not_asked_for_another():
    writer = Writer(b"a", b"b")
    writer.knows_its_last = True
    writer.socket._wake_up()
    writer.socket._wake_up()
    assert (await writer.turn(), writer.asked) == (2, 2)
    assert (await writer.turn(), writer.asked) == (0, 2)
    writer.waiting.append("later")
    writer.socket._wake_up()
    assert (await writer.turn(), writer.asked) == (1, 3)


@pytest.mark.parametrize("knows_its_last", [True, False])
@pytest.mark.parametrize("closed", [True, False])
@dialogue
async def test_the_end_of_the_link_is_told_after_its_last_message_only(closed: bool, knows_its_last: bool):
    writer = Writer(b"a" * 32 * KIB, b"last")
    writer.knows_its_last = knows_its_last
    writer.close_code = 1012 if closed else None
    writer.socket._wake_up()
    assert (await writer.turn(), writer.socket._wake.is_set()) == (1, False)
    assert (await writer.turn(), writer.socket._wake.is_set()) == (1, closed)
