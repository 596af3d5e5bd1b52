"""`tunnel-gateway diag` against a real gateway: all of it is there, and none of the secrets that it has seen."""

import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.clients import RawClient
from tests.system.conftest import tunnel_only
from tests.system.harness import LOOPBACK, TOKEN, Stack
from tests.system.process import ROOT
from tests.system.test_drain import ADMIN

pytestmark = [tunnel_only]

Make = Callable[..., Stack]

SECRETS = {
    "query": "secret-of-a-query", "bearer": "secret-of-a-bearer", "cookie": "secret-of-a-cookie",
    "route": "secret-of-a-route", "stranger": "secret-of-a-stranger", "agent": TOKEN, "admin": ADMIN,
}  # fmt: skip
FILES = {
    "about.json", "status.json", "account.json", "configuration.json", "nodes.json", "links.json", "clusters.json",
    "routes.json",
    "exchanges.json", "events.json", "metrics.txt",
}  # fmt: skip


def diag(stack: Stack, file: Path, token: str = ADMIN) -> "subprocess.CompletedProcess[str]":
    url = f"http://{LOOPBACK}:{stack.port}"
    return subprocess.run(
        [sys.executable, "-m", "app", "diag", str(file), "--url", url],
        cwd=ROOT, env={"PATH": "", "GATEWAY_ADMIN_TOKEN": token}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def contents(file: Path) -> dict[str, str]:
    with tarfile.open(file) as tar:
        assert {entry.mode for entry in tar} == {0o600}
        found = {entry.name: tar.extractfile(entry) for entry in tar.getmembers()}
        return {name.removeprefix("tunnel-gateway-diag/"): file.read().decode() for name, file in found.items() if file}


@pytest.fixture
def stack(own_stack: Make, tmp_path: Path) -> Stack:
    (tmp_path / "admin-token").write_text(f"{ADMIN}\n")
    stack = own_stack(admin_token_file="admin-token")
    file = stack.write_config()
    headers = f'request_headers = {{ set = {{ "X-Key" = "{SECRETS["route"]}" }} }}'
    file.write_text(file.read_text().replace("[[routes]]", f"[[routes]]\n{headers}"))
    stack.write_config = lambda: file  # type: ignore[method-assign]
    return stack.start()


def test_everything_is_in_it_but_what_is_secret(stack: Stack, tmp_path: Path) -> None:
    fields = (f"Authorization: Bearer {SECRETS['bearer']}", f"Cookie: id={SECRETS['cookie']}")
    with RawClient(stack.address("plain")) as running, RawClient(stack.address("plain")) as client:
        running.request(f"GET /never?id=1&key={SECRETS['query']} HTTP/1.1", "plain", *fields)
        client.request(f"GET /small?n=1&token={SECRETS['query']} HTTP/1.1", "plain", *fields)
        assert client.answer().status == 200
        client.request(f"GET /x?password={SECRETS['query']} HTTP/1.1", "nowhere", *fields)
        assert client.answer().status == 404
        stranger = RawClient((LOOPBACK, stack.port))
        lines = (
            *("GET /agent HTTP/1.1", "Host: localhost", "Connection: Upgrade", "Upgrade: websocket"),
            *("Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {'A' * 22}=="),
            *(f"Authorization: Bearer {SECRETS['stranger']}", "", ""),
        )
        stranger.send("\r\n".join(lines).encode())
        assert stranger.answer().status == 503
        file = tmp_path / "diag.tar.gz"
        done = diag(stack, file)
        stranger.socket.close()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"wrote {file}: ")
    assert file.stat().st_mode & 0o777 == 0o600
    found = contents(file)
    assert set(found) == FILES
    assert '"path": "/never"' in found["exchanges.json"]
    assert '"kind": "link_refused"' in found["events.json"]
    assert "gateway_requests_total" in found["metrics.txt"]
    assert "plain.example.test" in found["routes.json"]
    everything = "".join(found.values()) + done.stdout + "".join(stack.gateway.output())
    assert [name for name, secret in SECRETS.items() if secret in everything] == []


def test_a_file_that_exists_is_kept(stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "diag.tar.gz"
    file.write_text("mine")
    done = diag(stack, file)
    assert (done.returncode, file.read_text()) == (1, "mine")
    assert done.stderr == f"tunnel-gateway: diag: {file} exists, and is not overwritten\n"
    refused = diag(stack, tmp_path / "other.tar.gz", "another-admin-token-of-16")
    assert refused.returncode == 4
    assert not (tmp_path / "other.tar.gz").exists()
