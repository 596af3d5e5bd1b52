"""Tables for people: rows of named values in columns that fit the terminal.

Where the terminal is too narrow, columns that matter least are left out, then long values are cut. Without a terminal
nothing is: the output of a pipe has every value whole.
"""

import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from .terminal import coloured, escaped

Row = Mapping[str, Any]

_GAP: Final = 2
_LEAST: Final = 8
"""Columns that a value keeps when it is cut."""
_UNITS: Final = ("KiB", "MiB", "GiB", "TiB")


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `show`: its text of a row, else the value under `title`. `is_optional`: left out first."""

    title: str
    show: Callable[[Row], object] | None = None
    is_number: bool = False
    is_cut: bool = False
    is_optional: bool = False
    meaning: Callable[[Row], str | None] | None = None

    def text(self, row: Row) -> str:
        """What the cell says."""
        value = self.show(row) if self.show is not None else row.get(self.title)
        return "-" if value is None or value == "" else escaped(str(value))


def table(columns: Sequence[Column], rows: Sequence[Row], width: int | None) -> list[str]:
    """The lines, the titles first. `width`: that of the terminal."""
    texts = {column: [column.text(row) for row in rows] for column in columns}
    natural = {column: max(map(cells, [column.title, *texts[column]])) for column in columns}
    widths = natural if width is None else _fitting(natural, width)
    lines = [coloured(_line(widths, {column: column.title for column in widths}), "heading")]
    for index, row in enumerate(rows):
        cut = {column: _cell(texts[column][index], widths[column]) for column in widths}
        lines.append(_line(widths, cut, row))
    return lines


def pairs(named: Mapping[str, object], width: int | None) -> list[str]:
    """Names and values, one pair per line; long values go on in the next line, below themselves."""
    widest = max(map(len, named), default=0) + _GAP
    lines = []
    for name, value in named.items():
        first, *others = wrapped(escaped(str(value)), None if width is None else width - widest)
        lines.append(f"{coloured(name.ljust(widest), 'heading')}{first}")
        lines += [" " * widest + other for other in others]
    return lines


def wrapped(text: str, width: int | None) -> list[str]:
    """The text in lines of at most `width` columns, broken between words where there are some."""
    if width is None:
        return [text]
    lines, line = [], ""
    for word in text.split(" "):
        if line and cells(line) + 1 + cells(word) <= width:
            line = f"{line} {word}"
            continue
        lines.append(line)
        *full, line = _pieces(word, max(width, _LEAST))
        lines += full
    return [*lines[1:], line]


def cells(text: str) -> int:
    """The columns that a text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(map(_cells_of, text))


def yes_or_no(value: object) -> str:
    """A flag in words. What is not there is no."""
    return "yes" if value else "no"


def seconds(value: float | None) -> str | None:
    """A duration, as a person would say it.

    >>> seconds(0.0123), seconds(5.04), seconds(7_260)
    ('12.3 ms', '5.0 s', '2 h 1 min')
    """
    if value is None:
        return None
    if value < 1:
        return f"{value * 1000:.1f} ms"
    if value < 60:
        return f"{value:.1f} s"
    minutes, hours, days = int(value // 60), int(value // 3_600), int(value // 86_400)
    if hours < 1:
        return f"{minutes} min {int(value % 60)} s"
    return f"{hours} h {minutes % 60} min" if days < 1 else f"{days} d {hours % 24} h"


def size(value: float | None) -> str | None:
    """A number of bytes.

    >>> size(1_023), size(1_536)
    ('1023 B', '1.5 KiB')
    """
    if value is None:
        return None
    if value < 1_024:
        return f"{value:.0f} B"
    for unit in _UNITS:
        value /= 1_024
        if value < 1_024 or unit == _UNITS[-1]:
            break
    return f"{value:.1f} {unit}"


def _fitting(natural: dict[Column, int], width: int) -> dict[Column, int]:
    """The columns that there is room for, with their widths."""
    least = {column: min(wide, max(_LEAST, len(column.title))) if column.is_cut else wide
             for column, wide in natural.items()}  # fmt: skip
    kept = list(natural)
    for column in reversed(natural):
        if _total([least[one] for one in kept]) > width and column.is_optional:
            kept.remove(column)
    widths = {column: natural[column] for column in kept}
    while (excess := _total(list(widths.values())) - width) > 0:
        cut = [column for column in kept if widths[column] > least[column]]
        if not cut:
            break  # the terminal breaks the lines
        widest = max(cut, key=widths.__getitem__)
        next_width = max((widths[column] for column in cut if column is not widest), default=0)
        target = max(least[widest], min(next_width, widths[widest] - 1), widths[widest] - excess)
        widths[widest] = target
    return widths


def _total(widths: list[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def _line(widths: dict[Column, int], texts: Mapping[Column, str], row: Row | None = None) -> str:
    parts = []
    for column, wide in widths.items():
        text = texts[column]
        padding = " " * (wide - cells(text))
        shown = coloured(text, column.meaning(row)) if row is not None and column.meaning is not None else text
        parts.append(padding + shown if column.is_number else shown + padding)
    return (" " * _GAP).join(parts).rstrip()


def _cell(text: str, width: int) -> str:
    return text if cells(text) <= width else next(_pieces(text, width - 1)) + "…"


def _pieces(text: str, width: int) -> Iterator[str]:
    """The text in pieces of at most `width` columns, at least one."""
    begin = used = 0
    for at, character in enumerate(text):
        wide = _cells_of(character)
        if used + wide > width:
            yield text[begin:at]
            begin, used = at, 0
        used += wide
    yield text[begin:]


def _cells_of(character: str) -> int:
    return 0 if unicodedata.combining(character) else 1 + (unicodedata.east_asian_width(character) in "WF")
