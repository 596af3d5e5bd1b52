"""How the gateway starts: the address of the configuration, all errors at once, and what it warns of."""

import signal
import sys
from pathlib import Path

import pytest

from tests.system.conftest import app_only, tunnel_only
from tests.system.harness import LOOPBACK, free_port
from tests.system.process import ROOT, Processes

pytestmark = [tunnel_only, app_only("`python -m app` is what starts here")]

KUBERNETES = {"GATEWAY_PORT": "tcp://10.0.0.1:8080", "GATEWAY_SERVICE_HOST": "10.0.0.1", "GATEWAY_PORT_8080_TCP": "x"}


def test_the_address_is_in_the_file_and_kubernetes_changes_nothing(processes: Processes, tmp_path: Path) -> None:
    port = free_port()
    file = tmp_path / "gateway.toml"
    file.write_text(f'host = "{LOOPBACK}"\nport = {port}\n')
    gateway = processes.python("gateway", "app", "--config", str(file), GATEWAY_LOGLEVEL="s3cret", **KUBERNETES)
    gateway.wait_line(f" ready: http://{LOOPBACK}:{port}")
    warnings = [line for line in gateway.output() if " WARNING " in line]
    assert len(warnings) == 1
    assert warnings[0].endswith("GATEWAY_LOGLEVEL is not a variable of the gateway, did you mean GATEWAY_LOG_LEVEL?")
    assert gateway.stop() == 0


@pytest.mark.parametrize("command", [("serve", "--config"), ("check",)])
def test_all_errors_are_printed_and_none_is_served(
    processes: Processes, tmp_path: Path, command: tuple[str, ...]
) -> None:
    file = tmp_path / "gateway.toml"
    route = '[[routes]]\nhost = "a.test:8443"\npath = "/api/*"\ncluster = "c"\nnamespace = "n"\nservice = "s"\n'
    file.write_text(f'log_level = "loud"\n{route}')
    gateway = processes.python("gateway", "app", *command, str(file), GATEWAY_PORT="http")
    assert gateway.wait_end() == 2
    starts = [
        "GATEWAY_PORT: 'http' is not valid; ", f"{file}:1: log_level: ", f"{file}:2: routes[0]: port is missing",
        f"{file}:3: routes[0].host: ", f"{file}:4: routes[0].path: ",
    ]  # fmt: skip
    for line, start in zip(gateway.output(), starts, strict=True):
        assert line.startswith(f"tunnel-gateway: {start}")


def test_a_start_without_a_file_makes_the_token_and_reads_it_again(processes: Processes, tmp_path: Path) -> None:
    command = ("--port", "0", "--agent-token-file", "token", "--publish-host", "*.localhost")
    gateway = processes.start("gateway", [sys.executable, "-m", "app", *command], {"PYTHONPATH": str(ROOT)}, tmp_path)
    gateway.wait_line(" ready: ")
    token = tmp_path / "token"
    (made,) = [line for line in gateway.output() if "token" in line]
    assert made.endswith(f" made {token} with a new token: agents that have it may publish ports")
    assert token.read_text().strip() not in made
    token.unlink()
    gateway.signal(signal.SIGHUP)
    gateway.wait_line(f"configuration not changed: --agent-token-file: {token} does not exist; make it with ")
    token.write_text("another-token")
    gateway.signal(signal.SIGHUP)
    gateway.wait_line("configuration reloaded from the environment: 0 routes of 0 hosts, 1 agent token")
    assert gateway.stop() == 0
    assert [path.name for path in tmp_path.iterdir()] == ["token"]


def test_under_uvicorn_the_token_has_to_be_there(processes: Processes, tmp_path: Path) -> None:
    token = tmp_path / "token"
    variables = {"GATEWAY_AGENT_TOKEN_FILE": str(token), "GATEWAY_PUBLISH_HOSTS": "*.localhost"}
    command = ("app.main:app", "--no-proxy-headers", "--port", str(free_port()))
    gateway = processes.python("uvicorn", "uvicorn", *command, **variables)
    assert gateway.wait_end() == 2
    (line,) = gateway.output()
    assert line.startswith(f"tunnel-gateway: GATEWAY_AGENT_TOKEN_FILE: {token} does not exist; make it with (umask ")
    assert list(tmp_path.iterdir()) == []
    token.write_text("the-token")
    gateway = processes.python("uvicorn", "uvicorn", *command, **variables)
    gateway.wait_line("Uvicorn running on")
