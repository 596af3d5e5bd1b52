"""Work that is divided among turns of the loop: so many steps now, so many in each turn, and others in between."""

import asyncio
import weakref
from collections.abc import Callable, Iterable, Iterator

import pytest

from tests.fakes.loop import dialogue, quiet
from tunnel.slices import let_go, work_off


def steps(done: list[int], number: int) -> Iterator[None]:
    for each in range(number):
        done.append(each)
        yield


def test_without_a_loop_all_is_done_now():
    done: list[int] = []
    work_off(steps(done, 1_000), 7)
    assert len(done) == 1_000


@dialogue
async def test_so_many_steps_now_and_in_each_turn():
    done: list[int] = []
    work_off(steps(done, 20), 7)
    counts = [len(done)]
    while len(done) < 20:
        await asyncio.sleep(0)
        counts.append(len(done))
    assert counts == [7, 14, 20]
    await quiet()
    assert done == list(range(20))


@dialogue
async def test_work_that_fits_one_turn_leaves_no_other():
    done: list[int] = []
    work = steps(done, 3)
    work_off(work, 4)
    assert len(done) == 3
    assert next(work, "over") == "over"


class _Item:
    """Something that can be watched."""


@pytest.mark.parametrize("kind", [list, dict.fromkeys])
def test_each_item_is_let_go_of_with_the_next(kind: Callable[[list[_Item]], Iterable[_Item]]):
    items = [_Item() for _ in range(5)]
    watched = [weakref.ref(item) for item in items]
    left = let_go(kind(items))
    del items
    for number, item in enumerate(left):
        assert item is watched[number]()
        assert [watch() is None for watch in watched[:number]] == [True] * number
        assert all(watch() is not None for watch in watched[number:])
    del item
    assert not any(watch() for watch in watched)
