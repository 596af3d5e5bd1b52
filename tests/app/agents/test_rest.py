"""The existing agent's REST calls: what is answered, what it changes for clients, and that it lasts."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from app.agents import rest
from app.learned import Claim, ClaimError, Learned, NotSharedError
from app.learned.bounds import LOOK_SECONDS
from app.learned.lifetimes import LIFETIME_SECONDS
from app.rules.policy import Policy
from app.rules.routes import Route, RouteTable
from app.settings import ConfigurationError, Settings
from tests.app.agents.calls import (
    GRANTS,
    REGISTER,
    SYNC,
    TUNNELS,
    UNREGISTER,
    asked,
    known,
    register_body,
    stage,
    sync_body,
    told,
    visit,
)
from tests.fakes.loop import dialogue
from tests.tunnel.gateway.recording import CLUSTER, Playback
from tests.tunnel.gateway.recording import stage as recorded_stage
from tunnel.port import Target

# --- the recorded agent


@dialogue
async def test_the_recorded_agent_registers_syncs_and_unregisters():
    seen: list[list[str]] = []

    class Watched(Playback):
        async def _gateway(self, line: dict[str, Any]) -> None:
            await super()._gateway(line)
            if line["event"] == "rest":
                seen.append(known(self.stage))

    async with recorded_stage(routed=False) as s:
        playback = Watched("16-routes-rest", s)
        await playback.play()
        assert seen == [
            [f"app.example.test/ -> {CLUSTER}/default/web:80"],
            [f"app.example.test/ -> {CLUSTER}/kube-system/web:80"],  # where its ingress controller is
            [],
        ]
        await playback.end()


# --- what is served


@dialogue
async def test_a_registered_host_is_served_until_it_is_unregistered():
    async with stage() as s:
        assert await visit(s, "x.a.test") == (404, "no_route")
        status, answer = await told(s, REGISTER, register_body(path="/app"))
        assert (status, answer["success"], answer["in_force"]) == (200, True, True)
        assert await visit(s, "x.a.test", "/app/x") == (503, "no_agent")
        assert await visit(s, "x.a.test", "/application") == (404, "no_route")
        assert s.gateway.snapshot().clusters == {"a"}
        assert await told(s, UNREGISTER, {"hostname": "X.a.test"}) == (200, {"success": True, "removed": 1})
        assert await told(s, UNREGISTER, {"hostname": "x.a.test"}) == (200, {"success": True, "removed": 0})
        assert await visit(s, "x.a.test", "/app") == (404, "no_route")


@pytest.mark.parametrize("path_type", ["Prefix", "Exact", "ImplementationSpecific", "", None])
@dialogue
async def test_all_types_of_paths_are_prefixes(path_type: str | None):
    async with stage() as s:
        assert (await told(s, REGISTER, register_body(path="/app/", path_type=path_type)))[0] == 200
        assert await visit(s, "x.a.test", "/app") == (503, "no_agent")


@dialogue
async def test_the_file_beats_what_agents_register():
    routes = RouteTable(
        [
            Route("x.a.test", b"/admin", Target("c", "n", "s", 80)),
            Route("*.w.a.test", b"/", Target("c", "n", "s", 80)),
        ]
    )
    async with stage(routes=routes) as s:
        for host in ("x.a.test", "y.w.a.test", "*.w.a.test"):
            status, answer = await told(s, REGISTER, register_body(host))
            assert (status, answer["in_force"]) == (200, False)
        assert s.gateway.route_of("x.a.test", b"/") is None  # the file has the host, with all its paths
        for host in ("x.a.test", "y.w.a.test", "z.w.a.test"):
            route = s.gateway.route_of(host, b"/admin")
            assert route is not None
            assert route.target.cluster == "c"
        s.gateway.apply(Settings(grants=GRANTS))
        route = s.gateway.route_of("x.a.test", b"/admin")
        assert route is not None
        assert route.target.cluster == "a"


@dialogue
async def test_a_reload_reaches_learned_routes_too():
    async with stage() as s:
        await told(s, REGISTER, register_body())
        s.gateway.apply(Settings(grants=GRANTS, policy=Policy(max_websockets=7)))
        route = s.gateway.route_of("x.a.test", b"/")
        assert route is not None
        assert route.policy.max_websockets == 7
        s.gateway.apply(Settings())
        assert await visit(s, "x.a.test") == (404, "no_route")


@dialogue
async def test_a_route_that_nobody_renews_is_gone_after_a_day_and_a_minute():
    wall_clock = [1_800_000_000.0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.time", lambda: wall_clock[0])
        async with stage() as s:
            await told(s, REGISTER, register_body())
            wall_clock[0] += LIFETIME_SECONDS - 1
            await asyncio.sleep(LOOK_SECONDS + 1)
            assert await visit(s, "x.a.test") == (503, "no_agent")
            wall_clock[0] += 1
            await asyncio.sleep(LOOK_SECONDS + 1)
            assert await visit(s, "x.a.test") == (404, "no_route")


@dialogue
async def test_a_control_host_wins_over_every_wildcard():
    async with stage(control_hosts=frozenset({"gw.a.test"})) as s:
        assert (await told(s, REGISTER, register_body("*.a.test"), host="gw.a.test"))[0] == 200
        assert s.gateway.routes_of("gw.a.test") is None
        assert (await told(s, REGISTER, register_body("x.a.test"), host="gw.a.test"))[0] == 200


@dialogue
async def test_paths_of_a_learned_host_belong_to_its_service():
    async with stage() as s:
        await told(s, REGISTER, register_body())
        for path in (REGISTER, SYNC, UNREGISTER, TUNNELS, "/agent", "/healthz", "/-/routes"):
            assert await visit(s, "x.a.test", path) == (503, "no_agent")


@pytest.mark.parametrize("method", ["POST", "GET"])
@dialogue
async def test_only_control_hosts_take_the_calls(method: str):
    async with stage() as s:
        for path in (REGISTER, SYNC, UNREGISTER, TUNNELS, f"{TUNNELS}/1", "/api/v1/public/ip-intel/192.0.2.9"):
            status, answer = await told(s, path, register_body(), host="elsewhere.test", method=method)
            assert (status, answer["code"]) == (404, "no_route")
        assert known(s) == []


# --- sync


@dialogue
async def test_a_sync_replaces_and_names_what_it_refused(caplog: pytest.LogCaptureFixture):
    async with stage() as s:
        await told(s, REGISTER, register_body("old.a.test"))
        await told(s, REGISTER, register_body("taken.both.test", "b"), token="of-b")
        status, answer = await told(
            s, SYNC, sync_body("new.a.test", "taken.both.test", "x.b.test", "192.0.2.1", "gw.test")
        )
        assert status == 200
        assert (answer["success"], answer["accepted"], answer["rejected_count"]) == (True, 1, 4)
        assert [(one["host"], one["code"]) for one in answer["rejected"]] == [
            ("x.b.test", "route_not_allowed"),
            ("192.0.2.1", "route_not_allowed"),
            ("gw.test", "route_not_allowed"),
            ("taken.both.test", "host_taken"),
        ]
        assert known(s) == ["new.a.test/ -> a/kube-system/traefik:80", "taken.both.test/ -> b/ingress/traefik:80"]
        rejected = [record.getMessage() for record in caplog.records if "rejected" in record.getMessage()]
        assert len(rejected) == 4
        assert all("the agent at 203.0.113.9 of cluster a" in line for line in rejected)
        assert await told(s, SYNC, sync_body(ingresses=[])) == (
            200, {"success": True, "accepted": 0, "rejected_count": 0, "rejected": []},
        )  # fmt: skip
        assert known(s) == ["taken.both.test/ -> b/ingress/traefik:80"]


@dialogue
async def test_what_is_refused_for_good_delays_no_other_registration(caplog: pytest.LogCaptureFixture):
    """The existing agent tries a call that is not answered 200 twice more, and its next route waits meanwhile."""
    refused = {
        "route_not_allowed": register_body("x.elsewhere.test"),
        "invalid_route": register_body(namespace=""),
        "host_taken": register_body("x.both.test"),
    }
    async with stage() as s:
        await told(s, REGISTER, register_body("x.both.test", "b"), token="of-b")
        for code, body in [*refused.items(), *refused.items()]:
            status, answer = await told(s, REGISTER, body)
            assert (status, answer["stored"], answer["code"]) == (200, False, code)
            assert answer["reason"]
        status, answer = await told(s, REGISTER, register_body(cluster="c9"))
        assert (status, answer["stored"]) == (200, False)
        assert [record.levelname for record in caplog.records if "rejected" in record.getMessage()] == ["WARNING"] * 4
        shown = [(one.name, one.fault.value) for one in s.gateway.learned.refusals]
        assert shown[:3] == [
            ("x.elsewhere.test/", "route_not_allowed"), ("x.a.test/", "invalid_route"), ("x.both.test/", "host_taken")
        ]  # fmt: skip
        await told(s, REGISTER, register_body())
        assert ("x.a.test/", "invalid_route") not in [(one.name, one.fault.value) for one in s.gateway.learned.refusals]


@dialogue
async def test_a_route_that_is_learned_in_the_end_is_no_longer_listed_as_refused(caplog: pytest.LogCaptureFixture):
    """However it was written, and also if the agent named a cluster that its token did not cover then."""
    longest = "/" + "p" * 499
    async with stage() as s:
        await told(s, REGISTER, register_body("X.Both.Test.", "b", path="/shop/"), token="of-b")
        for body in (
            register_body("X.Both.Test.", path="/shop/"),
            register_body("X.A.Test", path="/shop/", namespace=""),
            register_body(path=longest, namespace=""),
            register_body("y.a.test", cluster="c9"),
        ):
            status, answer = await told(s, REGISTER, body)
            assert (status, answer["stored"]) == (200, False)
        assert len([record for record in caplog.records if "rejected" in record.getMessage()]) == 4
        assert len(s.gateway.learned.refusals) == 4
        await told(s, UNREGISTER, {"hostname": "x.both.test"}, token="of-b")
        for body in (
            register_body("X.Both.Test.", path="/shop/"),
            register_body("X.A.Test", path="/shop/"),
            register_body(path=longest),
            register_body("y.a.test"),
        ):
            assert (await told(s, REGISTER, body))[1]["stored"]
        assert list(s.gateway.learned.refusals) == []


@dialogue
async def test_direct_routes_are_taken_and_not_stored():
    async with stage() as s:
        await told(s, REGISTER, register_body())
        await told(s, REGISTER, register_body(path="/keep"))
        status, answer = await told(s, REGISTER, register_body(routing_mode="direct"))
        assert (status, answer["success"], answer["stored"]) == (200, True, False)
        assert known(s) == ["x.a.test/keep -> a/ingress/traefik:80"]
        status, answer = await told(s, SYNC, sync_body("x.a.test", routing_mode="direct"))
        assert (status, answer["accepted"]) == (200, 0)
        assert known(s) == []


@dialogue
async def test_a_sync_of_thousands_leaves_turns_to_others():
    async with stage() as s:
        request = asked(s, SYNC, sync_body(*(f"h{number}.a.test" for number in range(1000))))
        turns = 0
        while not request.is_over:
            await asyncio.sleep(0)
            turns += 1
        assert request.status == 200
        assert turns > 30
        assert len(s.gateway.learned) == 1000


@dialogue
async def test_a_sync_of_too_many_is_refused_whole():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rest, "ROUTES_IN_ALL", 3)
        async with stage() as s:
            await told(s, REGISTER, register_body())
            status, answer = await told(s, SYNC, sync_body(*(f"h{number}.a.test" for number in range(4))))
            assert (status, answer["code"]) == (409, "too_many_routes")
            assert known(s) == ["x.a.test/ -> a/ingress/traefik:80"]


# --- the store


def test_200_is_answered_once_it_is_committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async def run() -> None:
        async with stage(state_dir=str(tmp_path)) as s:
            store = s.gateway.learned._store
            assert store is not None
            commit: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            handed_over = asyncio.Event()

            def write(changes: object) -> asyncio.Future[None]:
                handed_over.set()
                return commit

            monkeypatch.setattr(store, "write", write)
            request = asked(s, REGISTER, register_body())
            await handed_over.wait()
            for _ in range(20):
                await asyncio.sleep(0)
            assert request.sent == []
            commit.set_result(None)
            await request.over()
            assert request.status == 200

    asyncio.run(run())


def test_what_is_not_committed_is_a_503(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async def run() -> None:
        async with stage(state_dir=str(tmp_path)) as s:
            store = s.gateway.learned._store
            assert store is not None

            def fail(_: object) -> None:
                raise OSError("disk full")

            monkeypatch.setattr(store, "_transaction", fail)
            for call, body in (
                (REGISTER, register_body()),
                (SYNC, sync_body("x.a.test")),
                (UNREGISTER, {"hostname": "x.a.test"}),
            ):
                status, answer = await told(s, call, body)
                assert (status, answer["code"]) == (503, "not_stored")
            monkeypatch.undo()
            assert (await told(s, REGISTER, register_body()))[0] == 200

    asyncio.run(run())


def test_a_gateway_that_ends_leaves_nothing_open(tmp_path: Path):
    def files() -> int:
        return len(list(tmp_path.iterdir()))

    async def run() -> None:
        async with stage(state_dir=str(tmp_path)) as s:
            assert (await told(s, REGISTER, register_body()))[0] == 200
            assert files() == 3  # SQLite's log and index stand beside it
        assert files() == 1
        assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("learned-routes")]

    asyncio.run(run())


def test_a_restarted_gateway_serves_before_any_agent_has_synced(tmp_path: Path):
    async def before() -> None:
        async with stage(state_dir=str(tmp_path)) as s:
            answers = await asyncio.gather(
                *(told(s, REGISTER, register_body(f"h{number}.a.test")) for number in range(100))
            )
            assert {status for status, _ in answers} == {200}

    async def after() -> None:
        async with stage(state_dir=str(tmp_path)) as s:
            for number in range(100):
                assert await visit(s, f"h{number}.a.test") == (503, "no_agent")
            assert await visit(s, "h100.a.test") == (404, "no_route")

    asyncio.run(before())
    asyncio.run(after())


def test_a_state_dir_that_cannot_be_written_stops_the_start(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="state_dir"):
        stage(state_dir=str(tmp_path / "file"))


# --- other nodes


@dialogue
async def test_what_the_nodes_could_not_agree_on_is_asked_for_again():
    class Unsure:
        async def register(self, *_: object) -> Learned:
            raise NotSharedError("nobody answers")

        async def sync(self, *_: object) -> list[tuple[Claim, ClaimError]]:
            raise NotSharedError("nobody answers")

        async def unregister(self, *_: object, path: str | None = None) -> int:
            raise NotSharedError(f"nobody answers {path}")

    async with stage() as s:
        s.gateway.registering = Unsure()
        for path, body in ((REGISTER, register_body()), (SYNC, sync_body()), (UNREGISTER, {"hostname": "x.a.test"})):
            status, answer = await told(s, path, body)
            assert (status, answer["code"]) == (503, "not_shared")
