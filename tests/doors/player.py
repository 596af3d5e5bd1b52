"""Plays a case to a door over a socket, and says what came of it.

Nothing sleeps. `Barrier` is a request through the whole tunnel on a connection of its own: when it is answered, the
door, the agent and the service have taken all that reached them before, so what has not come by then does not come.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from tests.doors.case import Case, Opened, Seen, get, head
from tests.doors.recorder import BARRIER, Arrived, Recorder
from tests.doors.wire import Answer, BadWireError, UnfinishedError, read_answer, read_frames

READ_BYTES = 256 * 1024
WAIT_SECONDS = 10.0
"""For what must come. A door that lacks it is slow to test, not wrongly judged."""
PATIENCE = 5
"""So many silences are waited out for one door; then it is taken to be broken, and each of the rest fails at once."""
ROUNDS = 2
"""Barriers, one after the other, before silence is taken for silence: a new stream to the service takes two."""
AFTER = b"/after"


@dataclass
class Observed:
    """What became of one case."""

    answers: list[Answer] = field(default_factory=list)
    """The final ones, in order; for a WebSocket the 101."""
    interim: list[int] = field(default_factory=list)
    arrived: list[Arrived] = field(default_factory=list)
    frames: list[tuple[int, bytes]] = field(default_factory=list)
    stayed: bool = False
    """Another request on the same connection was answered."""
    closed: bool = False
    """The door ended the connection before the client did."""
    faults: list[str] = field(default_factory=list)
    """What is never right: bytes that are no answer, and what broke at the service."""

    def __repr__(self) -> str:
        statuses = " ".join(str(answer.status) for answer in self.answers) or "no answer"
        seen = " ".join(f"{item.method.decode()} {item.target[:40]!r}" for item in self.arrived) or "nothing"
        end = "stays" if self.stayed else "closed" if self.closed else "silent"
        return f"<{statuses}; the service saw {seen}; {end}{'; ' if self.faults else ''}{'; '.join(self.faults)}>"


class Line:
    """One client connection; what came on it, and whether it has ended."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.data = b""
        self.ended = False
        self._task = asyncio.create_task(self._read())
        self._changed = asyncio.Event()

    @classmethod
    async def open(cls, port: int) -> Self:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def _read(self) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await self._reader.read(READ_BYTES):
                self.data += data
                self._changed.set()
        self.ended = True
        self._changed.set()

    def send(self, data: bytes) -> None:
        """What the door does not take any more is its own affair: it may have answered and closed."""
        self._writer.write(data)

    def end(self) -> None:
        with contextlib.suppress(OSError):
            self._writer.write_eof()

    async def change(self, seconds: float = WAIT_SECONDS) -> bool:
        """Wait for more bytes or the end. False: neither came in time."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return False
        self._changed.clear()
        return True

    async def close(self) -> None:
        self._writer.transport.abort()
        await self._task
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()


class Door:
    """One gateway on its port, with the recorder behind it."""

    def __init__(self, port: int, recorder: Recorder) -> None:
        self.port = port
        self.recorder = recorder
        self.silences = 0
        self._barrier: Line | None = None

    async def barrier(self) -> None:
        """Everything that reached the door before this has had its effect."""
        for _ in range(ROUNDS):
            await self._ask(get(target=BARRIER))

    async def read(self) -> None:
        """The door has read everything that reached it before this. Asks the door alone, not the service."""
        await self._ask(head(b"GET /healthz HTTP/1.1", b"Host: nobody.test"))

    async def _ask(self, request: bytes) -> None:
        if self._barrier is not None and self._barrier.ended:
            await self._barrier.close()
            self._barrier = None
        if self._barrier is None:
            self._barrier = await Line.open(self.port)
        line = self._barrier
        line.data = b""
        line.send(request)
        while b"\r\n\r\nok" not in line.data:
            assert await line.change(), "the barrier was not answered"
            assert not line.ended, f"the barrier was refused: {line.data[:500]!r}"

    async def aclose(self) -> None:
        if self._barrier is not None:
            await self._barrier.close()

    async def play(self, case: Case, *, hangs: bool = False, cut: int = 0) -> Observed:
        """`hangs`: this door is known not to answer the case; silence is then not waited out.

        `cut`: the door reads so many bytes alone before the rest is sent.
        """
        recorder = self.recorder
        recorder.arrived.clear()
        recorder.broken.clear()
        observed = Observed()
        line = await Line.open(self.port)
        try:
            await _Play(self, case, line, observed, hangs).run(cut)
        except BadWireError as error:
            observed.faults.append(f"no answer: {error}")
        finally:
            await line.close()
        observed.faults += recorder.broken
        observed.arrived = [item for item in recorder.arrived if item.target != AFTER]
        return observed


class _Play:
    """One case on one connection."""

    def __init__(self, door: Door, case: Case, line: Line, observed: Observed, hangs: bool) -> None:
        self._door = door
        self._case = case
        self._line = line
        self._observed = observed
        self._hangs = hangs
        self._taken = 0
        self._before = 0  # answers that came before the connection was asked whether it stays
        outcomes = case.verdict.outcomes
        first = case.sent.partition(b" ")[0]
        self._methods = [item.method if isinstance(item, Seen) else first for item in outcomes]

    async def run(self, cut: int) -> None:
        case, line, observed = self._case, self._line, self._observed
        if cut:
            line.send(case.sent[:cut])
            await self._door.read()
        line.send(case.sent[cut:])
        if case.then:
            await self._until(lambda: bool(observed.interim or observed.answers), quick=True)
            line.send(case.then)
        outcomes = case.verdict.outcomes
        await self._until(lambda: len(observed.answers) >= len(outcomes))
        if observed.answers and observed.answers[-1].status == 101:
            await self._converse(next((item for item in outcomes if isinstance(item, Opened)), Opened()))
            return
        if case.verdict.stays is False:
            await self._until(lambda: line.ended)
        if not outcomes:
            await self._door.barrier()
            self._take()
            line.end()
            await self._until(lambda: line.ended)
        elif not line.ended and len(observed.answers) >= len(outcomes):
            self._before = len(observed.answers)
            line.send(get(target=AFTER))
            await self._until(self._after)
        observed.closed = line.ended and not observed.stayed
        if not case.verdict.stays or not observed.stayed:
            await self._door.barrier()

    def _after(self) -> bool:
        """Whether the request that asks whether the connection stays is answered: after all others, as they came."""
        arrived, answers = self._door.recorder.arrived, self._observed.answers
        asked = arrived and arrived[-1].target == AFTER
        if asked and len(answers) > self._before and answers[-1].status == 200:
            self._observed.stayed = True
            del answers[-1]
        return self._observed.stayed

    async def _until(self, done: Callable[[], bool], *, quick: bool = False) -> None:
        """Read until `done`, the end, or silence. `quick`: silence is what the barrier says it is."""
        self._take()
        while not done() and not self._line.ended:
            if quick or self._hangs or self._door.silences >= PATIENCE:
                before = len(self._line.data)
                await self._door.barrier()
                if len(self._line.data) == before and not self._line.ended:
                    self._take()
                    return
            elif not await self._line.change():
                self._door.silences += 1
                return
            self._take()

    def _take(self) -> None:
        """Take the whole answers that came."""
        observed, line = self._observed, self._line
        while self._taken < len(line.data) and 101 not in [answer.status for answer in observed.answers]:
            number = len(observed.answers)
            method = self._methods[number] if number < len(self._methods) else b"GET"
            try:
                answer, self._taken = read_answer(line.data, self._taken, method, ended=line.ended)
            except UnfinishedError:
                if line.ended:
                    observed.faults.append("an answer was broken off")
                    self._taken = len(line.data)
                return
            if answer.status < 200 and answer.status != 101:
                observed.interim.append(answer.status)
            else:
                observed.answers.append(answer)

    async def _converse(self, expected: Opened) -> None:
        """Wait for the frames that are due, then close."""
        line, observed = self._line, self._observed

        def due() -> bool:
            observed.frames = read_frames(line.data[self._taken :])
            return len(observed.frames) >= len(expected.messages) + expected.pongs

        await self._until(due)
        await self._door.barrier()
        due()
