"""A TCP relay of the test that can be cut: it then forwards nothing, either way, and keeps every socket open.

To both ends a cut looks like a network that lost them: no byte, no end, no reset, and nobody reads. `heal` goes on
where it stopped, with nothing lost. It runs on a thread with a loop of its own, because the tests block theirs
while they wait for processes. It never changes a byte, and holds at most one read per direction.
"""

import asyncio
import select
import threading
from collections.abc import Callable
from typing import Self

from tests.system.harness import LOOPBACK

READ_BYTES = 65_536
ACTION_SECONDS = 5.0


class Relay:
    """Listens on `port` and passes connections on to `target`. Use as a context manager."""

    def __init__(self, target: int, *, watch: bytes = b"") -> None:
        self.target = target
        """The port to connect to; a change counts for new connections."""
        self.port = 0
        self.connections = 0
        """How many reached the target."""
        self.watched = 0
        """How often `watch` came from the target."""
        self._watch = watch
        self._last_fd = -1
        self._loop = asyncio.new_event_loop()
        self._open = asyncio.Event()
        self._open.set()
        self._gates: set[tuple[asyncio.Event, asyncio.Event]] = set()
        """Of each connection: to the target, and from it."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(ACTION_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(ACTION_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(ACTION_SECONDS)
        self._loop.close()

    def cut(self) -> None:
        """From now on nothing is forwarded, neither data nor the end of a connection."""
        self._act(self._open.clear)

    def heal(self) -> None:
        """Forward again, first of all what was held back."""
        self._act(self._open.set)

    def way_of(self, writer: asyncio.StreamWriter) -> asyncio.Event:
        """What a new connection waits for before each step; called on the relay's loop."""
        return self._open

    def strand(self, *, up: bool = True, down: bool = True) -> None:
        """Cut the connections there are for ever, to the target (`up`), from it, or both ways. New ones pass."""

        def close() -> None:
            for to_target, from_target in self._gates:
                if up:
                    to_target.clear()
                if down:
                    from_target.clear()

        self._act(close)

    def drop(self) -> None:
        """Reset every connection, at both ends."""
        self._act(self._abort)

    def _abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    def is_closed_by_target(self, seconds: float) -> bool:
        """While cut: whether the target ends its newest connection, in whatever way, within this time."""
        poll = select.poll()
        poll.register(self._last_fd, select.POLLRDHUP)  # told without a read, and whatever is unread before it
        return bool(poll.poll(seconds * 1000))

    def _act(self, action: Callable[[], object]) -> None:
        """Run it on the relay's loop, and return when it is done."""

        async def act() -> None:
            action()

        asyncio.run_coroutine_threadsafe(act(), self._loop).result(ACTION_SECONDS)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, LOOPBACK, 0, limit=READ_BYTES)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _end(self) -> None:
        for listening in self._server.sockets:
            self._loop.remove_reader(listening.fileno())
        for _ in range(5):  # asyncio loses a connection that it is accepting at the close
            await asyncio.sleep(0)
        self._server.close()
        self._abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """In a task of ours: asyncio logs an error for each of its own that is cancelled."""
        self._writers.add(writer)
        task = self._loop.create_task(self._pass_on(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = [writer]
        try:
            way = self.way_of(writer)
            await way.wait()
            there_reader, there_writer = await asyncio.open_connection(LOOPBACK, self.target, limit=READ_BYTES)
            self._writers.add(there_writer)
            ends.append(there_writer)
            self.connections += 1
            self._last_fd = there_writer.get_extra_info("socket").fileno()
            up, down = gates = asyncio.Event(), asyncio.Event()
            self._gates.add(gates)
            for gate in gates:
                gate.set()
            try:
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._pump(reader, there_writer, lambda _: None, (way, up)))
                    both.create_task(self._pump(there_reader, writer, self._count(), (way, down)))
            finally:
                self._gates.discard(gates)
        except* OSError:
            await way.wait()  # one end broke: the other does not learn of it before the relay heals
        finally:
            for end in ends:
                end.transport.abort()
                self._writers.discard(end)

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        look: Callable[[bytes], None],
        gates: tuple[asyncio.Event, asyncio.Event],
    ) -> None:
        while data := await reader.read(READ_BYTES):
            for gate in gates:
                await gate.wait()
            look(data)
            writer.write(data)
            await writer.drain()
        for gate in gates:
            await gate.wait()
        writer.write_eof()

    def _count(self) -> Callable[[bytes], None]:
        """Counts `watch` in one connection, across the borders of reads."""
        tail = b""

        def look(data: bytes) -> None:
            nonlocal tail
            if self._watch:
                self.watched += (tail + data).count(self._watch)
                tail = (tail + data)[-(len(self._watch) - 1) :]

        return look
