"""A door without a gateway: connections on fake transports, and calls that the test answers by hand."""

import asyncio
from collections.abc import Callable
from typing import Any, Self

from app.observed.metrics import Limit
from app.rules.problems import Problem
from app.server.backlog import Backlog
from app.server.connection import Connection
from app.server.deadlines import Deadlines
from app.server.heads import Head
from app.server.lines import HeadError
from app.server.port import Peer
from tests.app.server.moves import Moves
from tests.fakes.listener import Recorder
from tests.fakes.transport import FakeTransport
from tunnel.account import Account

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
KEEP_ALIVE_SECONDS = 75.0


class Call(Recorder):
    """A call that answers when the test says so."""

    def __init__(self, head: Head | None, connection: Connection, door: "Door") -> None:
        super().__init__()
        self.head = head
        self.connection = connection
        self.door = door

    def begin(self) -> None:
        super().begin()
        self.door.on_begin(self)

    def spoil(self, problem: Problem, why: str, /) -> None:
        super().spoil(problem, why)
        if self.door.answers_spoilt:
            self.answer(problem.status)

    def answer(self, status: int = 200, body: bytes = b"ok") -> None:
        """A whole answer of our own."""
        self.connection.answer(status, [(b"content-length", b"%d" % len(body))], body)

    def whole(self, body: bytes = b"ok") -> bool:
        """A whole answer of the service."""
        block = b"content-length: %d\r\n" % len(body)
        return self.connection.whole(200, [(b"content-length", b"%d" % len(body))], block, body)


class FakePeer:
    """The other half of an upgraded connection."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.log: list[str] = []
        self.data = b""

    def serve(self) -> None:
        self.log.append("serve")

    def data_received(self, data: bytes, /) -> None:
        self.data += data

    def on_writable(self) -> None:
        self.log.append("writable")

    def left(self) -> None:
        self.log.append("left")

    def shutdown(self) -> None:
        self.log.append("shutdown")


class Door:
    """A `Reception`, and the connections that were made to it."""

    def __init__(self, account: Account | None = None) -> None:
        self.account = account or Account()
        self.backlog = Backlog(asyncio.get_running_loop())
        self.deadlines = Deadlines(asyncio.get_running_loop())
        self.keep_alive_seconds = KEEP_ALIVE_SECONDS
        self.calls: list[Call] = []
        self.refused: list[HeadError] = []
        self.peers: list[FakePeer] = []
        self.connections: list[Any] = []
        self.on_begin: Callable[[Call], None] = lambda _: None
        self.answers_spoilt = True

    def take(self, head: Head, connection: Any, /) -> Call:
        self.calls.append(Call(head, connection, self))
        return self.calls[-1]

    def refuse(self, error: HeadError, connection: Any, /) -> Call:
        self.refused.append(error)
        call = Call(None, connection, self)
        connection_answer = call.answer
        call.begin = lambda: connection_answer(error.problem.status)  # type: ignore[method-assign]
        self.calls.append(call)
        return call

    def upgrade(self, head: Head, connection: Any, /) -> Peer:
        self.peers.append(FakePeer(connection))
        return self.peers[-1]

    def relieved(self, connection: Any, _limit: Limit, /) -> None:
        self.relieved_ = connection

    def joined(self, connection: Any, /) -> None:
        self.connections.append(connection)

    def handed_over(self, connection: Any, heir: Any, /) -> None:
        self.connections.remove(connection)
        self.connections.append(heir)

    def parted(self, connection: Any, /) -> None:
        self.connections.remove(connection)

    @property
    def call(self) -> Call:
        return self.calls[-1]


def reading() -> Door:
    """Its calls take the body at once."""
    door = Door()
    door.on_begin = lambda call: call.connection.read_body()
    return door


class WatchedConnection(Moves, Connection):
    """See `Moves`."""


class Client:
    """One client's connection."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.wire = FakeTransport()
        self.connection = WatchedConnection(door, asyncio.get_running_loop())
        self.wire.protocol = self.connection
        self.wire.can_write_eof = lambda: True  # type: ignore[method-assign]
        self.connection.connection_made(self.wire)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.wire.lose()

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.connection.data_received(piece)

    def end(self) -> bool:
        """The client's FIN; as a transport does, the connection is closed unless it wants to be kept."""
        keeps = self.connection.eof_received()
        if not keeps:
            self.wire.close()
        return keeps

    @property
    def got(self) -> bytes:
        return self.wire.written
