"""centrifuge, the library under Grafana Live: its own server and client in Go, the tunnel between them."""

import subprocess

import pytest

from tests.go.build import go_binary
from tests.system.harness import Service, Stack
from tests.system.process import Processes

TICKS = 100


@pytest.fixture(scope="module")
def stack(module_processes: Processes, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    server = module_processes.start("centrifuge", [str(go_binary()), "centrifuge", "--port", "0"])
    port = int(server.wait_line("listening ").rsplit(":", 1)[1])
    stack = Stack(tmp_path_factory.mktemp("centrifuge"), module_processes)
    stack.add(Service("live", port))
    return stack.start()


@pytest.mark.timeout(900)
def test_every_tick_is_published_in_order(stack: Stack) -> None:
    host, port = stack.address("live")
    name = f"{stack.services['live'].host}:{port}"
    arguments = [
        f"--url=ws://{host}:{port}/connection/websocket",
        f"--host={name}",
        f"--origin=http://{name}",
        f"--tick-url=http://{host}:{port}/tick",
        f"--count={TICKS}",
    ]
    done = subprocess.run(
        [str(go_binary()), "centrifuge-client", *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"ok {TICKS}"
    assert len(done.stdout.splitlines()) == TICKS + 1
