"""`tunnel-agent login` against a real gateway, and an agent that needs nothing else to know afterwards."""

import stat
import subprocess
import sys
import urllib.request
from collections.abc import Callable

import pytest

from tests.system.conftest import tunnel_only
from tests.system.harness import LOOPBACK, NAMESPACE, TOKEN, UNDER_UVICORN, Stack
from tests.system.process import ROOT

pytestmark = [tunnel_only]

Make = Callable[..., Stack]
UNKNOWN = "nobody-knows-this-token"


def run(stack: Stack, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    """`tunnel-agent` of a user whose home is in the stack's folder."""
    return subprocess.run(
        [sys.executable, "-m", "tunnel.agent", *arguments],
        cwd=ROOT, env={"HOME": str(stack.folder), "PATH": ""}, input=typed, capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip


def test_from_login_to_logout(own_stack: Make) -> None:
    stack = own_stack().start(agent=False)
    gateway = f"http://{LOOPBACK}:{stack.port}"
    file = stack.folder / ".config" / "tunnel-agent" / "settings.toml"

    refused = run(stack, "login", "--gateway", gateway, "--cluster", "c1", typed=f"{UNKNOWN}\n")
    assert refused.returncode == 1
    assert "failed   token" in refused.stdout or UNDER_UVICORN
    assert not file.exists()

    several = run(stack, "login", "--gateway", gateway, typed=f"{TOKEN}\n")
    assert several.returncode == 1
    assert "--cluster" in several.stdout

    done = run(stack, "login", "--gateway", gateway, "--cluster", "c1", typed=f"{TOKEN}\n")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == (
        f"{gateway}: the gateway accepts this agent for cluster c1\nsaved the gateway and the token in {file}\n"
    )
    assert stat.S_IMODE(file.stat().st_mode) == 0o600

    file.chmod(0o644)
    checked = run(stack, "check", "--cluster", "c1")
    assert checked.returncode == 0
    assert checked.stderr == f"tunnel-agent: others can read the token in {file}: run chmod 600 {file}\n"

    service = next(iter(stack.services.values()))
    entry = f"{service.name}.{NAMESPACE}:{service.public_port}={service.port}"  # a port alone: of this machine
    agent = stack.processes.python(
        "agent logged in", "tunnel.agent", "--cluster", "c1", "--service", entry, HOME=str(stack.folder)
    )
    agent.wait_line(f"others can read the token in {file}")
    agent.wait_line("ready: cluster c1 serves through")
    request = urllib.request.Request(f"{gateway}/small?n=1", headers={"Host": service.host})
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 200
    assert agent.stop() == 0

    assert run(stack, "logout").returncode == 0
    left = run(stack, "check", "--cluster", "c1")
    assert left.returncode == 2
    assert "or run `tunnel-agent login`" in left.stderr
    everything = [refused, several, done, left]
    assert not [ran for ran in everything if TOKEN in ran.stdout + ran.stderr or UNKNOWN in ran.stdout + ran.stderr]


@pytest.mark.parametrize("path", ["", "/prefix", "/agents"])
def test_a_wrong_path_is_named(own_stack: Make, path: str) -> None:
    stack = own_stack().start(agent=False)
    tried = run(stack, "check", "--gateway", f"ws://{LOOPBACK}:{stack.port}{path or '/'}", "--cluster", "c1",
                "--token", TOKEN)  # fmt: skip
    assert tried.returncode == 1
    assert "check the path of --gateway" in tried.stdout
