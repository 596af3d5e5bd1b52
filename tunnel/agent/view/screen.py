"""What the terminal shows: the state of the link, what is published, notes, and the last requests, newest first.

Sans I/O: told what happens, and asked for the lines that fit a window of some size. Invariants: every text is clean
(`text.py`); no line is wider than the window, and there are no more lines than it has; what is kept is bounded, however
long it runs. A window that is too small loses the requests first and the link's state last.
"""

from collections import deque
from collections.abc import Sequence
from enum import StrEnum

from tunnel.agent import units
from tunnel.agent.view import lines
from tunnel.agent.view.text import clean, fitted, padded, width, wrapped
from tunnel.agent.view.view import Address
from tunnel.wire.publishing import RequestRow

MOST_COLUMNS, MOST_ROWS = 400, 200
"""Of a larger window the rest stays empty."""
_NOTES = 10
_NOTES_SHOWN = 3
_TEXT_LINES = 3
"""Of the state, and of a note."""
_LEAST_PATH = 24
"""Columns of a path below which others give way."""


class Style(StrEnum):
    """How a part of a line is meant to be read."""

    PLAIN = "plain"
    STRONG = "strong"
    FAINT = "faint"
    GOOD = "good"
    ODD = "odd"
    BAD = "bad"


Line = list[tuple[Style, str]]
"""Its parts, from left to right."""


class Screen:
    """All that a window may show."""

    def __init__(self) -> None:
        self.addresses: list[Address] = []
        self.notes: deque[str] = deque(maxlen=_NOTES)
        self._rows: deque[RequestRow] = deque(maxlen=MOST_ROWS)
        self._state = "starting"
        self._well = self._served = False
        self._round_trip: float | None = None
        self._left_out = 0

    def __repr__(self) -> str:
        return f"<Screen {len(self.addresses)} published, {len(self._rows)} requests, {self._state!r}>"

    def published(self, addresses: Sequence[Address]) -> None:
        """See `View`."""
        self.addresses = list(addresses)

    def state(self, text: str, *, well: bool, round_trip: float | None) -> None:
        """See `View`."""
        self._state, self._well, self._round_trip = clean(text), well, round_trip
        self._served = self._served or well

    def requests(self, rows: Sequence[RequestRow], left_out: int) -> None:
        """See `View`."""
        self._rows.extend(rows)
        self._left_out += left_out

    def note(self, text: str) -> None:
        """See `View`."""
        self.notes.append(clean(text))

    def lines(self, columns: int, rows: int) -> list[Line]:
        """What a window of this size shows."""
        columns, rows = min(columns, MOST_COLUMNS), min(rows, MOST_ROWS)
        shown = [*self._state_lines(columns), *self._address_lines(max(1, rows // 3))]
        if self.notes:
            notes = list(self.notes)[-_NOTES_SHOWN:]
            shown += [[], *([(Style.ODD, line)] for note in notes for line in wrapped(note, columns, _TEXT_LINES))]
        room = rows - len(shown) - 2
        if room > 0:
            shown += [[], self._heading(), *self._request_lines(columns, room)]
        return [_cut(line, columns) for line in shown[:rows]]

    def _state_lines(self, columns: int) -> list[Line]:
        style = Style.GOOD if self._well else Style.BAD if self._served else Style.ODD
        made: list[Line] = [[(style, line)] for line in wrapped(self._state, columns, _TEXT_LINES)]
        if self._round_trip is not None and self._well:
            made[-1].append((Style.FAINT, f", round trip {units.milliseconds(self._round_trip)}"))
        return made

    def _address_lines(self, most: int) -> list[Line]:
        shown = self.addresses if len(self.addresses) <= most else self.addresses[: most - 1]
        urls = [clean(address.url) for address in shown]
        widest = max(map(width, urls), default=0)
        made: list[Line] = [
            [(Style.STRONG, padded(url, widest)), (Style.FAINT, " leads to "), (Style.PLAIN, clean(address.service))]
            for address, url in zip(shown, urls, strict=True)
        ]
        if len(shown) < len(self.addresses):
            made.append([(Style.FAINT, f"and {len(self.addresses) - len(shown)} more")])
        return made

    def _heading(self) -> Line:
        if not self._rows:
            return [(Style.FAINT, "no requests yet; Ctrl-C ends it")]
        left_out = f" (left out {self._left_out})" if self._left_out else ""
        return [(Style.FAINT, f"the last requests{left_out}; Ctrl-C ends it")]

    def _request_lines(self, columns: int, most: int) -> list[Line]:
        shown = list(self._rows)[: -most - 1 : -1]
        with_host = len({lines.host_of(address) for address in self.addresses}) > 1
        paths = [(lines.where(row, with_host=with_host), lines.why(row)) for row in shown]
        most_path = max((width(path) + width(why) + bool(why) for path, why in paths), default=0)
        fields = [
            [f"{lines.time_of_day(row):<8}" for row in shown],
            [f"{lines.duration(row):>13}" for row in shown],
            [lines.client(row) for row in shown],
        ]
        room = columns - len("200 OPTIONS ") - sum(_columns_of(field) for field in fields)
        for number in (2, 1, 0):  # the client gives way to the path first, and the time last
            if room < min(_LEAST_PATH, most_path):
                room += _columns_of(fields[number])
                fields[number] = [""] * len(shown)
        path_columns = max(1, min(room, max(_LEAST_PATH, most_path)))
        return [
            _request_line(row, _path_line(path, why, path_columns), time, duration, client)
            for row, (path, why), time, duration, client in zip(shown, paths, *fields, strict=True)
        ]


def _columns_of(field: Sequence[str]) -> int:
    """With the blank beside it."""
    return max(map(width, field), default=0) + 1


def _request_line(row: RequestRow, path: str, time: str, duration: str, client: str) -> Line:
    number = lines.status(row)
    return [
        (Style.FAINT, f"{time} " if time else ""),
        (_style_of(number), f"{number:<3} "),
        (Style.PLAIN, f"{padded(lines.method(row), 7)} {path}"),
        (Style.FAINT, "".join(f" {text}" for text in (duration, client) if text)),
    ]


def _path_line(path: str, why: str, columns: int) -> str:
    """The path gives way to the reason after it."""
    return padded(f"{fitted(path, columns - width(why) - 1)} {why}" if why else path, columns)


def _style_of(number: str) -> Style:
    return {"1": Style.GOOD, "2": Style.GOOD, "3": Style.PLAIN, "4": Style.ODD}.get(number[:1], Style.BAD)


def _cut(line: Line, columns: int) -> Line:
    """As much of it as fits."""
    made: Line = []
    for style, text in line:
        shown = fitted(text, columns)
        columns -= width(shown)
        if shown:
            made.append((style, shown))
        if shown != text:
            break
    return made
