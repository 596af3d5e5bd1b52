"""Syncs take turns: one of a cluster at a time, a rate per token, and the newest wins."""

import asyncio
import itertools

from app.agents.syncs import Syncs
from app.rules.routes import Route, RouteTable
from tests.app.agents.calls import SYNC, asked, known, stage, sync_body, told
from tests.fakes.asgi import Request
from tests.fakes.link import TARGET, FakeLink
from tests.fakes.loop import dialogue, quiet


class Running:
    """Syncs that the test begins and ends."""

    def __init__(self, per_minute: float = 60.0) -> None:
        self.loop = asyncio.get_running_loop()
        self.syncs = Syncs(self.loop.time)
        self.per_minute = per_minute

    def begin(self, cluster: str = "a", token: bytes = b"t") -> "asyncio.Task[bool]":
        return self.loop.create_task(self.syncs.begin(cluster, token, self.per_minute))


@dialogue
async def test_one_of_a_cluster_at_a_time_and_the_newest_of_a_token_wins():
    running = Running()
    first, second, third, other = running.begin(), running.begin(), running.begin(), running.begin("b")
    await quiet()
    assert (first.result(), second.result(), other.result()) == (True, False, True)
    assert not third.done()
    another = running.begin(token=b"u")
    await quiet()
    assert repr(running.syncs) == "<Syncs 2 running, 2 waiting>"
    running.syncs.end("a")
    await quiet()
    assert third.result()
    assert not another.done()
    running.syncs.end("a")
    await quiet()
    assert another.result()
    for cluster in ("a", "b"):
        running.syncs.end(cluster)
    assert repr(running.syncs) == "<Syncs 0 running, 0 waiting>"


@dialogue
async def test_what_is_above_the_rate_waits_and_nothing_is_refused():
    running = Running(per_minute=2)
    began = running.loop.time()
    for _ in range(2):
        assert await running.begin()
        running.syncs.end("a")
    assert running.loop.time() == began
    assert await running.begin()
    assert running.loop.time() - began == 30.0
    running.syncs.end("a")
    assert await running.begin("b")  # each cluster has its own
    assert await running.begin(token=b"u")  # and each token
    assert running.loop.time() - began == 30.0


@dialogue
async def test_who_gives_up_waiting_leaves_nothing_behind():
    running = Running()
    assert await running.begin()
    waiting = running.begin()
    await quiet()
    waiting.cancel()
    await asyncio.wait((waiting,))
    assert repr(running.syncs) == "<Syncs 1 running, 0 waiting>"
    running.syncs.end("a")
    assert await running.begin()


# --- at the application


@dialogue
async def test_a_sync_that_a_newer_one_replaced_says_so_and_changes_nothing():
    async with stage(max_syncs_per_minute=1) as s:
        assert (await told(s, SYNC, sync_body("one.a.test")))[1]["accepted"] == 1
        older = asked(s, SYNC, sync_body("two.a.test"))
        await quiet()
        newer = asked(s, SYNC, sync_body("three.a.test"))
        await older.over()
        assert older.status == 200
        assert b'"superseded":true' in older.answer
        await newer.over()
        assert newer.status == 200
        assert [line.split("/")[0] for line in known(s)] == ["three.a.test"]


@dialogue
async def test_a_large_sync_changes_few_routes_a_turn_and_other_tenants_go_on():
    routes = RouteTable([Route("app.example.test", b"/", TARGET)])
    async with stage(routes=routes) as s:
        link = FakeLink()
        s.gateway.registry.add(link)  # type: ignore[arg-type]
        hosts = [f"h{number}.a.test" for number in range(2_000)]
        carried = 0
        for wanted in (hosts, hosts[:5]):
            sync = asked(s, SYNC, sync_body(*wanted))
            other: Request | None = None
            seen = [len(s.gateway.learned)]
            assert sync.task is not None
            while not sync.task.done():
                if other is None:
                    other = Request(s.app, "GET", "/", host="app.example.test")
                    other.body()
                    other.start()
                elif len(link.exchanges) > carried and not other.complete:
                    link.exchanges[-1].answer(200)
                    link.exchanges[-1].finish()
                if other.complete:
                    other, carried = None, carried + 1
                await asyncio.sleep(0)
                seen.append(len(s.gateway.learned))
            if other is not None:  # the one that was on its way when the sync was done
                await quiet()
                if not other.complete:
                    link.exchanges[-1].answer(200)
                    link.exchanges[-1].finish()
                await other.over()
                carried += 1
            assert max(abs(b - a) for a, b in itertools.pairwise(seen)) <= 50
        assert carried > 10
        assert len(s.gateway.learned) == 5
