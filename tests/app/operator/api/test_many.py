"""Ten thousand of everything: the first page of each list costs little, and no turn of the loop is long.

Cost is counted as the lines of our own code that run (`lines.py`), and in a turn as the rows that are made: neither
depends on the machine.
"""

import asyncio

import pytest

from app.learned.claims import Claim
from app.observed.events import KEPT
from app.operator.api import pages
from app.operator.api.watchers import PATIENCE_SECONDS, WATCHED_BYTES
from app.rules.routes import Route, RouteTable
from app.settings import Grant, token_hash
from tests.app.operator.api.calls import request, stage
from tests.app.operator.api.lines import costs_little
from tests.app.operator.api.test_exchanges import Running
from tests.app.operator.api.test_watchers import watchers
from tests.app.stage import Stage
from tests.fakes.link import FakeLink
from tests.fakes.loop import dialogue, quiet
from tunnel.port import Target

MANY = 10_000
FILE = RouteTable([Route(f"h{n}.test", b"/", Target(f"c{n % 1_000}", "apps", "web", 80)) for n in range(MANY)])
GRANTS = {token_hash("a"): Grant(("a",), hosts=("*.a.test",))}


async def full() -> Stage:
    """Ten thousand routes of the file, as many of agents, a thousand clusters with a link."""
    s = stage(routes=FILE, grants=GRANTS)
    target = Target("a", "apps", "web", 80)
    await s.gateway.learned.sync("a", [Claim(f"h{n}.a.test", "/", target) for n in range(MANY)], ["*.a.test"], "a")
    for number in range(1, 1_001):
        link = FakeLink(f"a{number}", f"c{number}")
        link.name = f"link-{number}"
        s.gateway.registry.add(link)  # type: ignore[arg-type]
    for number in range(MANY):
        s.gateway.exchanges.began(Running(request_id=str(number)))
    for number in range(2 * KEPT):
        s.gateway.events.emit("link_ready", str(number))
    return s


LISTS = [
    "/-/routes", "/-/routes?origin=learned", "/-/routes?cluster=nothing", "/-/routes?host=h9.a.test", "/-/clusters",
    "/-/clusters?connected=false", "/-/links", "/-/links?state=leaving", "/-/status", "/-/account", "/-/events",
    "/-/exchanges", "/-/exchanges?client=nobody", "/-/exchanges?host=nothing.test",
]  # fmt: skip


@dialogue
async def test_the_first_page_costs_little_and_no_turn_is_long(subtests: pytest.Subtests):
    s = await full()
    for target in LISTS:
        with subtests.test(target):
            asked = request(s, target)
            await costs_little(asked)
            assert len(asked.answer) < 1_000_000
    for each in s.gateway.exchanges:
        s.gateway.exchanges.ended(each)
    await s.gateway.aclose()


WATCHED = ["/-/exchanges", "/-/links", "/-/clusters", "/-/status", "/-/events"]


@dialogue
async def test_ten_that_never_read_hold_a_bounded_amount_of_all_that():
    s = await full()
    stuck = [request(s, f"{target}?watch=true") for target in WATCHED * 2]
    await quiet()
    for watcher in stuck:
        watcher.hold()
    for number in range(20):
        s.gateway.exchanges.ended(next(iter(s.gateway.exchanges)))
        s.gateway.events.emit("link_ready", f"{number}" + "x" * 1_000)
        await asyncio.sleep(1)
        held = [watching.held_bytes for watching in watchers(s)._running]
        assert len(held) == 10
        assert max(held) <= WATCHED_BYTES + 500
        assert sum(held) == s.gateway.account.held_bytes
    assert sum(held) > WATCHED_BYTES
    await asyncio.sleep(PATIENCE_SECONDS)
    assert len(watchers(s)) == s.gateway.account.held_bytes == 0
    for each in s.gateway.exchanges:
        s.gateway.exchanges.ended(each)
    await s.gateway.aclose()


def test_a_turn_makes_a_hundred_rows():
    assert pages.ROWS_PER_TURN == 100
