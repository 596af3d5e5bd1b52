"""Three gateways with NATS as operators secure it: a password, TLS with certificates of both sides."""

from collections.abc import Callable
from pathlib import Path

import pytest
from trustme import CA

from tests.system import nats_server
from tests.system.conftest import tunnel_only
from tests.system.harness import LOOPBACK
from tests.system.nats_server import PASSWORD, USER, NatsServer
from tests.system.nodes.conftest import MakeNodes
from tests.system.nodes.nodes import Nodes, Settings
from tests.system.nodes.traffic import Books
from tests.system.process import Processes

pytestmark = [pytest.mark.anyio, tunnel_only]


def with_password(folder: Path) -> tuple[str, Settings]:
    file = folder / "password"
    file.write_text(PASSWORD + "\n", encoding="utf-8")
    return nats_server.users(), {"user": USER, "password_file": str(file)}


def with_tls(folder: Path) -> tuple[str, Settings]:
    """The nodes present the certificate to each other, too."""
    authority = CA()
    ca, certificate, key = (folder / name for name in ("ca.pem", "tls.crt", "tls.key"))
    authority.cert_pem.write_to_path(ca)
    leaf = authority.issue_cert(LOOPBACK)
    leaf.cert_chain_pems[0].write_to_path(certificate)
    leaf.private_key_pem.write_to_path(key)
    of_nats = {"ca_file": str(ca), "certificate": str(certificate), "key": str(key)}
    return nats_server.tls(certificate, key, ca=ca), of_nats | {f"peer_{name}": path for name, path in of_nats.items()}


@pytest.mark.parametrize(("scheme", "secure"), [("nats", with_password), ("tls", with_tls)])
async def test_agents_are_reached_over_other_nodes(
    make_nodes: MakeNodes, processes: Processes, tmp_path: Path, scheme: str,
    secure: Callable[[Path], tuple[str, Settings]],
) -> None:  # fmt: skip
    configuration, cluster = secure(tmp_path)
    nats = NatsServer(tmp_path / "nats", processes, configuration).start()
    nodes: Nodes = make_nodes(nats=nats, scheme=scheme, cluster=cluster)
    if scheme == "tls":
        for node in nodes.nodes.values():
            node.peer_url = node.peer_url.replace("http://", "https://")
    nodes.start()
    nodes.start_agent("a1", "c1", nodes.nodes["a"].port)
    nodes.start_agent("a2", "c2", nodes.nodes["c"].port)
    nodes.wait_answers("c1", "c2")
    books = Books(nodes)
    async with books.traffic(100) as traffic:
        await traffic.more(100)
    assert books.failed == []
    books.close()
