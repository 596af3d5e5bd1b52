"""What an answer costs: the lines of our own code that run for it, in all and in one turn of the loop.

So it does not depend on the machine.
"""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from tests.fakes.asgi import Request

LINES_OF_5_MS = 50_000
"""A line of Python takes about 0.1 us."""


class Lines:
    """Counts the lines of ours that run in each turn of the loop."""

    def __init__(self) -> None:
        self.total = self.most = self._turn = 0

    def trace(self, frame: FrameType, event: str, _: Any) -> Callable[..., Any] | None:
        name = frame.f_code.co_filename
        if "/asyncio/" in name:
            if frame.f_code.co_name == "_run_once":
                self._turn = 0
            return None
        if event == "line":
            self.total += 1
            self._turn += 1
            self.most = max(self.most, self._turn)
        return self.trace if "/app/" in name or "/tunnel/" in name else None


async def costs_little(asked: Request) -> None:
    """The answer costs little, and no turn of the loop is long."""
    lines = Lines()
    sys.settrace(lines.trace)
    try:
        await asked.over()
    finally:
        sys.settrace(None)
    assert asked.status == 200
    assert 100 < lines.total < 10 * LINES_OF_5_MS
    assert lines.most < LINES_OF_5_MS
