"""How the gateway starts: the address of the configuration, all errors at once, and what it warns of."""

from pathlib import Path

import pytest

from tests.system.conftest import app_only, tunnel_only
from tests.system.harness import LOOPBACK, free_port
from tests.system.process import Processes

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
