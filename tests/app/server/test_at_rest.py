"""Whatever several clients send, in whatever order with turns of the loop, pauses and ends: the door comes to rest.

The input stops, and every call answers. A bounded number of turns later nobody has anything left to do: each connection
is gone, or waits for its client. What waits has a deadline, so in the end all are gone, and nothing is held for them.
"""

import asyncio
from collections import deque
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.rules.problems import Problem
from app.server.bodies import CHUNKS_PER_CALL
from app.server.connection_states import (
    BODY,
    CLOSED,
    CLOSING,
    DROPPING,
    HEAD,
    LINGERING,
    OPEN,
    TRAILERS,
    WAITING,
)  # fmt: skip
from app.server.heads import USUAL_BYTES, USUAL_FIELDS, Head
from tests.app.server.door import GET, Call, Client, Door, FakePeer
from tests.fakes.examples import examples
from tests.fakes.loop import dialogue, within

CLIENTS = 3
AT_REST = (WAITING, HEAD, BODY, TRAILERS, DROPPING, LINGERING, OPEN, CLOSING, CLOSED)
"""States in which the client has to do something, once its calls have answered."""
AFTER_WHOLE = (WAITING, LINGERING, OPEN, CLOSING, CLOSED)
"""Those of a client that sent nothing but whole requests."""
ENDED = (CLOSING, CLOSED)
"""Those of a client that half-closed."""
TURNS = 15
"""For what is under way, whatever was sent."""
REQUEST_TURNS = 4
"""One for its head, one for its answer, and those that it waits for others."""
BODY_BYTES = 6 * CHUNKS_PER_CALL
"""Read in one step, of the smallest chunks."""
LATEST_SECONDS = 400.0
"""By then every deadline of a silent client has come."""

Move = tuple[bytes, int | None] | str

POST = b"POST / HTTP/1.1\r\nHost: h\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
REQUESTS = [
    GET,
    b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n",
    GET[:-2] + b"X: 1\r\n" * USUAL_FIELDS + b"\r\n",
    GET[:-2] + b"X: ".ljust(USUAL_BYTES, b"x") + b"\r\n\r\n",
    POST + b"Content-Length: 5\r\n\r\nhello",
    CHUNKED + b"1\r\na\r\n" * 300 + b"0\r\n\r\n",
    CHUNKED + b"3;x=y\r\nabc\r\n0\r\nX: 1\r\n\r\n",
]
LAST = [
    POST + b"Expect: 100-continue\r\nContent-Length: 500000\r\n\r\n",
    CHUNKED + b"ffffff\r\n" + b"x" * 70_000,
    CHUNKED + b"0\r\nX",
    b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    b"x" * 70_000,
    b"bad\n",
]
"""Behind them nothing is a request, or comes at once."""

PIECES = st.tuples(
    st.builds(
        lambda before, requests, last: before + b"".join(requests) + last,
        st.sampled_from([b"", b"", b"", b"", b"\r\n", b"\r\n" * 4, b"\r"]),
        st.lists(st.sampled_from(REQUESTS), min_size=1, max_size=5),
        st.one_of(st.just(b""), st.sampled_from(LAST)),
    ),
    st.sampled_from([None, None, None, 3, 60, -1]),
)
"""Bytes, and where they are cut: what is behind the cut goes before the client's next ones."""
PAUSES = st.sampled_from([0, 0, 0, 0.3, 30.0])
"""Of 0 seconds: a turn of the loop."""
MOVES = st.one_of(
    PIECES, PIECES, PIECES, PAUSES, PAUSES, st.sampled_from(["read", "read not", "answer"]),
    st.sampled_from(["FIN", "reset", "drain"]),
)  # fmt: skip
MANNERS = st.sampled_from(
    ["whole", "answer", "parts", "after the body", "piece by piece", "unwanted", "breaks off", "later"]
)
AFTER_THE_BODY = ("after the body", "piece by piece")


class Service(Call):
    """A call that answers in its manner, once."""

    manner = "later"
    has_replied = False
    is_whole = False

    def begin(self) -> None:
        super().begin()
        assert self.head is not None
        framing = self.head.fields.framing
        has_body = framing.chunked or framing.length > 0
        if self.manner in (*AFTER_THE_BODY, "unwanted"):
            self.connection.read_body()
        if self.manner != "later" and not (self.manner in AFTER_THE_BODY and has_body):
            self.reply()

    def body(self, data: bytes, /, *, last: bool) -> bool:
        super().body(data, last=last)
        if last and self.manner in AFTER_THE_BODY:
            self.reply()
        elif self.manner == "piece by piece":
            self.connection.pause_body()
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, self.connection.resume_body)  # after the backlog's next turn
        return self.manner != "unwanted"

    def spoil(self, problem: Problem, why: str, /) -> None:
        if self.has_replied:
            self.connection.break_off(why)
        else:
            self.has_replied = True
            self.answer(problem.status)

    def reply(self) -> None:
        """Answer, unless that is done, or the client is gone."""
        if self.has_replied or self.ends:
            return
        self.has_replied = True
        if self.manner == "whole":
            self.is_whole = self.whole()
        elif self.manner in ("parts", "breaks off"):
            self.connection.start(200, [])
            self.connection.send(b"x")
            self.connection.end() if self.manner == "parts" else self.connection.break_off("a fault")
        else:
            self.answer()

    @property
    def ends(self) -> list[str]:
        """How it was told to be over."""
        return [said for said in self.log if said.startswith(("finished", "broken off", "left", "broke"))]


