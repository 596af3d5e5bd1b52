"""k8s/examples/nats.yaml with real servers: its account and its user are enough for the gateway, and for nothing else.

NATS' own chart is not at hand, so `configuration` does what it does with these values: the settings of a cluster and of
JetStream as it writes them, `config.merge` over them, and text between `<<` and `>>` without quotes.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from app.cluster.bucket import AwayError
from app.cluster.engine import Engine
from app.cluster.mirror import Mirror
from app.settings import ClusterSettings
from tests.system.conftest import tunnel_only
from tests.system.harness import LOOPBACK, Service, Stack, free_port
from tests.system.nats_server import NatsServer
from tests.system.nodes_of_nats import eventually
from tests.system.process import ROOT, Processes

yaml = pytest.importorskip("yaml")

pytestmark = pytest.mark.anyio

EXAMPLES = ROOT / "k8s" / "examples"
VALUES: dict[str, Any] = yaml.safe_load((EXAMPLES / "nats.yaml").read_text(encoding="utf-8"))
GATEWAY: dict[str, Any] = yaml.safe_load((EXAMPLES / "gateway-nodes.yaml").read_text(encoding="utf-8"))["cluster"]
BUCKETS = [f"{GATEWAY['bucketPrefix']}_{name}" for name in ("nodes", "links", "routes")]
PASSWORD = "nats7e0123456789abcdef"
_GIB = 1024**3


def configuration(number: int, routes: list[int], folder: Path) -> str:
    """nats.conf of one of the servers."""
    config = VALUES["config"]
    settings = {
        "server_name": f"nats-{number}",
        "cluster": {
            "name": "nats",
            "listen": f"{LOOPBACK}:{routes[number]}",
            "no_advertise": True,
            "routes": [f"nats://{LOOPBACK}:{port}" for port in routes],
        },
        "jetstream": {
            "max_file_store": int(config["jetstream"]["fileStore"]["pvc"]["size"].removesuffix("Gi")) * _GIB,
            "max_memory_store": 0,
            "store_dir": str(folder / "data"),
        },
    }
    return re.sub(r'"<< (.*?) >>"', r"\1", json.dumps(settings | config["merge"], indent=1))


@pytest.fixture
def servers(tmp_path: Path, processes: Processes, monkeypatch: pytest.MonkeyPatch) -> list[NatsServer]:
    """As many as the values say, one cluster of NATS."""
    (variable,) = VALUES["container"]["env"]
    monkeypatch.setenv(variable, PASSWORD)
    routes = [free_port() for _ in range(VALUES["config"]["cluster"]["replicas"])]
    folders = [tmp_path / f"nats-{number}" for number in range(len(routes))]
    made = [
        NatsServer(folder, processes, configuration(number, routes, folder), jetstream=False)
        for number, folder in enumerate(folders)
    ]
    return [server.start() for server in made]


@pytest.fixture
def settings(servers: list[NatsServer], tmp_path: Path) -> ClusterSettings:
    """What the gateway's example says, with these servers."""
    password = tmp_path / "password"
    password.write_text(PASSWORD)
    return ClusterSettings(
        tuple(server.url for server in servers),
        user=GATEWAY["auth"]["user"],
        password_file=str(password),
        bucket_prefix=GATEWAY["bucketPrefix"],
        replicas=GATEWAY["bucketReplicas"],
    )


@asynccontextmanager
async def node(settings: ClusterSettings, *buckets: str) -> AsyncIterator[tuple[Engine, list[Mirror]]]:
    """An engine and its mirrors, started."""
    engine = Engine(settings, name="node", pause=lambda: 0.05)
    mirrors = [Mirror(bucket, replicas=settings.replicas) for bucket in buckets]
    for mirror in mirrors:
        engine.attach(mirror)
    engine.start()
    try:
        yield engine, mirrors
    finally:
        await engine.aclose()


async def test_the_gateways_user_may_do_all_that_it_does(settings: ClusterSettings) -> None:
    async with node(settings, *BUCKETS) as (one, ours), node(settings, *BUCKETS) as (two, theirs):
        await eventually(lambda: all(mirror.synced for mirror in ours + theirs), 30)
        for mirror in ours:
            revision = await mirror.create("k", b"1")
            await mirror.update("k", b"2", revision)
            await asyncio.gather(*(mirror.put(f"host.{number}", b"x" * 500) for number in range(1_000)))
            await mirror.delete("k")
            await mirror.create("k", b"3")
            await mirror.delete("k")
        await eventually(lambda: {mirror.revision for mirror in ours + theirs} == {1_005})
        assert {len(mirror) for mirror in theirs} == {1_000}
        assert [await mirror.purge_markers(0) for mirror in ours] == [1, 1, 1]
        assert one.forbidden == two.forbidden == []


async def test_it_may_do_nothing_else(settings: ClusterSettings) -> None:
    async with node(settings, "other_routes") as (engine, (mirror,)):
        await eventually(lambda: engine.forbidden)
        assert engine.forbidden == ["publish $js.api.stream.info.kv_other_routes"]
        assert not mirror.synced
        with pytest.raises(AwayError):
            await mirror.put("k", b"1")


async def test_nobody_else_may_connect(settings: ClusterSettings) -> None:
    async with node(ClusterSettings(settings.servers)) as (engine, _):
        await eventually(lambda: engine.state.name == "away")
        assert "authorization" in str(engine.state.why).lower()


@tunnel_only
async def test_it_is_enough_for_a_whole_gateway(
    settings: ClusterSettings, processes: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Configured by variables over a file, as in the chart's pods."""
    (tmp_path / "peers").write_text("a-secret-of-the-nodes")
    variables = {
        "SERVERS": ",".join(settings.servers),
        "USER": str(settings.user),
        "PASSWORD_FILE": str(settings.password_file),
        "BUCKET_PREFIX": settings.bucket_prefix,
        "REPLICAS": str(settings.replicas),
        "PEER_BIND": f"{LOOPBACK}:{free_port()}",
        "PEER_SECRET_FILE": str(tmp_path / "peers"),
    }
    for name, value in variables.items():
        monkeypatch.setenv(f"GATEWAY_CLUSTER_{name}", value)
    stack = Stack(tmp_path, processes, {"drain_delay": 0, "shutdown_grace": 0.5})
    stack.add(Service("closed", free_port()))
    async with node(settings, *BUCKETS[:2]) as (_, (beats, links)):
        await asyncio.to_thread(stack.start_gateway)
        await asyncio.to_thread(stack.start_agent)
        await eventually(lambda: len(beats) == len(links) == 1, 30)
        await asyncio.to_thread(stack.gateway.stop)
        await eventually(lambda: len(links) == 0)
    assert not [line for line in stack.gateway.output() if "does not allow" in line]
