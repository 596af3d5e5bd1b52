"""`check --connect` against a real NATS server: every way to fail is a line that says what to do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest

from app.cluster import beats
from app.cluster.beats import Beat
from app.cluster.connection import dial
from app.cluster.jetstream import JetStream
from app.cluster.peer.handshake import Access
from app.cluster.peer.listener import PeerListener
from app.cluster.peer.serving import Serving
from app.cluster.trying import Finding, findings
from app.settings import ClusterSettings
from tests.system import nats_server
from tests.system.harness import LOOPBACK, free_port
from tests.system.nats_server import PASSWORD, USER, NatsServer
from tests.system.process import Processes
from tunnel.account import Account

pytestmark = pytest.mark.anyio

SECRET = b"a-secret-of-all-nodes"
NODES, LINKS, ROUTES = (f"bucket tunnel_{name}" for name in ("nodes", "links", "routes"))


@pytest.fixture
def settings(tmp_path: Path) -> ClusterSettings:
    secret = tmp_path / "peer-secret"
    secret.write_bytes(SECRET)
    return ClusterSettings(servers=(), peer_secret_file=str(secret))


@pytest.fixture(autouse=True)
def soon() -> object:
    """A node that beats does so often here."""
    with mock.patch("app.cluster.trying.BEATS_SECONDS", 0.5) as patched:
        yield patched


def server(tmp_path: Path, processes: Processes, configuration: str = "", *, jetstream: bool = True) -> NatsServer:
    return NatsServer(tmp_path / "nats", processes, configuration, jetstream=jetstream).start()


async def tried(settings: ClusterSettings, *servers: str) -> list[Finding]:
    before = asyncio.all_tasks()
    async with asyncio.timeout(30):
        found = [one async for one in findings(replace(settings, servers=servers))]
    assert asyncio.all_tasks() == before
    return found


def told(found: list[Finding]) -> list[tuple[str, str]]:
    return [(one.level, one.text) for one in found]


async def test_all_is_well_and_nobody_is_there_yet(tmp_path: Path, processes: Processes, settings: ClusterSettings):
    nats = server(tmp_path, processes)
    for _ in range(2):
        found = told(await tried(settings, nats.url))
        assert found[0][1].startswith(f"NATS {nats.url}: connected, version ")
        assert found[1:] == [
            *(("ok", f"{name}: can be read and written; entries: 0, replicas: 1") for name in (NODES, LINKS, ROUTES)),
            ("ok", "nodes: none beats, so there is none to be dialled"),
        ]


async def test_each_server_is_tried(tmp_path: Path, processes: Processes, settings: ClusterSettings):
    nats, nobody = server(tmp_path, processes), f"nats://{LOOPBACK}:{free_port()}"
    found = told(await tried(settings, nobody, nats.url, nats.url))
    assert [level for level, _ in found] == ["error", *["ok"] * 6]
    assert found[0][1].startswith(f"NATS {nobody}: ")
    assert found[0][1].endswith("; check that the server runs, and that this machine reaches it")
    assert len(await tried(settings, nobody)) == 1


async def test_without_jetstream(tmp_path: Path, processes: Processes, settings: ClusterSettings):
    nats = server(tmp_path, processes, jetstream=False)
    found = told(await tried(settings, nats.url))
    assert [level for level, _ in found] == ["ok", "error", "error", "error"]
    assert found[1][1].startswith(f"{NODES}: nobody answers $JS.API.STREAM.INFO.KV_tunnel_nodes; JetStream is off")
    assert found[1][1].endswith("; switch JetStream on for this account")


async def test_a_wrong_password(tmp_path: Path, processes: Processes, settings: ClusterSettings):
    nats = server(tmp_path, processes, nats_server.users())
    (tmp_path / "password").write_text("wrong")
    own = replace(settings, user=USER, password_file=str(tmp_path / "password"))
    ((level, text),) = told(await tried(own, nats.url))
    assert level == "error"
    assert text.endswith("compare the user, and password_file, credentials_file or nkey_file, with the server's "
                         "configuration")  # fmt: skip
    assert "wrong" not in text


async def test_a_server_without_tls(tmp_path: Path, processes: Processes, settings: ClusterSettings):
    nats = server(tmp_path, processes)
    url = nats.url.replace("nats:", "tls:")
    ((level, text),) = told(await tried(settings, url))
    assert (level, text) == (
        "error",
        (
            f"NATS {url}: the server offers no TLS, and the configuration asks for it; check ca_file and the name in "
            "the server's certificate, and that the server speaks TLS"
        ),
    )


@pytest.mark.slow  # the answer that is forbidden never comes
async def test_a_user_who_may_not_write(tmp_path: Path, processes: Processes, settings: ClusterSettings):
    permissions = '{ publish: { deny: ["$KV.tunnel_links.>"] }, subscribe: ">" }'
    nats = server(tmp_path, processes, nats_server.users(permissions))
    (tmp_path / "password").write_text(PASSWORD)
    own = replace(settings, user=USER, password_file=str(tmp_path / "password"))
    found = told(await tried(own, nats.url))
    (bad,) = [text for level, text in found if level == "error"]
    assert bad == (
        f"{LINKS}: NATS does not allow this user to publish $KV.tunnel_links.check; allow it in the user's permissions"
    )


async def test_a_user_who_may_not_hear_announcements(tmp_path: Path, processes: Processes, settings: ClusterSettings):
    permissions = '{ publish: ">", subscribe: { deny: ["tunnel.>"] } }'
    nats = server(tmp_path, processes, nats_server.users(permissions))
    (tmp_path / "password").write_text(PASSWORD)
    own = replace(settings, user=USER, password_file=str(tmp_path / "password"))
    (bad,) = [text for level, text in told(await tried(own, nats.url)) if level == "error"]
    assert bad.startswith("NATS does not allow this user to subscribe tunnel.")
    assert bad.endswith("; allow it in the user's permissions")


async def test_more_replicas_than_servers(tmp_path: Path, processes: Processes, settings: ClusterSettings):
    nats = server(tmp_path, processes)
    three = replace(settings, replicas=3)
    found = told(await tried(three, nats.url))
    assert [level for level, _ in found[:2]] == ["ok", "error"]
    assert "set replicas in [cluster] to no more than there are NATS servers" in found[1][1]
    await tried(settings, nats.url)
    found = told(await tried(three, nats.url))
    assert found[1] == (
        "warning",
        (
            f"{NODES}: there, and kept 1 times where replicas is 3; change it with: "
            "nats stream edit KV_tunnel_nodes --replicas 3"
        ),
    )


# --- other nodes


@asynccontextmanager
async def listening(node: str, secret: bytes = SECRET) -> AsyncIterator[str]:
    """A node's listener; its address."""
    serving = Serving(lambda _: 1 / 0)  # type: ignore[arg-type, return-value]
    access = Access((secret,))
    listener = PeerListener(
        serving, node=node, build="1.2.3", host=LOOPBACK, port=0, access=access, account=Account()
    )  # fmt: skip
    await listener.open()
    try:
        yield "http://{}:{}".format(*listener.address)
    finally:
        await listener.close()


