"""Lists by pages: where a page ends, how it goes on, and that no turn of the loop builds more than 100 rows."""

import asyncio
import base64
from collections.abc import Iterator

import msgspec
import pytest

from app.operator.api.errors import ApiError
from app.operator.api.pages import ROWS_PER_TURN, Page, Step, Turn, after, in_order, number_after, page
from app.operator.api.resources import Asked
from tests.fakes.loop import dialogue


class Row(msgspec.Struct):
    number: int


def asked(limit: int = 1_000, after: str | None = None, most_bytes: int = 10**9) -> Asked:
    return Asked({"limit": limit, "after": after}, most_bytes=most_bytes)


def steps(count: int, begin: int = 0, *, every: int = 1) -> Iterator[Step]:
    """Rows of the numbers from `begin`; of these, only one in `every` is wanted."""
    for number in range(begin + 1, count + 1):
        yield (str(number), Row(number)) if number % every == 0 else None


def numbers(made: Page) -> list[int]:
    return [msgspec.json.decode(bytes(row))["number"] for row in made.rows]


@pytest.mark.parametrize(("count", "every", "limit"), [(0, 1, 1), (1, 1, 1), (5, 1, 2), (6, 1, 3), (1_000, 7, 10)])
@dialogue
async def test_pages_one_after_the_other_have_each_row_once(count: int, every: int, limit: int):
    found: list[int] = []
    cursor = None
    while True:
        request = asked(limit, cursor)
        made = await page(steps(count, number_after(request), every=every), request)
        assert len(made.rows) <= limit
        found += numbers(made)
        cursor = made.next
        if cursor is None:
            break
        assert len(made.rows) == limit, "a page that is not full is the last"
    assert found == [number for number in range(1, count + 1) if number % every == 0]


@dialogue
async def test_a_page_has_a_bound_in_bytes_and_at_least_one_row():
    size = len(msgspec.json.encode(Row(1))) + 1
    made = await page(steps(9), asked(most_bytes=3 * size))
    assert numbers(made) == [1, 2, 3]
    assert made.next is not None
    assert numbers(await page(steps(9), asked(most_bytes=1))) == [1]


class Turns:
    """Counts the rows that are made in each turn of the loop."""

    def __init__(self) -> None:
        self.most = self.now = 0
        self.over = False
        asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        self.now = 0
        if not self.over:
            asyncio.get_running_loop().call_soon(self._next)

    def counted(self, made: Iterator[Step]) -> Iterator[Step]:
        for step in made:
            self.now += 1
            self.most = max(self.most, self.now)
            yield step
        self.over = True


@pytest.mark.parametrize("every", [1, 10_001])
@dialogue
async def test_however_many_candidates_there_are_a_turn_has_100(every: int):
    turns = Turns()
    made = await page(turns.counted(steps(10_000, every=every)), asked())
    turns.over = True
    assert len(made.rows) == (1_000 if every == 1 else 0)
    assert turns.most <= ROWS_PER_TURN + 1


@dialogue
async def test_who_asks_for_a_turn_gets_it():
    seen: list[str] = []

    def made() -> Iterator[Step]:
        asyncio.get_running_loop().call_soon(seen.append, "turn")
        yield Turn.OVER
        seen.append("row")
        yield "1", Row(1)

    assert numbers(await page(made(), asked())) == [1]
    assert seen == ["turn", "row"]


def test_names_come_in_order_and_sorting_many_takes_many_turns():
    names = [str(number) for number in range(9_999, 0, -1)]
    found = list(in_order(names, "5"))
    turns = [name for name in found if isinstance(name, Turn)]
    assert len(turns) == 5
    assert found[: len(turns)] == turns, "all before the first name"
    assert found[len(turns) :] == sorted(name for name in names if name >= "5")


@pytest.mark.parametrize("cursor", ["?", "!", "AA", "MQ", "MQ==MQ", "/w==", "_w==", "==", "é", " "])
def test_what_is_no_cursor_is_refused(cursor: str):
    with pytest.raises(ApiError) as refused:
        after(asked(after=cursor))
    assert (refused.value.fault.status, refused.value.fault.parameter) == (400, "after")


@pytest.mark.parametrize("key", ["x", "-1", "1.5", "9" * 19, "¹"])
def test_a_cursor_of_another_list_is_refused(key: str):
    with pytest.raises(ApiError):
        number_after(asked(after=base64.urlsafe_b64encode(key.encode()).decode()))