class Accepting(FakePeer):
    """A WebSocket that is accepted at once."""

    def serve(self) -> None:
        super().serve()
        self.connection.open(self, self)


class Stage(Door):
    """Its calls take turns in how they answer."""

    def __init__(self, manners: list[str]) -> None:
        super().__init__()
        self.manners = deque(manners)

    def take(self, head: Head, connection: Any, /) -> Service:
        call = Service(head, connection, self)
        call.manner = self.manners[0]
        self.manners.rotate(-1)
        self.calls.append(call)
        return call

    def upgrade(self, head: Head, connection: Any, /) -> FakePeer:
        self.peers.append(Accepting(connection))
        return self.peers[-1]

    def reply(self) -> None:
        """The late ones answer; one that waits for its body goes on waiting."""
        for call in self.calls:
            if isinstance(call, Service) and call.manner == "later":
                call.reply()


class Sender(Client):
    """A client, and the system between: what is sent waits there while the door does not read."""

    def __init__(self, door: Stage) -> None:
        super().__init__(door)
        self.stage = door
        self.queue: deque[bytes] = deque()  # an empty one is the FIN
        self.behind = b""  # the cut
        self.has_sent_last = False

    def move(self, move: Move) -> None:
        if isinstance(move, tuple):
            data, cut = move
            self.has_sent_last |= data.endswith(tuple(LAST))
            self.queue.append((self.behind + data)[:cut])
            self.behind = (self.behind + data)[cut:] if cut is not None else b""
        elif move == "FIN":
            self.queue.append(b"")
        elif move == "reset":
            self.wire.lose(ConnectionResetError())
        elif move == "drain":
            self.connection.finish()
        elif move == "answer":
            self.stage.reply()
        else:
            self.wire.stuck = move == "read not"
            if move == "read":
                self.wire.take(len(self.wire.buffer))
        self.deliver()

    @property
    def has_ended(self) -> bool:
        return self.wire.closed or b"" in self.queue or self.connection._ended_input

    @property
    def has_work_left(self) -> bool:
        """Whether the door still owes something to what was sent, although nothing is under way."""
        connection = self.connection
        if connection.is_full:  # it is the client that does not read
            return False
        allowed = AT_REST
        if connection._ended_input:
            allowed = ENDED
        elif not (self.behind or self.has_sent_last):
            allowed = AFTER_WHOLE
        waits = connection.state is WAITING and connection.held_bytes > 0
        return connection.state not in allowed or waits or bool(self.queue)

    def deliver(self) -> None:
        while self.queue and self.wire.reading and not self.wire.closed:
            piece = self.queue.popleft()
            if piece:
                self.send(piece)
            else:
                self.end()
        if self.wire.closed:
            self.queue.clear()


@examples(200)
@given(
    moves=st.lists(st.tuples(st.integers(0, CLIENTS - 1), MOVES), min_size=6, max_size=24),
    manners=st.lists(MANNERS, min_size=1, max_size=6),
)
def test_the_door_comes_to_rest(moves: list[tuple[int, Move | float]], manners: list[str]):
    @dialogue
    async def run() -> None:
        door = Stage(manners)
        clients = [Sender(door) for _ in range(CLIENTS)]

        def deliver() -> None:
            for client in clients:
                client.deliver()

        sent = [move[0] for _, move in moves if isinstance(move, tuple)]
        requests = sum(data.count(b" HTTP/1.") for data in sent)
        turns = TURNS + REQUEST_TURNS * requests + sum(map(len, sent)) // BODY_BYTES
        for number, move in moves:
            if isinstance(move, float | int):
                if move:  # time passes only at rest
                    await within(turns, deliver)
                await asyncio.sleep(move)
                continue
            if clients[number].has_ended:
                clients.append(clients[number])
                clients[number] = Sender(door)
            clients[number].move(move)
        door.manners = deque(["answer"])
        door.reply()
        await within(turns, deliver)
        for client in clients:
            assert not client.has_work_left
            if client.connection.state is OPEN:
                client.wire.lose()
        assert door.account.held_bytes == sum(client.connection.held_bytes for client in clients)
        await asyncio.sleep(LATEST_SECONDS)
        assert {client.connection.state for client in clients} == {CLOSED}
        assert (door.connections, len(door.deadlines), len(door.backlog), door.account.held_bytes) == ([], 0, 0, 0)
        for call in door.calls:
            if isinstance(call, Service):
                assert len(call.ends) == (not call.is_whole)
                assert call.log[-1:] == call.ends or call.is_whole

    run()