@asynccontextmanager
async def beating(settings: ClusterSettings, url: str, nodes: dict[str, str]) -> AsyncIterator[JetStream]:
    """Nodes that beat, by their addresses."""
    connection = await dial(replace(settings, servers=(url,)), url, name="test", forbidden=lambda *_: None)
    stream = JetStream(connection, "tunnel_nodes")
    await stream.bind(1)

    async def put(node: str, seq: int) -> None:
        beat = Beat(name=node.upper(), peer_url=nodes.get(node, "http://dead"), seq=seq)
        await stream.write(node, beats.encoded(beat), None)

    async def run() -> None:
        for seq in range(1_000):
            for node in nodes:
                await put(node, seq)
            await asyncio.sleep(0.1)

    await put("dead", 1)
    await stream.write("unreadable", b"{}", None)
    task = asyncio.create_task(run())
    try:
        yield stream
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await connection.end()


async def test_every_node_that_beats_is_dialled(tmp_path: Path, processes: Processes, settings: ClusterSettings):
    nats = server(tmp_path, processes)
    nowhere = f"http://{LOOPBACK}:{free_port()}"
    async with listening("good") as good, listening("keeps", b"another-secret-of-it") as keeps:
        nodes = {"good": good, "keeps": keeps, "moved": good, "nowhere": nowhere, "odd": "ftp://x"}
        async with beating(settings, nats.url, nodes):
            found = told(await tried(settings, nats.url))[4:]
    hint = "check peer_url and peer_bind of that node, and network policies"
    assert found[0] == (
        "warning", "node dead (DEAD): does not beat; it has stopped or stands still, or cannot reach NATS"
    )  # fmt: skip
    assert found[1] == ("ok", f"node good (GOOD) at {good}: takes peer links, version 1.2.3")
    assert found[2][0] == "error"
    assert found[2][1].startswith(f"node keeps (KEEPS) at {keeps}: refused with 401: ")
    assert found[2][1].endswith("; give all nodes the same peer_secret_file, or certificates of one peer_ca_file")
    assert found[3] == (
        "error",
        (f"node moved (MOVED) at {good}: refused with 421: 'another node is here by now: good'; peer_url must lead to "
        "that node's own peer_bind, not to a Service or balancer"),
    )  # fmt: skip
    assert (found[4][0], found[4][1].startswith(f"node nowhere (NOWHERE) at {nowhere}: ")) == ("error", True)
    assert found[4][1].endswith(hint)
    assert found[5] == ("error", f"node odd (ODD) at ftp://x: its address is no http(s)://HOST:PORT; {hint}")
    assert len(found) == 6
