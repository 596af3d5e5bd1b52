"""The agent's log: one line per event on standard error, as text or as JSON, in the form of `tunnel/log_lines.py`.

Callers pass no secrets. Lines that a stranger can cause (refused streams) go through a `Quota`, so that they cannot
fill a disk.
"""

import asyncio
import logging
import sys
from collections.abc import Callable, Mapping

from tunnel.log_lines import JsonFormatter, TextFormatter

QUOTA_LINES = 20
QUOTA_SECONDS = 10.0
QUOTA_THINGS = 256
"""Remembered, each with its own quota: 40 KB."""


def configure(log_format: str, log_level: str, note: Callable[[str], None] | None = None) -> None:
    """Send the agent's lines to standard error; or only their messages to `note`, which shows them elsewhere."""
    handler = logging.StreamHandler(sys.stderr) if note is None else _Notes(note)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("tunnel.agent").setLevel(log_level.upper())
    # picows logs every connection at info, and fragments of the handshake at debug.
    logging.getLogger("picows").setLevel(logging.WARNING)


class _Notes(logging.Handler):
    """Gives each message away, without its time and place."""

    def __init__(self, note: Callable[[str], None]) -> None:
        super().__init__()
        self._note = note

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        self._note(record.getMessage())


def report_fault(loop: asyncio.AbstractEventLoop, context: Mapping[str, object]) -> None:
    """The event loop's exception handler: one line at debug when a connection broke, which its owner is told too.

    Anything else is a bug, with a traceback. A TLS handshake that is cut comes as the class of an error.
    """
    error = context.get("exception")
    if isinstance(error, OSError) or (isinstance(error, type) and issubclass(error, OSError)):
        logging.getLogger("tunnel.agent").debug("%s: %r", str(context.get("message")).partition("\n")[0], error)
    else:
        loop.default_exception_handler(dict(context))


class Quota:
    """At most `lines` about one thing in each `seconds`, and how many were left out. Time is passed in."""

    def __init__(self, lines: int = QUOTA_LINES, seconds: float = QUOTA_SECONDS) -> None:
        self._lines = lines
        self._seconds = seconds
        self._used: dict[str, tuple[float, int]] = {}  # what it is about -> since when, how many

    def take(self, now: float, about: str = "") -> int | None:
        """None: leave this line out. Else the number of lines about the same left out since the last quiet period.

        Give that number to the line: `extra={"suppressed": ...}`.
        """
        left_out = 0
        since, used = self._used.get(about, (float("-inf"), 0))
        if now - since >= self._seconds:
            left_out = max(0, used - self._lines)
            since, used = now, 0
            if len(self._used) >= QUOTA_THINGS:
                self._used.clear()
        self._used[about] = since, used + 1
        return left_out if used < self._lines else None
