"""The connection to a real NATS server: lost and back in every way, secured in every way, refused in words."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import nkeys
import pytest
import trustme

from app.cluster.announcer import Announcer
from app.cluster.bucket import AwayError
from app.cluster.directory import Directory
from app.cluster.keys import announcements
from app.cluster.presence import Presence
from app.settings import ClusterSettings
from tests.system import nats_server
from tests.system.harness import LOOPBACK, free_port
from tests.system.nats_accounts import Accounts
from tests.system.nats_server import PASSWORD, USER, NatsServer
from tests.system.nodes_of_nats import BUCKET, Node, eventually, nodes
from tests.system.process import Processes

pytestmark = pytest.mark.anyio

Make = Callable[..., NatsServer]


@pytest.fixture
def make(tmp_path: Path, processes: Processes) -> Make:
    """Makes a server with this configuration; not yet started."""
    return lambda configuration="": NatsServer(tmp_path / "nats", processes, configuration)


class Certificates:
    """Of a server and a node, by one authority."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.ca = folder / "ca.pem"
        self.authority.cert_pem.write_to_path(self.ca)
        self.server = self._issue(folder, "server", LOOPBACK)
        self.node = self._issue(folder, "node", "node.test")

    def _issue(self, folder: Path, name: str, identity: str) -> tuple[Path, Path]:
        leaf = self.authority.issue_cert(identity)
        certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
        leaf.cert_chain_pems[0].write_to_path(certificate)
        leaf.private_key_pem.write_to_path(key)
        return certificate, key


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


@pytest.fixture
def password(tmp_path: Path) -> Path:
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\n")
    return file


def write(file: Path, text: str | None) -> None:
    if text is None:
        file.unlink()
    else:
        file.write_text(text)


async def works(node: Node) -> None:
    await node.mirror.put("works", b"1")
    assert node.mirror.get("works")


# Lost and back


@pytest.mark.parametrize(
    ("loss", "losses"),
    [(NatsServer.restart, 1), (lambda server: server.restart(lose_data=True), 1)],
    ids=["killed", "killed, data lost"],
)
async def test_it_comes_back_after(loss: Callable[[NatsServer], None], losses: int, make: Make):
    server = make().start()
    async with nodes(ClusterSettings((server.url,))) as (node,):
        await node.synced()
        first = node.engine.connection
        loss(server)
        await node.synced(after_losses=losses)
        assert node.engine.connection is not first
        await works(node)


async def test_it_starts_without_nats_and_finds_it(make: Make, caplog: pytest.LogCaptureFixture):
    server = make()
    with caplog.at_level(logging.INFO, "gateway.cluster"):
        async with nodes(ClusterSettings((server.url,))) as (node,):
            assert node.engine.state.name == "connecting"
            await node.lost()
            assert "refused" in str(node.engine.state).lower() or "connect" in str(node.engine.state).lower()
            since = node.engine.state.since
            with pytest.raises(AwayError):
                await node.mirror.put("k", b"1")
            await asyncio.sleep(0.3)  # several dials
            assert node.engine.state.since == since
            server.start()
            await node.synced()
            assert str(node.engine.state) == f"connected to {server.url}"
        assert str(node.engine.state) == "stopped"
    away = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(away) == 1, "each change once, not each dial"


async def test_the_next_server_is_tried(make: Make):
    server = make().start()
    dead = f"nats://{LOOPBACK}:{free_port()}"
    async with nodes(ClusterSettings((dead, server.url))) as (node,):
        await node.synced()
        assert node.engine.state.server == server.url


@pytest.mark.slow
async def test_a_server_that_stands_still_is_noticed_and_found_again(make: Make):
    server = make().start()
    async with nodes(ClusterSettings((server.url,))) as (node,):
        await node.synced()
        server.pause()
        assert await eventually(lambda: node.engine.state.name == "away") < 5
        assert "stale" in str(node.engine.state.why)
        server.resume()
        await node.synced(after_losses=1)
        await works(node)


@pytest.mark.slow
async def test_a_tls_connection_that_stands_still_is_left_as_soon(make: Make, certificates: Certificates):
    """nats-py by itself waits for the far end's close: half a minute."""
    server = make(nats_server.tls(*certificates.server)).start()
    async with nodes(ClusterSettings((server.url,), ca_file=str(certificates.ca))) as (node,):
        await node.synced()
        server.pause()
        assert await eventually(lambda: node.engine.state.name == "away") < 5
        server.resume()
        await node.synced(after_losses=1)
        await works(node)


