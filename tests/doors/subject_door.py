"""The door's own reader as a subject: a whole connection, without a socket and without a loop.

Each request is answered with 200 once it is whole, so that the connection goes on with the next.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, cast

from app.server.backlog import Backlog
from app.server.connection import Connection
from app.server.connection_states import OPEN
from app.server.deadlines import Deadlines
from app.server.heads import Head
from app.server.lines import HeadError
from app.server.reception import host_fault
from tests.doors.subjects import Ending, Read, Reading
from tests.fakes.transport import FakeTransport
from tunnel.account import Account

TURNS = 2_000
"""More than any mutant needs: each turn reads on."""


class _Turn:
    """A call that is due."""

    def __init__(self, callback: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        self.run = lambda: callback(*arguments)

    def cancel(self) -> None:
        self.run = lambda: None


class _Loop:
    """What a connection asks of a loop, with a clock that stands still."""

    def __init__(self) -> None:
        self._due: deque[_Turn] = deque()

    def time(self) -> float:
        return 0.0

    def call_soon(self, callback: Callable[..., object], *arguments: Any) -> _Turn:
        self._due.append(_Turn(callback, arguments))
        return self._due[-1]

    def call_later(self, _: float, callback: Callable[..., object], *arguments: Any) -> _Turn:
        return _Turn(callback, arguments)  # the clock stands still

    def run(self) -> None:
        """All turns that are due. A connection that never rests is a fault."""
        for _ in range(TURNS):
            if not self._due:
                return
            self._due.popleft().run()
        raise AssertionError(f"it is not at rest after {TURNS} turns")


class _Transport(FakeTransport):
    """Tells nothing of its end: what was read by then counts."""

    def _lose_soon(self) -> None: ...

    def can_write_eof(self) -> bool:
        return True


class _Call:
    """A request that is read to its end, then answered."""

    def __init__(self, door: "_Door", connection: Connection, read: Read, *, has_body: bool = False) -> None:
        self._door = door
        self._connection = connection
        self._read = read
        self._has_body = has_body

    def begin(self) -> None:
        if self._has_body:
            self._connection.read_body()
        else:
            self._answer()

    def body(self, data: bytes, /, *, last: bool) -> bool:
        self._read.body += data
        if last:
            self._answer()
        return True

    def spoil(self, _: object, why: str, /) -> None:
        self._door.refused = why
        self._connection.answer(400, [], b"")

    def _answer(self) -> None:
        self._read.is_whole = self._read.has_head
        self._connection.answer(200, [(b"content-length", b"0")], b"")

    def __getattr__(self, name: str) -> Callable[..., None]:
        assert name in {"sending", "sent", "finished", "broken_off", "left"}
        return lambda *_: None  # what becomes of the answer


class _Peer:
    """Takes every handshake."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def serve(self) -> None:
        self._connection.open(cast("Any", self), self)

    def data_received(self, _: bytes, /) -> None: ...


class _Door:
    """A `Reception` that takes everything whose Host is one."""

    def __init__(self, loop: _Loop) -> None:
        self.account = Account()
        self.backlog = Backlog(cast("asyncio.AbstractEventLoop", loop))
        self.deadlines = Deadlines(cast("asyncio.AbstractEventLoop", loop))
        self.keep_alive_seconds = 75.0
        self.requests: list[Read] = []
        self.refused = ""

    def _add(self, head: Head) -> Read:
        self.requests.append(Read(head.method.encode("ascii"), head.target, list(head.fields.lines), has_head=True))
        return self.requests[-1]

    def take(self, head: Head, connection: Connection, /) -> Any:
        fault = host_fault(head.fields.host)
        if fault:
            return self.refuse(HeadError(fault), connection)
        framing = head.fields.framing
        return _Call(self, connection, self._add(head), has_body=framing.chunked or framing.length > 0)

    def refuse(self, error: HeadError, connection: Connection, /) -> Any:
        self.refused = str(error)
        return _Call(self, connection, Read())

    def upgrade(self, head: Head, connection: Connection, /) -> Any:
        fault = host_fault(head.fields.host)
        if not fault:
            self._add(head).is_whole = True
        self.refused = fault
        return _Peer(connection)

    def joined(self, _: object, /) -> None: ...

    def parted(self, _: object, /) -> None: ...


def read_with_door(pieces: Iterable[bytes]) -> Reading:
    """The connection of `python -m app`, whole."""
    loop = _Loop()
    door = _Door(loop)
    connection = Connection(door, cast("asyncio.AbstractEventLoop", loop))
    transport = _Transport(connection)
    connection.connection_made(transport)
    for piece in pieces:
        if connection.state is OPEN:
            break
        connection.data_received(piece)
        loop.run()
    if door.refused:
        return Reading(door.requests, Ending.REFUSED, door.refused)
    if connection.state is OPEN:
        return Reading(door.requests, Ending.UPGRADED)
    return Reading(door.requests, Ending.CLOSED if transport.closed or transport.ended else Ending.WAITS)
