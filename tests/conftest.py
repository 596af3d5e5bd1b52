"""What all tests have in common: compiled sources are kept, and the garbage collector stays out of their way.

With PYTHONDONTWRITEBYTECODE, which many containers set, every process of a run would compile everything again: pytest
its 450 rewritten test files, and each of the hundreds of gateways and agents its own sources.

A collection looks at every object, and the modules of all tests are a million of them. They are set aside before the
first test; many tests collect several times.

A collection must not come while pytest reports a failed test. Before CPython 3.11.8 and 3.12.2 `ast.parse` fails with a
SystemError ("AST constructor recursion depth mismatch", python/cpython#106905) when it is entered again while it runs.
pytest parses the sources of a failed test. A collection that begins there may finalise a task of which nobody asked for
the exception, or a coroutine that nobody awaited; asyncio or pytest then format a traceback, which parses a line of it.
The whole run would end with an INTERNALERROR.
"""

import gc
import os
import sys
from collections.abc import Generator

import pytest

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


class SetAside:
    """The modules of all tests, away from the collector until something calls `gc.unfreeze`.

    That call is noticed: `gc.get_freeze_count` counts a million objects each time.
    """

    def __init__(self) -> None:
        self.is_whole = False
        self._unfreeze = gc.unfreeze
        gc.unfreeze = self.unfreeze

    def unfreeze(self) -> None:
        self.is_whole = False
        self._unfreeze()

    def make(self) -> None:
        gc.collect()
        gc.freeze()
        self.is_whole = True


set_aside = SetAside()


def pytest_collection_finish() -> None:
    set_aside.make()


@pytest.hookimpl(trylast=True)  # after the fixtures have
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    if nextitem is not None and nextitem.path != item.path and not set_aside.is_whole:
        set_aside.make()  # a test of the product's collector had it all looked at again


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return (yield)
    finally:
        if was_enabled:
            gc.enable()
