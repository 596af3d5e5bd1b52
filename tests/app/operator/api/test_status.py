"""`/-/status` and `/-/account`: the node at a glance."""

import platform

import pytest

from app.observed.metrics import Limit
from app.rules.routes import Route, RouteTable
from app.settings import Grant, token_hash
from tests.app.operator.api.calls import stage, told
from tests.fakes.asgi import Request
from tests.fakes.link import TARGET
from tests.fakes.loop import dialogue, quiet
from tunnel.account import Holding
from tunnel.version import VERSION

FILE = RouteTable([Route("app.example.test", b"/", TARGET), Route("app.example.test", b"/a", TARGET)])


@dialogue
async def test_what_a_node_says_of_itself():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.time", lambda: 1_800_000_000.0)
        async with stage(links=2, routes=FILE, grants={token_hash("t"): Grant(("c1", "c2"))}) as s:
            running = Request(s.app).start()
            await quiet()
            found = await told(s, "/-/status")
            assert found["account"] == await told(s, "/-/account")
            del found["account"]
            assert found == {
                "version": VERSION, "python": platform.python_version(), "started_at": "2027-01-15T08:00:00.000Z",
                "uptime_seconds": 0.0, "ready": True, "draining": False, "closing": False,
                "configuration": {
                    "file": None, "loaded_at": "2027-01-15T08:00:00.000Z", "error": None, "reloads": 0,
                    "reloads_refused": 0,
                },
                "counts": {
                    "links": 2, "clusters": 2, "clusters_connected": 1, "routes": 2, "exchanges": 1, "websockets": 0,
                    "connections": 0, "requests_waiting": 0,
                },
                "node": None, "warnings": [],
            }  # fmt: skip
            (link,) = [link for link in s.links if link.exchanges]
            link.only.answer(200)
            link.only.finish()
            await running.over()
            assert (await told(s, "/-/status"))["counts"]["exchanges"] == 0


@dialogue
async def test_a_node_that_drains_says_so():
    async with stage(drain_delay=5.0) as s:
        s.gateway.begin_drain()
        await quiet()
        found = await told(s, "/-/status")
        assert (found["ready"], found["draining"], found["closing"]) == (False, True, False)


@dialogue
async def test_what_to_look_at_is_a_sentence():
    async with stage(routes=FILE) as s:
        assert (await told(s, "/-/status"))["warnings"] == [
            "cluster c1 has routes, but no agent's token covers it; add it to an [[agents]] entry"
        ]


@dialogue
async def test_the_account():
    async with stage(held_bytes_limit=2**20, max_waiting_requests=7, max_websockets=5) as s:
        s.gateway.metrics.limit_hit(Limit.ORIGIN)
        held = Holding(s.gateway.account)
        held.set(1_000)
        found = await told(s, "/-/account")
        assert (found["held_bytes"], found["high_mark_bytes"], found["state"]) == (1_000, 2**20, "normal")
        assert found["connections_limit"] is None
        assert found["limits"]["max_waiting_requests"] == 7
        assert found["limits"]["max_websockets_per_cluster"] is None
        assert found["limits_hit"]["origin"] == 1
        assert set(found["limits_hit"]) == set(Limit)
        held.close()


@dialogue
async def test_the_account_says_when_it_ends_who_stalls():
    async with stage(held_bytes_limit=2**20) as s:
        held = Holding(s.gateway.account)
        held.set(2**20 + 1)
        assert (await told(s, "/-/account"))["state"] == "relieving"
        s.gateway.account.is_full = True
        assert (await told(s, "/-/account"))["state"] == "full"
        warnings = (await told(s, "/-/status"))["warnings"]
        assert warnings[-1] == "too much is held: new exchanges are refused; see account"
        held.close()
        await quiet()
