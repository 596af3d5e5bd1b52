"""A long path on loopback: `python -m tests.system.long_path TARGET_PORT`, which prints `ready PORT`.

Bytes leave it half a round trip after they came, at most so many in a second, in their order. What comes faster waits
in a queue; a full queue stops reading, as a router's drops make TCP slow down. It never changes a byte.
"""

import argparse
import asyncio
from collections import deque
from functools import partial
from typing import cast

import uvloop

from tests.system.harness import LOOPBACK

QUEUE_BYTES = 1_000_000
"""10 ms at 100 MB/s: what a router keeps for such a link."""
PIECE_BYTES = 65_536
"""Passed on together: 0.7 ms at 100 MB/s."""


class Direction(asyncio.Protocol):
    """One end of a connection: what it receives leaves at `other`, later."""

    def __init__(self, one_way_seconds: float, bytes_per_second: float) -> None:
        self._delay = one_way_seconds
        self._rate = bytes_per_second
        self._loop = asyncio.get_running_loop()
        self._line: deque[tuple[float, bytes]] = deque()  # when it arrives, and what
        self._sent_by = 0.0
        """When everything that came will have left the queue for the line."""
        self._timer: asyncio.TimerHandle | None = None
        self._blocked = False
        self._ended = False
        self.transport: asyncio.Transport | None = None
        self.other: Direction | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are none

    def data_received(self, data: bytes) -> None:
        now = self._loop.time()
        self._sent_by = max(self._sent_by, now)
        for start in range(0, len(data), PIECE_BYTES):
            piece = data[start : start + PIECE_BYTES]
            self._sent_by += len(piece) / self._rate
            self._line.append((self._sent_by + self._delay, piece))
        if self.transport is not None and (self._blocked or (self._sent_by - now) * self._rate > QUEUE_BYTES):
            self.transport.pause_reading()
            self._loop.call_at(self._sent_by - QUEUE_BYTES / self._rate / 2, self._read_on)
        if self._timer is None:
            self._timer = self._loop.call_at(self._line[0][0], self._deliver)

    def eof_received(self) -> bool:
        self._ended = True
        self._deliver()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        self._ended = True
        self.transport = None
        self._deliver()

    def pause_writing(self) -> None:
        """Our own transport is full: the other end's bytes wait."""
        if self.other is not None:
            self.other._blocked = True

    def resume_writing(self) -> None:
        if self.other is not None:
            self.other._blocked = False
            self.other._deliver()
            self.other._read_on()

    def _read_on(self) -> None:
        if self.transport is not None and not self._blocked:
            self.transport.resume_reading()

    def _deliver(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        to = self.other.transport if self.other is not None else None
        if to is None or self._blocked:
            return
        now = self._loop.time() + 0.0005  # the loop's clock has milliseconds
        due = []
        while self._line and self._line[0][0] <= now:
            due.append(self._line.popleft()[1])
        if due:
            to.writelines(due)
        if self._line:
            self._timer = self._loop.call_at(self._line[0][0], self._deliver)
        elif self._ended:
            to.close()


async def connect(target: int, direction: partial[Direction], here: Direction) -> None:
    """The other half of a connection that was accepted."""
    _, there = await asyncio.get_running_loop().create_connection(direction, LOOPBACK, target)
    here.other, there.other = there, here
    here._deliver()


async def run(target: int, rtt: float, rate: float) -> None:
    loop = asyncio.get_running_loop()
    direction = partial(Direction, rtt / 2, rate)
    tasks = set[asyncio.Task[None]]()

    def accept() -> Direction:
        here = direction()
        task = loop.create_task(connect(target, direction, here))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return here

    server = await loop.create_server(accept, LOOPBACK, 0)
    print(f"ready {server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.system.long_path")
    parser.add_argument("target", type=int, help="port")
    parser.add_argument("--rtt", type=float, default=0.05, help="seconds")
    parser.add_argument("--rate", type=float, default=100e6, help="bytes per second, each way")
    options = parser.parse_args()
    uvloop.run(run(options.target, options.rtt, options.rate))
