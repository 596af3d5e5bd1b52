"""A gateway as a node: how it starts and ends, with an engine that never gets a connection."""

import asyncio
from pathlib import Path

import pytest

from app.cluster.node import LOOK_SECONDS, Node
from app.main import create_app
from app.node.gateway import Gateway
from app.settings import Settings
from app.settings.cluster import ClusterSettings
from tests.fakes.loop import dialogue, quiet


class Stage:
    """One node."""

    def __init__(self, **settings: object) -> None:
        cluster = ClusterSettings(("nats://nats.test:4222",), node_name="one", **settings)  # type: ignore[arg-type]
        self.gateway: Gateway = create_app(Settings(cluster=cluster)).state.gateway  # type: ignore[attr-defined]
        assert isinstance(self.gateway.elsewhere, Node)
        self.node = self.gateway.elsewhere
        self.node.engine.start = lambda: None  # type: ignore[method-assign]
        self.node._compare_files = self.compare_files  # type: ignore[method-assign]  # it has a thread

    async def compare_files(self) -> None: ...


def others() -> "set[asyncio.Task[object]]":
    return asyncio.all_tasks() - {asyncio.current_task()}


@dialogue
async def test_a_node_that_never_started_ends():
    s = Stage()
    await s.gateway.aclose()
    await s.gateway.aclose()
    s.gateway.open()
    assert others() == set()


@dialogue
async def test_a_node_that_has_started_leaves_no_task():
    s = Stage()
    s.gateway.open()
    await quiet()
    assert others()
    await s.gateway.aclose()
    await s.gateway.aclose()
    assert others() == set()


@pytest.mark.parametrize("seconds", [0.0, 0.5, 2.0, 10.0])
@dialogue
async def test_a_node_that_drains_is_ended_at_any_moment(seconds: float):
    s = Stage()
    s.gateway.open()
    await quiet()
    s.gateway.drain.begin(5.0, delay_seconds=1.0)
    await asyncio.sleep(seconds)
    await s.gateway.aclose()
    assert others() == set()


@dialogue
async def test_secrets_are_taken_up_by_a_node_that_only_dials(tmp_path: Path):
    file = tmp_path / "secret"
    file.write_text("an-old-secret-of-nodes\n")
    s = Stage(peer_secret_file=str(file))
    s.gateway.open()
    file.write_text("a-newer-secret-of-nodes\n")
    await asyncio.sleep(LOOK_SECONDS + 1.0)
    assert s.node.files.secret == b"a-newer-secret-of-nodes"
    await s.gateway.aclose()


@dialogue
async def test_a_fault_in_the_look_at_the_files_does_not_end_it(caplog: pytest.LogCaptureFixture):
    s = Stage()
    looks = []

    def look() -> None:
        looks.append(1)
        raise RuntimeError("a bug")

    s.node.files.look = look  # type: ignore[method-assign]
    s.gateway.open()
    await asyncio.sleep(2 * LOOK_SECONDS + 1.0)
    assert len(looks) == 2
    assert "could not be looked at" in caplog.text
    await s.gateway.aclose()


@dialogue
async def test_a_fault_while_the_links_are_given_away_does_not_end_the_drain(caplog: pytest.LogCaptureFixture):
    s = Stage()
    s.gateway.open()
    await quiet()

    async def run(_deadline: float) -> None:
        raise RuntimeError("a bug")

    assert s.node.parts is not None
    s.node.parts.leaving.run = run  # type: ignore[method-assign]
    await s.gateway.drain.begin(5.0, delay_seconds=0.0)
    assert "giving the links of this node away failed" in caplog.text
    await s.gateway.aclose()