@pytest.mark.slow
async def test_it_ends_at_once_while_nats_stands_still(make: Make, certificates: Certificates):
    server = make(nats_server.tls(*certificates.server)).start()
    loop = asyncio.get_running_loop()
    async with nodes(ClusterSettings((server.url,), ca_file=str(certificates.ca))) as (node,):
        await node.synced()
        server.pause()
        began = loop.time()
        await node.engine.aclose()
        assert loop.time() - began < 4
        server.resume()


async def test_an_over_long_line_costs_one_connection_and_no_more(make: Make):
    """The server closes the connection over it. nats-py's own reconnecting would give up for good."""
    server = make().start()
    async with nodes(ClusterSettings((server.url,))) as (node,):
        await node.synced()
        assert node.engine.connection is not None
        await node.engine.connection.publish("x" * 5_000)
        await node.synced(after_losses=1)
        await works(node)


# Who the node is


@pytest.mark.parametrize("scheme", ["nats", "tls"])
async def test_tls(scheme: str, make: Make, certificates: Certificates):
    server = make(nats_server.tls(*certificates.server)).start()
    url = server.url.replace("nats", scheme)
    async with nodes(ClusterSettings((url,), ca_file=str(certificates.ca))) as (node,):
        await node.synced()
        await works(node)
        server.restart()
        await node.synced(after_losses=1)
        await works(node)


async def test_tls_with_a_certificate_of_the_node(make: Make, certificates: Certificates):
    server = make(nats_server.tls(*certificates.server, ca=certificates.ca)).start()
    certificate, key = map(str, certificates.node)
    ca = str(certificates.ca)
    async with nodes(ClusterSettings((server.url,), ca_file=ca, certificate=certificate, key=key)) as (node,):
        await node.synced()
        await works(node)
    async with nodes(ClusterSettings((server.url,), ca_file=ca)) as (stranger,):
        await stranger.lost()


async def test_a_server_of_another_authority_is_refused(make: Make, certificates: Certificates, tmp_path: Path):
    server = make(nats_server.tls(*certificates.server)).start()
    (tmp_path / "other").mkdir()
    other = Certificates(tmp_path / "other")
    async with nodes(ClusterSettings((server.url,), ca_file=str(other.ca))) as (node,):
        await node.lost()
        assert "certificate" in str(node.engine.state.why)


async def test_a_password_never_goes_to_a_server_without_tls(make: Make, certificates: Certificates, password: Path):
    """Somebody who is in the way could say that the server needs none."""
    seen: list[bytes] = []

    async def pretend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.15.1","max_payload":1048576,"auth_required":true}\r\n')
        seen.append(await reader.read())
        writer.close()

    pretender = await asyncio.start_server(pretend, LOOPBACK, 0)
    port = pretender.sockets[0].getsockname()[1]
    who = {"user": USER, "password_file": str(password)}
    for settings in (
        ClusterSettings((f"tls://{LOOPBACK}:{port}",), **who),
        ClusterSettings((f"nats://{LOOPBACK}:{port}",), ca_file=str(certificates.ca), **who),
    ):
        async with nodes(settings) as (node,):
            await node.lost()
            assert "offers no TLS" in str(node.engine.state.why)
    pretender.close()
    await pretender.wait_closed()
    await eventually(lambda: len(seen) >= 2)
    assert set(seen) == {b""}


async def test_a_user_with_a_password_that_changes(make: Make, password: Path):
    server = make(nats_server.users()).start()
    settings = ClusterSettings((server.url,), user=USER, password_file=str(password))
    async with nodes(settings) as (node,):
        await node.synced()
        await works(node)
        server.configure(nats_server.users().replace(PASSWORD, "another"))
        server.reload()
        await node.lost()
        await eventually(lambda: "authorization" in str(node.engine.state.why).lower())
        write(password, "another")
        await node.synced(after_losses=1)
        await works(node)
        write(password, None)
        server.restart()
        await eventually(lambda: "password_file" in str(node.engine.state.why))


