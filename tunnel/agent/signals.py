"""Signals, on systems whose event loops do not handle them too (Windows)."""

import asyncio
import contextlib
import signal
from collections.abc import Callable


def on(number: signal.Signals, call: Callable[[], None]) -> None:
    """Call `call` on the running event loop at each such signal."""
    loop = asyncio.get_running_loop()

    def wake(*_: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: all is over
            loop.call_soon_threadsafe(call)

    try:
        loop.add_signal_handler(number, call)
    except NotImplementedError:
        signal.signal(number, wake)
