"""Ten thousand of everything: the first page of each list costs little, and no turn of the loop is long.

Cost is counted as the lines of our own code that run, and in a turn as the rows that are made: neither depends on the
machine.
"""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from app.learned.claims import Claim
from app.operator.api import pages
from app.rules.routes import Route, RouteTable
from app.settings import Grant, token_hash
from tests.app.operator.api.calls import request, stage
from tests.app.stage import Stage
from tests.fakes.link import FakeLink
from tests.fakes.loop import dialogue
from tunnel.port import Target

MANY = 10_000
FILE = RouteTable([Route(f"h{n}.test", b"/", Target(f"c{n % 1_000}", "apps", "web", 80)) for n in range(MANY)])
GRANTS = {token_hash("a"): Grant(("a",), hosts=("*.a.test",))}
LINES_OF_5_MS = 50_000
"""A line of Python takes about 0.1 us."""


async def full() -> Stage:
    """Ten thousand routes of the file, as many of agents, a thousand clusters with a link."""
    s = stage(routes=FILE, grants=GRANTS)
    target = Target("a", "apps", "web", 80)
    await s.gateway.learned.sync("a", [Claim(f"h{n}.a.test", "/", target) for n in range(MANY)], ["*.a.test"], "a")
    for number in range(1, 1_001):
        link = FakeLink(f"a{number}", f"c{number}")
        link.name = f"link-{number}"
        s.gateway.registry.add(link)  # type: ignore[arg-type]
    return s


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


LISTS = [
    "/-/routes", "/-/routes?origin=learned", "/-/routes?cluster=nothing", "/-/routes?host=h9.a.test", "/-/clusters",
    "/-/clusters?connected=false", "/-/links", "/-/links?state=leaving", "/-/status", "/-/account", "/-/events",
]  # fmt: skip


@pytest.mark.parametrize("target", LISTS)
@dialogue
async def test_the_first_page_costs_little_and_no_turn_is_long(target: str):
    s = await full()
    lines = Lines()
    asked = request(s, target)
    sys.settrace(lines.trace)
    try:
        await asked.over()
    finally:
        sys.settrace(None)
    assert asked.status == 200
    assert 100 < lines.total < 10 * LINES_OF_5_MS
    assert lines.most < LINES_OF_5_MS
    await s.gateway.aclose()


def test_a_turn_makes_a_hundred_rows():
    assert pages.ROWS_PER_TURN == 100
