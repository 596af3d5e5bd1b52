"""Under plain uvicorn: one worker works, with a configuration too; more refuse to start and say why."""

import json
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.clients import RawClient, websocket
from tests.system.conftest import tunnel_only
from tests.system.harness import LOOPBACK, Stack, free_port
from tests.system.process import Process, Processes, wait_until

pytestmark = [pytest.mark.anyio, tunnel_only]

REASON = "more than one worker process is not supported"
FLAGS = (
    *("--no-proxy-headers", "--ws", "websockets-sansio", "--ws-ping-interval", "30", "--ws-ping-timeout", "60"),
    *("--no-server-header", "--no-date-header"),
)
REFUSAL_SECONDS = 30.0

Make = Callable[..., Stack]


def uvicorn(processes: Processes, port: int, *arguments: str, **environment: str) -> Process:
    command = [sys.executable, "-m", "uvicorn", "app.main:app", "--host", LOOPBACK, "--port", str(port), *arguments]
    return processes.start("uvicorn", command, environment)


def carries(stack: Stack) -> None:
    with RawClient(stack.address("plain")) as client:
        client.request("GET /small?n=1 HTTP/1.1", "plain")
        answer = client.answer()
    assert (answer.status, answer.body) == (200, b"small 1")


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (("--workers", "2"), {}),
        (("--workers=3",), {}),
        ((), {"WEB_CONCURRENCY": "2"}),
        (("--workers", "2"), {"WEB_CONCURRENCY": "1"}),
    ],
    ids=["--workers 2", "--workers=3", "WEB_CONCURRENCY=2", "--workers wins"],
)
def test_several_workers_refuse_to_start_and_say_why(
    processes: Processes, arguments: tuple[str, ...], environment: dict[str, str]
) -> None:
    port = free_port()
    server = uvicorn(processes, port, *arguments, **environment)
    # uvicorn ends by itself, for the status of the first worker; its own is then 0, whatever made it stop.
    assert server.wait_end(REFUSAL_SECONDS) == 0
    output = server.output()
    assert len([line for line in output if REASON in line]) == 1, output
    assert len([line for line in output if "failed to start, stopping the parent process" in line]) == 1, output
    assert not [line for line in output if "Traceback" in line or line.endswith(" died")], output
    with socket.socket() as probe:
        assert probe.connect_ex((LOOPBACK, port)) != 0


@pytest.mark.parametrize("flags", [(), FLAGS], ids=["plain", "documented flags"])
async def test_one_worker_carries_http_and_websockets_to_an_agent(own_stack: Make, flags: tuple[str, ...]) -> None:
    stack = own_stack()
    server = uvicorn(stack.processes, stack.port, *flags, GATEWAY_CONFIG=str(stack.write_config()))
    server.wait_line("Uvicorn running on")
    stack.start_agent()
    carries(stack)
    async with websocket(stack.url("ws", "/echo", "ws"), subprotocols=["a", "b"]) as client:
        assert client.subprotocol == "b"
        await client.send("through")
        assert await client.recv() == "through"
    with RawClient(stack.address("plain")) as client:
        client.request("GET /echo/a HTTP/1.1", "plain", "X-Forwarded-For: 9.9.9.9")
        fields = dict(json.loads(client.answer().body)["headers"])
    forwarded = {name.lower(): value for name, value in fields.items()}["x-forwarded-for"]
    # Without --no-proxy-headers uvicorn believes everyone on loopback: that is why the documentation requires it.
    assert forwarded == (LOOPBACK if flags else "9.9.9.9")
    server.signal(signal.SIGTERM)
    assert server.wait_end() in (0, -signal.SIGTERM)


async def test_one_worker_by_name_is_one_worker(own_stack: Make) -> None:
    stack = own_stack()
    config = str(stack.write_config())
    server = uvicorn(stack.processes, stack.port, "--workers", "1", WEB_CONCURRENCY="1", GATEWAY_CONFIG=config)
    server.wait_line("Uvicorn running on")
    stack.start_agent()
    carries(stack)


def test_a_wrong_configuration_ends_plain_uvicorn_with_its_line(processes: Processes, tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text("drain_delay = 'soon'\n")
    server = uvicorn(processes, free_port(), GATEWAY_CONFIG=str(file))
    assert server.wait_end(REFUSAL_SECONDS) == 2
    assert [line for line in server.output() if "tunnel-gateway: " in line and "drain_delay" in line]
    assert "Traceback" not in "\n".join(server.output())


def test_without_any_configuration_it_starts_and_routes_nothing(processes: Processes) -> None:
    port = free_port()
    server = uvicorn(processes, port)
    server.wait_line("Uvicorn running on")
    with RawClient((LOOPBACK, port)) as client:
        client.request("GET /readyz HTTP/1.1", "nobody")
        assert client.answer().status == 200
        client.request("GET / HTTP/1.1", "nobody")
        assert client.answer().status == 404
    server.signal(signal.SIGTERM)
    wait_until(lambda: server.popen.poll() is not None, 30, "uvicorn ends")
