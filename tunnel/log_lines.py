"""One line of a log from its parts, as text or as JSON: the one form that the gateway and the agent have.

Whatever the parts hold, they cannot forge another line. Times are RFC 3339 in UTC, to the millisecond, so that lines of
several machines sort and compare. Pure: the time is passed in. The formatters make the same lines of what comes through
`logging`, where `logger.info(..., extra={"fields": {...}})` adds fields: keys in JSON, left out of the text.
"""

import json
import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, line separators, overrides of the writing direction, and lone surrogates."""


TEXT_ZONE = "Z"
JSON_ZONE = "+00:00"
"""Both say UTC: the short form is for people, the other one is what JSON lines have always had."""


class Moments:
    """Times as a line shows them. The text of the last second is kept."""

    def __init__(self, zone: str) -> None:
        self._kept = (0, "")  # a second and its text: one attribute, because several threads log
        self._ends = [f".{milli:03}{zone}" for milli in range(1_000)]

    def of(self, created: float) -> str:
        """The text of a time in Unix seconds."""
        second, text = self._kept
        passed = created - second
        if not 0.0 <= passed < 1.0 or not text:
            second = int(created)
            passed = created - second
            text = datetime.fromtimestamp(second, UTC).isoformat()[:19]
            self._kept = (second, text)
        return text + self._ends[int(passed * 1_000)]


def text_line(moment: str, level: str, logger: str, message: str, *, suppressed: int = 0) -> str:
    """`2026-11-29T12:00:00.123Z INFO    gateway         message`."""
    line = f"{moment} {level:<7} {logger:<15} {_escaped(message)}"
    return f"{line} [and {suppressed} more of this kind]" if suppressed else line


def json_line(
    moment: str, level: str, logger: str, message: str, fields: Mapping[Any, Any],
    *, suppressed: int = 0, error: str | None = None,
) -> str:  # fmt: skip
    """One JSON object: time, level, logger, message, the event's own fields, and error.

    A field cannot replace one of the first four.
    """
    line: dict[str, Any] = {"time": moment, "level": level.lower(), "logger": logger, "message": message}
    line |= {str(name): value for name, value in fields.items() if name not in line}
    if suppressed:
        line["suppressed"] = suppressed
    if error is not None:
        line["error"] = error
    try:
        return _UNPRINTABLE.sub(_escape_json, msgspec.json.encode(line, enc_hook=str).decode())
    except UnicodeEncodeError:  # a lone surrogate: agents may send what is not text
        return json.dumps(line, default=str)


class TextFormatter(logging.Formatter):
    """`text_line` of a record."""

    def __init__(self) -> None:
        super().__init__()
        self._moments = Moments(TEXT_ZONE)

    def format(self, record: logging.LogRecord) -> str:
        """One line. A traceback follows it, each line with a blank before it: no text in it looks like a line."""
        moment = self._moments.of(record.created)
        suppressed = getattr(record, "suppressed", 0)
        line = text_line(moment, record.levelname, record.name, record.getMessage(), suppressed=suppressed)
        if not record.exc_info:
            return line
        return "\n ".join([line, *map(_escaped, self.formatException(record.exc_info).split("\n"))])


class JsonFormatter(logging.Formatter):
    """`json_line` of a record."""

    def __init__(self) -> None:
        super().__init__()
        self._moments = Moments(JSON_ZONE)

    def format(self, record: logging.LogRecord) -> str:
        """One line, always."""
        fields = getattr(record, "fields", None)
        return json_line(
            self._moments.of(record.created), record.levelname, record.name, record.getMessage(),
            fields if isinstance(fields, Mapping) else {},
            suppressed=getattr(record, "suppressed", 0),
            error=self.formatException(record.exc_info) if record.exc_info else None,
        )  # fmt: skip


def _escaped(text: str) -> str:
    return _UNPRINTABLE.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    return repr(found.group())[1:-1]


def _escape_json(found: re.Match[str]) -> str:
    return f"\\u{ord(found.group()):04x}"
