"""Logging to standard error: one line per event, as text for people or as JSON for machines.

`logger.info(..., extra={"fields": {...}})` adds structured fields, which are keys in JSON and left out of the text.
Quoted input cannot forge a line. Warnings that repeat are limited in rate; the access log is not.
"""

import json
import logging
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

READY = logging.getLogger("gateway.start")
"""For the line that says that the program is ready. Printed at every log level."""

_WINDOW_SECONDS = 10.0
_LINES_PER_WINDOW = 20
"""Of one kind of warning: enough to see what happens, and at most 2 lines a second."""
_KINDS = 1_000
"""Kinds of warnings to remember. The sources have fewer; only a library that formats its texts first makes more."""

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, line separators, overrides of the writing direction, and lone surrogates."""


class TextFormatter(logging.Formatter):
    """`12:00:00.123 INFO    gateway  message`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, followed by the traceback if there is one."""
        moment = datetime.fromtimestamp(record.created, UTC).astimezone()
        message = _UNPRINTABLE.sub(_escape, record.getMessage())
        line = f"{moment:%H:%M:%S}.{int(record.msecs):03} {record.levelname:<7} {record.name:<15} {message}"
        suppressed = getattr(record, "suppressed", 0)
        if suppressed:
            line += f" [and {suppressed} more of this kind]"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time (RFC 3339, UTC), level, logger, message, the event's own fields, and error.

    A field cannot replace one of the first four.
    """

    def format(self, record: logging.LogRecord) -> str:
        """One line, always."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields = getattr(record, "fields", None)
        if isinstance(fields, Mapping):
            line = line | {str(name): value for name, value in fields.items() if name not in line}
        suppressed = getattr(record, "suppressed", 0)
        if suppressed:
            line["suppressed"] = suppressed
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        try:
            return _UNPRINTABLE.sub(_escape_json, msgspec.json.encode(line, enc_hook=str).decode())
        except UnicodeEncodeError:  # a lone surrogate: agents may send what is not text
            return json.dumps(line, default=str)


def _escape(found: re.Match[str]) -> str:
    return repr(found.group())[1:-1]


def _escape_json(found: re.Match[str]) -> str:
    return f"\\u{ord(found.group()):04x}"


_NOISE = (
    "ASGI callable returned without completing handshake.",
    "Invalid UTF-8 sequence received from client.",
)


class _ServerNoise(logging.Filter):
    """Drops what uvicorn logs as errors and our access log reports better.

    We abort an answer with an exception, and we refuse a WebSocket with a response of our own, which uvicorn reports as
    an incomplete handshake.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return type(error).__name__ != "BrokenOffError" and record.msg not in _NOISE


class FloodGuard(logging.Filter):
    """Limits the rate of warnings and errors of one kind: the same logger, level and text before its values.

    The first 20 in 10 s are written. The first one after that says how many were dropped. Lines below WARNING and the
    access log always pass.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kinds: dict[
            tuple[str, int, str], list[float]
        ] = {}  # -> start of the window, lines written, lines dropped

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write this line, by the record's own time."""
        if record.levelno < logging.WARNING or record.name == "gateway.access":
            return True
        kind = (record.name, record.levelno, str(record.msg))
        window = self._kinds.get(kind)
        if window is None or record.created - window[0] >= _WINDOW_SECONDS or record.created < window[0]:
            if window is None and len(self._kinds) >= _KINDS:
                self._kinds.clear()
            if window is not None and window[2]:
                record.suppressed = int(window[2])
            self._kinds[kind] = [record.created, 1, 0]
            return True
        if window[1] < _LINES_PER_WINDOW:
            window[1] += 1
            return True
        window[2] += 1
        return False


def configure(level: str, style: str) -> None:
    """Send all log lines, uvicorn's too, to standard error in one style."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    handler.addFilter(FloodGuard())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    READY.setLevel(logging.INFO)
    server = logging.getLogger("uvicorn.error")
    server.setLevel(max(logging.WARNING, root.level))
    server.addFilter(_ServerNoise())
    logging.getLogger("asyncio").setLevel(logging.WARNING)
