"""One line of the log from its parts, as text or as JSON. Whatever the parts hold, they cannot forge another line.

Pure: the time is passed in. Used for every line, whether it comes through `logging` or past it.
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, line separators, overrides of the writing direction, and lone surrogates."""


class Moments:
    """Times as a line shows them, to the millisecond. The text of the last second is kept."""

    def __init__(self, *, utc: bool) -> None:
        """`utc`: as RFC 3339 in UTC; else the local time of day."""
        self._utc = utc
        self._kept = (0, "")  # a second and its text: one attribute, because several threads log
        self._ends = [f".{milli:03}{'+00:00' if utc else ''}" for milli in range(1_000)]

    def of(self, created: float) -> str:
        """The text of a time in Unix seconds."""
        second, text = self._kept
        passed = created - second
        if not 0.0 <= passed < 1.0 or not text:
            second = int(created)
            passed = created - second
            moment = datetime.fromtimestamp(second, UTC)
            text = moment.isoformat()[:19] if self._utc else f"{moment.astimezone():%H:%M:%S}"
            self._kept = (second, text)
        return text + self._ends[int(passed * 1_000)]


def text_line(moment: str, level: str, logger: str, message: str, *, suppressed: int = 0) -> str:
    """`12:00:00.123 INFO    gateway         message`."""
    line = f"{moment} {level:<7} {logger:<15} {_UNPRINTABLE.sub(_escape, message)}"
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


def _escape(found: re.Match[str]) -> str:
    return repr(found.group())[1:-1]


def _escape_json(found: re.Match[str]) -> str:
    return f"\\u{ord(found.group()):04x}"
