"""Another ASGI server, hypercorn, finds `app.main:app` and carries through it."""

import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.clients import RawClient, websocket
from tests.system.conftest import tunnel_only
from tests.system.harness import LOOPBACK, Stack, free_port
from tests.system.process import Process, Processes

pytestmark = [pytest.mark.anyio, tunnel_only]

pytest.importorskip("hypercorn", reason="hypercorn is not installed: it is in the dev extra")

END_SECONDS = 10.0

Make = Callable[..., Stack]


def hypercorn(processes: Processes, port: int, *arguments: str, **environment: str) -> Process:
    command = [sys.executable, "-m", "hypercorn", "app.main:app", "--bind", f"{LOOPBACK}:{port}", *arguments]
    return processes.start("hypercorn", command, environment)


async def test_it_carries_http_and_websockets_to_an_agent(own_stack: Make) -> None:
    stack = own_stack()
    server = hypercorn(stack.processes, stack.port, GATEWAY_CONFIG=str(stack.write_config()))
    server.wait_line("Running on")
    stack.start_agent()
    with RawClient(stack.address("plain")) as client:
        client.request("GET /small?n=1 HTTP/1.1", "plain")
        answer = client.answer()
    assert (answer.status, answer.body) == (200, b"small 1")
    async with websocket(stack.url("ws", "/echo", "ws"), subprotocols=["a", "b"]) as client:
        assert client.subprotocol == "b"
        await client.send("through")
        assert await client.recv() == "through"
    server.signal(signal.SIGTERM)
    server.wait_end()
    assert "Traceback" not in "\n".join(server.output())


@pytest.mark.parametrize("option", ["--workers", "-w"])
def test_several_workers_refuse_to_start_and_say_why(processes: Processes, option: str) -> None:
    server = hypercorn(processes, free_port(), option, "2")
    server.wait_end(END_SECONDS)
    said = server.output()
    assert 1 <= len([line for line in said if "more than one worker process is not supported" in line]) <= 2, said
    assert "Traceback" not in "\n".join(said)
    assert not [line for line in said if "Running on" in line]


def test_a_wrong_configuration_ends_it_with_its_line(processes: Processes, tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text("drain_delay = 'soon'\n")
    server = hypercorn(processes, free_port(), GATEWAY_CONFIG=str(file))
    server.wait_end(END_SECONDS)
    said = server.output()
    assert len(said) == 1, said
    assert said[0].startswith("tunnel-gateway: ")
    assert "drain_delay" in said[0]