async def test_an_nkey(make: Make, tmp_path: Path):
    seed = nkeys.encode_seed(bytes(range(32)), nkeys.PREFIX_BYTE_USER)
    public = nkeys.from_seed(bytearray(seed)).public_key.decode()
    server = make(f"authorization {{ users: [ {{ nkey: {public} }} ] }}").start()
    file = tmp_path / "seed"
    file.write_bytes(seed)
    async with nodes(ClusterSettings((server.url,), nkey_file=str(file))) as (node,):
        await node.synced()
        await works(node)
    file.write_bytes(nkeys.encode_seed(bytes(range(1, 33)), nkeys.PREFIX_BYTE_USER))
    async with nodes(ClusterSettings((server.url,), nkey_file=str(file))) as (stranger,):
        await stranger.lost()
        write(file, "not a seed")
        await eventually(lambda: "authorization" not in str(stranger.engine.state.why).lower())
        assert "nats://" in str(stranger.engine.state.why)
        write(file, None)
        await eventually(lambda: "nkey_file" in str(stranger.engine.state.why))


async def test_credentials(make: Make, tmp_path: Path):
    accounts = Accounts()
    server = make(accounts.configuration).start()
    file = tmp_path / "gateway.creds"
    write(file, accounts.credentials)
    async with nodes(ClusterSettings((server.url,), credentials_file=str(file))) as (node,):
        await node.synced()
        await works(node)
        server.restart()
        await node.synced(after_losses=1)
        write(file, "something else")
        server.restart()
        await eventually(lambda: "credentials_file" in str(node.engine.state.why))


# What it may do

RIGHTS = """{
  publish: [ "$KV.B.>", "$JS.API.STREAM.INFO.KV_B", "$JS.API.STREAM.CREATE.KV_B", "$JS.API.STREAM.MSG.GET.KV_B",
             "$JS.API.STREAM.PURGE.KV_B", "$JS.API.CONSUMER.CREATE.KV_B", "$JS.API.CONSUMER.DELETE.KV_B.>",
             "$JS.FC.KV_B.>", "tunnel.links" ]
  subscribe: [ "_INBOX.>", "tunnel.links" ]
}""".replace("B.>", f"{BUCKET}.>").replace("KV_B", f"KV_{BUCKET}")


async def test_the_rights_that_are_documented_are_enough(make: Make, password: Path):
    document = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
    server = make(nats_server.users(RIGHTS)).start()
    settings = ClusterSettings((server.url,), user=USER, password_file=str(password))
    async with nodes(settings, settings) as (one, two):
        await one.synced()
        announcers = [Announcer(announcements("tunnel"), Directory(Presence(name, 0.0))) for name in ("one", "two")]
        for node, announcer in zip((one, two), announcers, strict=True):
            node.engine.attach(announcer)
        announcers[0]._directory.own.came("l1", "c1", "a", "yamux")
        announcers[0].due()
        await asyncio.gather(*(one.mirror.put(f"k.{number}", b"x" * 500) for number in range(2_000)))
        await two.synced()
        await eventually(lambda: len(two.mirror) == 2_000)
        await one.mirror.create("k", b"1")
        await one.mirror.delete("k")
        await one.mirror.create("k", b"1")
        await one.mirror.delete("k")
        await eventually(lambda: two.mirror.revision == 2_004)
        assert await two.mirror.purge_markers(0) == 1
        await eventually(lambda: announcers[1].heard)
        assert one.engine.forbidden == two.engine.forbidden == []
    for subject in RIGHTS.replace(BUCKET, "B").split('"')[1::2]:
        assert f"`{subject}`" in document


async def test_what_nats_forbids_is_told_once_with_its_subject(
    make: Make, password: Path, caplog: pytest.LogCaptureFixture
):
    server = make(nats_server.users(RIGHTS.replace(f'"$KV.{BUCKET}.>", ', ""))).start()
    settings = ClusterSettings((server.url,), user=USER, password_file=str(password))
    async with nodes(settings) as (node,):
        await node.synced()
        with caplog.at_level(logging.WARNING, "gateway.cluster"):
            puts = [node.mirror.put("host.a", b"1") for _ in range(2)]
            refused = await asyncio.gather(*puts, return_exceptions=True)
        assert all(isinstance(each, AwayError) and "does not allow" in str(each) for each in refused)
        assert node.engine.forbidden == [f"publish $kv.{BUCKET}.host.a"]
        assert len(caplog.records) == 1
        assert f"$kv.{BUCKET}.host.a" in caplog.records[0].getMessage()
