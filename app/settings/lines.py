"""Finds the lines of the keys in a TOML file, so that an error can say where to look.

It works only on text that `tomllib` has parsed. The scanner finds keys, strings and brackets, and checks nothing. It
never raises for such text, and it gives the same paths as the parsed data: tables, arrays of tables, dotted and quoted
keys, inline tables and array elements.
"""

import re
import tomllib
from bisect import bisect_right
from collections.abc import Mapping

from .errors import KeyPath

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}'  # a multi-line string may end in up to two quotes of its own
    r"|'''.*?'{3,5}"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BARE_VALUE = re.compile(r"[^,\]}\n#]*")
_AROUND_DOT = re.compile(r"[ \t]*(\.?)[ \t]*")


def line_of(lines: Mapping[KeyPath, int], path: KeyPath) -> int | None:
    """The line (from 1) of the key, or of the nearest table around it. None when the file has neither."""
    for length in range(len(path), 0, -1):
        if (line := lines.get(path[:length])) is not None:
            return line
    return None


def key_lines(text: str) -> dict[KeyPath, int]:
    """The line of every key, table and array element."""
    return _Scanner(text).scan()


class _Scanner:
    """Walks the text once. `_at` is the current position."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line_starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self._lines: dict[KeyPath, int] = {}
        self._counts: dict[KeyPath, int] = {}  # tables so far, for each array of tables

    def scan(self) -> dict[KeyPath, int]:
        table: KeyPath = ()
        self._skip_blanks()
        while self._at < len(self._text):
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._skip_blanks()
        return self._lines

    def _header(self) -> KeyPath:
        """Read `[a.b]` or `[[a.b]]`. Returns the path of the table."""
        begun = self._at
        brackets = 2 if self._text.startswith("[[", begun) else 1
        self._at += brackets
        self._skip_spaces()
        *outer, last = self._key()
        self._skip_spaces()
        self._at += brackets
        path: KeyPath = ()
        for name in outer:
            path = self._newest((*path, name))
            self._lines.setdefault(path, self._line(begun))
        path = (*path, last)
        if brackets == 2:
            count = self._counts[path] = self._counts.get(path, 0) + 1
            self._lines.setdefault(path, self._line(begun))
            path = (*path, count - 1)
        self._lines.setdefault(path, self._line(begun))
        return path

    def _newest(self, path: KeyPath) -> KeyPath:
        """The table that a name in a header refers to: the newest one of an array of tables."""
        return (*path, self._counts[path] - 1) if path in self._counts else path

    def _pair(self, table: KeyPath) -> None:
        """Read `a.b = value`."""
        begun = self._at
        path = table
        for name in self._key():
            path = (*path, name)
            self._lines.setdefault(path, self._line(begun))
        self._skip_spaces()
        self._at += 1  # the equals sign
        self._skip_spaces()
        self._value(path)

    def _value(self, path: KeyPath) -> None:
        match self._text[self._at]:
            case '"' | "'":
                self._string()
            case "[":
                self._at += 1
                index = 0
                while self._next_inside("]"):
                    self._lines[(*path, index)] = self._line(self._at)
                    self._value((*path, index))
                    index += 1
            case "{":
                self._at += 1
                while self._next_inside("}"):
                    self._pair(path)
            case _:
                self._match(_BARE_VALUE)

    def _next_inside(self, closing: str) -> bool:
        """Move to the next element. When there is none, move past the closing bracket and return False."""
        self._skip_blanks()
        if self._text[self._at] == ",":
            self._at += 1
            self._skip_blanks()
        if self._text[self._at] == closing:
            self._at += 1
            return False
        return True

    def _key(self) -> list[str]:
        """Read a dotted key. Returns its names."""
        names: list[str] = []
        dot = "."
        while dot:
            if self._text[self._at] in "\"'":
                names.append(tomllib.loads(f"key = {self._string()}")["key"])
            else:
                names.append(self._match(_BARE_KEY))
            found = _AROUND_DOT.match(self._text, self._at)
            dot = found[1] if found else ""
            if found and dot:
                self._at = found.end()
        return names

    def _string(self) -> str:
        return self._match(_STRING)

    def _skip_blanks(self) -> None:
        self._match(_BLANK)

    def _skip_spaces(self) -> None:
        while self._text[self._at] in " \t":
            self._at += 1

    def _match(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if found is None:
            return ""
        self._at = found.end()
        return found[0]

    def _line(self, position: int) -> int:
        return bisect_right(self._line_starts, position)
