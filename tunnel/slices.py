"""Works off what is too much for one turn of the event loop, a bounded number of steps in each.

Ten thousand exchanges that end together, or ten thousand routes that change, must not hold up everybody else. The bound
is a count, not a time: the same input always takes the same turns. Each caller knows what a step of its work costs, and
gives as many as stay well below 5 ms.
"""

import asyncio
from collections.abc import Iterable, Iterator
from typing import TypeVar

_Item = TypeVar("_Item")


def let_go(items: Iterable[_Item]) -> Iterator[_Item]:
    """The items that there are now, in their order, each let go of with the next.

    A list holds all to its end, and what nobody else holds is then freed at once: 30 ms for 10,000 WebSockets.
    """
    left = list(items)
    del items
    left.reverse()
    while left:
        yield left.pop()


def work_off(work: Iterator[object], steps_per_turn: int) -> None:
    """Take so many steps of `work` now, and as many in each further turn of the loop until it ends.

    Without a running loop, and so without anybody who would have to wait, all of it is done now. A step must not raise:
    the rest would be lost.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        for _ in work:
            pass
        return
    for _ in range(steps_per_turn):
        try:
            next(work)
        except StopIteration:
            return
    loop.call_soon(work_off, work, steps_per_turn)
