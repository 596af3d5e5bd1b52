"""Lists: a page of rows, where it ends, and how to go on from there.

A page is built in slices: after `ROWS_PER_TURN` candidates, taken or filtered out, the loop gets its turn. Rows are
encoded as they are made, so a page is held once. The cursor is the key of its last row: rows that come or go meanwhile
move nothing.
"""

import asyncio
import base64
import binascii
import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

import msgspec

from .errors import bad_request
from .parameters import Parameter, Text, Whole
from .resources import Answer, Asked, answer

MOST_ROWS: Final = 1_000
ROWS_PER_TURN: Final = 100
"""A row costs 5 to 10 us: 1 ms in a row."""
_SORTED_PER_TURN: Final = 2_000
"""Names: 0.5 ms."""

LIMIT = Parameter("limit", Whole(1, MOST_ROWS), "At most so many rows.", default=MOST_ROWS)
AFTER = Parameter("after", Text("the value of `next`", 1_024), "Begin after this row: the `next` of the page before.")
PAGING = (LIMIT, AFTER)


class Turn(Enum):
    """What `page` may be given besides candidates."""

    OVER = 0
    """This took long: let the loop have its turn."""


Step = tuple[str, msgspec.Struct] | Turn | None
"""A candidate: its key and its item. None: it is filtered out."""


@dataclass(slots=True)
class Page:
    """Some rows of a list, each encoded."""

    rows: list[msgspec.Raw] = field(default_factory=list)
    last: str = ""
    """The key of the last of them."""
    has_more: bool = False
    """There are rows after these."""

    @property
    def next(self) -> str | None:
        """The cursor for the rows after these. None: there are none."""
        return cursor_of(self.last) if self.has_more else None

    def answer(self, name: str, total: int, more: Mapping[str, object] = {}) -> Answer:
        """The page as an answer. `more`: further fields."""
        return answer({name: self.rows, **more, "next": self.next, "total": total})


async def page(steps: Iterable[Step], asked: Asked) -> Page:
    """The first rows of these, as many as were asked for."""
    made, size_bytes = Page(), 0
    limit: int = asked.query["limit"]
    for number, step in enumerate(steps, 1):
        if number % ROWS_PER_TURN == 0 or step is Turn.OVER:
            await asyncio.sleep(0)
        if step is None or step is Turn.OVER:
            continue
        row = msgspec.json.encode(step[1])
        is_full = len(made.rows) >= limit or size_bytes + len(row) > asked.most_bytes
        if is_full and made.rows:
            made.has_more = True
            break
        made.rows.append(msgspec.Raw(row))
        size_bytes += len(row) + 1
        made.last = step[0]
    return made


def in_order(names: list[str], begin: str = "") -> Iterator[str | Turn]:
    """These names from `begin` on, in order, without sorting many in one turn."""
    runs: list[list[str]] = []
    for start in range(0, len(names), _SORTED_PER_TURN):
        runs.append(sorted(name for name in names[start : start + _SORTED_PER_TURN] if name >= begin))
        yield Turn.OVER
    yield from heapq.merge(*runs)


def after(asked: Asked) -> str:
    """The key to begin after; empty: from the beginning. Raises ApiError."""
    cursor: str | None = asked.query["after"]
    if cursor is None:
        return ""
    try:
        key = base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        key = ""
    if not key:
        raise wrong_cursor()
    return key


def number_after(asked: Asked) -> int:
    """The key to begin after, where keys are numbers; 0: from the beginning. Raises ApiError."""
    key = after(asked)
    if key and not (key.isascii() and key.isdigit() and len(key) < 19):
        raise wrong_cursor()
    return int(key or 0)


def wrong_cursor() -> Exception:
    """The cursor is none of ours."""
    return bad_request("after", "after is not a cursor of this list; take it from `next` of the page before")


def cursor_of(key: str) -> str:
    """The cursor for the rows after this key."""
    return base64.urlsafe_b64encode(key.encode()).decode()
