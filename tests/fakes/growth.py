"""Counts work instead of timing it: what a piece of code calls, at some size and at four times that size.

A count is the same on every machine. `grows_linearly` is the bound that the tests of others' inputs share: four times
the input, at most 4.5 times the calls.
"""

import gc
import sys
from collections.abc import Callable
from types import FrameType

FACTOR = 4
MOST = 4.5


def calls_of(work: Callable[[], object]) -> int:
    """How many functions `work` calls, Python's and C's. The garbage of others is not collected meanwhile."""
    count = 0

    def profile(_frame: FrameType, event: str, _arg: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before, collects = sys.getprofile(), gc.isenabled()
    gc.disable()
    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(before)
        if collects:
            gc.enable()
    return count


def grows_linearly(small: float, large: float) -> bool:
    """Whether `FACTOR` times the input cost at most `MOST` times the work."""
    assert small > 0
    return large <= MOST * small
