"""Keeps pytest's report of a failed test from being cut off by what the garbage collector finds meanwhile.

Before CPython 3.11.8 and 3.12.2 `ast.parse` fails with a SystemError ("AST constructor recursion depth mismatch",
python/cpython#106905) when it is entered again while it runs. pytest parses the sources of a failed test. A
collection that begins there may finalise a task of which nobody asked for the exception, or a coroutine that nobody
awaited; asyncio or pytest then format a traceback, which parses a line of it. The whole run would end with an
INTERNALERROR.
"""

import gc
from collections.abc import Generator

import pytest


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return (yield)
    finally:
        if was_enabled:
            gc.enable()
