"""What all tests have in common: how the garbage collector is kept out of their way.

A collection looks at every object, and the modules of all tests are a million of them. They are set aside before the
first test; many tests collect several times.

A collection must not come while pytest reports a failed test. Before CPython 3.11.8 and 3.12.2 `ast.parse` fails with a
SystemError ("AST constructor recursion depth mismatch", python/cpython#106905) when it is entered again while it runs.
pytest parses the sources of a failed test. A collection that begins there may finalise a task of which nobody asked for
the exception, or a coroutine that nobody awaited; asyncio or pytest then format a traceback, which parses a line of it.
The whole run would end with an INTERNALERROR.
"""

import gc
from collections.abc import Generator

import pytest


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)  # after the fixtures have
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    if nextitem is not None and nextitem.path != item.path and not gc.get_freeze_count():
        pytest_collection_finish()  # a test of the product's collector had it all looked at again


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return (yield)
    finally:
        if was_enabled:
            gc.enable()
