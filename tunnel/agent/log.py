"""The agent's log: one line per event on standard error, as text or as JSON.

Callers pass no secrets. Lines that a stranger can cause (refused streams) go through a `Quota`, so that they cannot
fill a disk.
"""

import json
import logging
import sys
from datetime import UTC, datetime

QUOTA_LINES = 20
QUOTA_SECONDS = 10.0


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """One JSON object per line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """Time, level, message."""
        record.levelname = record.levelname.lower()
        return super().format(record)


def configure(log_format: str, log_level: str) -> None:
    """Send the agent's lines to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    text = _TextFormatter("%(asctime)s %(levelname)s %(message)s")
    handler.setFormatter(_JsonFormatter() if log_format == "json" else text)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("tunnel.agent").setLevel(log_level.upper())
    # picows logs every connection at info, and fragments of the handshake at debug.
    logging.getLogger("picows").setLevel(logging.WARNING)


class Quota:
    """At most `lines` in each `seconds`, and how many were left out. Time is passed in."""

    def __init__(self, lines: int = QUOTA_LINES, seconds: float = QUOTA_SECONDS) -> None:
        self._lines = lines
        self._seconds = seconds
        self._since = float("-inf")
        self._used = 0

    def take(self, now: float) -> int | None:
        """None: leave this line out. Else the number of lines left out since the last quiet period."""
        left_out = 0
        if now - self._since >= self._seconds:
            left_out = max(0, self._used - self._lines)
            self._since, self._used = now, 0
        self._used += 1
        return left_out if self._used <= self._lines else None
