"""How the gateway logs: to standard error, one line per event, as text for people or as JSON for machines.

`logger.info(..., extra={"fields": {...}})` gives structured fields: keys of their own in JSON, left out of the text.
No line can be forged by what it quotes, and a warning that repeats without end is thinned out, never the access log.
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
"""The one line that says the program serves; printed at every log level."""

_WINDOW_SECONDS = 10.0
_LINES_PER_WINDOW = 20
"""Of one kind of warning: enough to see what goes on, and 2 lines a second at the most."""
_KINDS = 1_000
"""Kinds of warnings remembered: the sources have fewer; more would come from a library that formats beforehand."""

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, line separators, overrides of the writing direction, lone surrogates."""


class TextFormatter(logging.Formatter):
    """`12:00:00.123 INFO    gateway  message`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line; a traceback follows it where there is one."""
        moment = datetime.fromtimestamp(record.created, UTC).astimezone()
        message = _UNPRINTABLE.sub(_escape, record.getMessage())
        line = f"{moment:%H:%M:%S}.{int(record.msecs):03} {record.levelname:<7} {record.name:<15} {message}"
        suppressed = getattr(record, "suppressed", 0)
        if suppressed:
            line += f" [and {suppressed} more of this kind]"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time (RFC 3339, UTC), level, logger, message, the event's own fields, and error.

    A field cannot take the place of one of those four.
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
        except UnicodeEncodeError:  # a lone surrogate: what an agent sent need not be text
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
    """What uvicorn logs as errors and our access line says better.

    A broken answer is broken off by an exception; a WebSocket refused with a response of its own is, for uvicorn,
    a handshake that was not completed.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return type(error).__name__ != "BrokenOffError" and record.msg not in _NOISE


class FloodGuard(logging.Filter):
    """Thins out warnings and errors of one kind: the same logger, level and text, whatever was filled into it.

    The first 20 in 10 s are written; the next one after that says how many were not. Below warning, and in the
    access log, nothing is held back.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kinds: dict[tuple[str, int, str], list[float]] = {}  # -> begin of the window, written, suppressed

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write this line; goes by the record's own time."""
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
    """Send everything, uvicorn's lines included, to standard error in one style."""
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
