"""A slow line before a port, with a queue, as an uplink has: `python -m tests.bench.slow_line PORT BYTES_PER_SECOND`.

Prints one line `ready PORT`. Each direction of each connection sends so many bytes per second and holds what 100 ms of
that are; then it reads no more. Small receive buffers keep the kernel from being a longer queue than that.
"""

import asyncio
import socket
import sys
from collections import deque

QUEUE_SECONDS = 0.1
PIECE_BYTES = 2048
RECEIVE_BYTES = 8192
LOOPBACK = "127.0.0.1"


class Direction:
    """One direction of one connection."""

    def __init__(self, source: socket.socket, sink: socket.socket, rate: float) -> None:
        self._source, self._sink, self._rate = source, sink, rate
        self._queue: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._changed = asyncio.Condition()

    async def carry(self) -> None:
        """Until either end is gone."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read())
            tasks.create_task(self._write())

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self._waiting_bytes < QUEUE_SECONDS * self._rate)
            piece = await loop.sock_recv(self._source, PIECE_BYTES)
            if not piece:
                raise ConnectionResetError
            async with self._changed:
                self._queue.append(piece)
                self._waiting_bytes += len(piece)
                self._changed.notify_all()

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        free_at = loop.time()
        while True:
            if not self._queue:
                async with self._changed:
                    await self._changed.wait_for(lambda: bool(self._queue))
                free_at = max(free_at, loop.time())  # what was slept too long is caught up with, idle time is not
            piece = self._queue[0]
            free_at += len(piece) / self._rate
            await asyncio.sleep(free_at - loop.time())
            await loop.sock_sendall(self._sink, piece)
            async with self._changed:
                self._queue.popleft()
                self._waiting_bytes -= len(piece)
                self._changed.notify_all()


async def carry(accepted: socket.socket, port: int, rate: float) -> None:
    with accepted, socket.socket() as onward:
        onward.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        for sock in (accepted, onward):
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(onward, (LOOPBACK, port))
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(Direction(accepted, onward, rate).carry())
                tasks.create_task(Direction(onward, accepted, rate).carry())
        except* OSError:
            pass  # either end is gone


async def main(port: int, rate: float) -> None:
    loop = asyncio.get_running_loop()
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        listening.bind((LOOPBACK, 0))
        listening.listen()
        listening.setblocking(False)
        print(f"ready {listening.getsockname()[1]}", flush=True)
        async with asyncio.TaskGroup() as tasks:
            while True:
                accepted, _ = await loop.sock_accept(listening)
                tasks.create_task(carry(accepted, port, rate))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))
