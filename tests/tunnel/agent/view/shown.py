"""A program that shows a view of what a publisher could see, until Ctrl-C."""

import asyncio
import contextlib
import fcntl
import signal
import sys
import termios

from tests.tunnel.agent.view.rows import row
from tunnel.agent import settings, view


async def main():
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
    shown = view.of(sys.stdout, settings.look())
    shown.published([view.Address("http://localhost:5173", "https://me.example.com/")])
    shown.state("connected to wss://h/agent", well=True, round_trip=0.012)
    number = 0
    while not stop.is_set():
        number += 1
        shown.requests([row(f"/{number}/\x1b[2J\x9b31m", status=200)])
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 0.01)
    shown.note("stopped")
    shown.close()


fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # the terminal's keys and its size are for this process
asyncio.run(main())
