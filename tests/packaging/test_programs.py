"""The programs of `pip install tunnel-gateway`, which brings the agent too, run outside the checkout."""

import signal
from urllib.parse import urlsplit

import pytest

from tests.packaging.environment import Environment
from tests.system.clients import RawClient, websocket
from tests.system.harness import LOOPBACK, TOKEN, Stack
from tests.system.process import ROOT, Process
from tunnel.version import VERSION

pytestmark = pytest.mark.anyio

CLEAN = {"PYTHONPATH": ""}


def start(environment: Environment, stack: Stack, name: str, *arguments: str, **variables: str) -> Process:
    """A program of the environment, outside the checkout."""
    command = [environment.program(name), *arguments]
    return stack.processes.start(name, command, CLEAN | variables, environment.elsewhere)


def start_agent(environment: Environment, stack: Stack) -> Process:
    options = [service.option for service in stack.services.values()]
    gateway = f"ws://{LOOPBACK}:{stack.port}/agent"
    link = ("--gateway", gateway, "--token", TOKEN, "--cluster", "c1")
    agent = start(environment, stack, "tunnel-agent", *link, *options)
    agent.wait_line("ready:")
    return agent


async def carries(stack: Stack) -> None:
    """HTTP and a WebSocket go through."""
    with RawClient((LOOPBACK, stack.port)) as client:
        client.request("GET /small?n=1 HTTP/1.1", "plain")
        answer = client.answer()
    assert (answer.status, answer.body) == (200, b"small 1")
    async with websocket(stack.url("ws", "/echo", "ws"), subprotocols=["a", "b"]) as client:
        assert client.subprotocol == "b"
        await client.send("through")
        assert await client.recv() == "through"


def test_it_is_the_wheel_that_runs_and_there_is_no_app(installed: Environment) -> None:
    files = installed.run("python", "-c", "import tunnel, tunnel_gateway as g; print(tunnel.__file__, g.__file__)")
    assert files.split() == [
        str(installed.site_packages / name / "__init__.py") for name in ("tunnel", "tunnel_gateway")
    ]
    find = "import importlib.util as u; print([u.find_spec(name) for name in ('app', 'tests')])"
    assert installed.run("python", "-c", find) == "[None, None]"
    assert str(ROOT) not in installed.run("python", "-c", "import sys; print(sys.path)")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("tunnel-gateway", "--version"), f"tunnel-gateway {VERSION}"),
        (("tunnel-agent", "--version"), f"tunnel-agent {VERSION}"),
        (("python", "-m", "tunnel_gateway", "--version"), f"tunnel-gateway {VERSION}"),
        (("python", "-m", "tunnel.agent", "--version"), f"tunnel-agent {VERSION}"),
        (("python", "-c", "from importlib.metadata import version as v; print(v('tunnel-gateway'))"), VERSION),
        (("python", "-c", "from importlib.metadata import version as v; print(v('tunnel-agent'))"), VERSION),
        (("python", "-c", "import tunnel_gateway; print(tunnel_gateway.__version__)"), VERSION),
    ],
)
def test_versions(installed: Environment, command: tuple[str, ...], said: str) -> None:
    assert installed.run(*command) == said


def test_every_module_is_found_and_imports(installed: Environment) -> None:
    source = (
        "import importlib, pkgutil, tunnel, tunnel_gateway\n"
        "for package in (tunnel, tunnel_gateway):\n"
        "    for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        print(importlib.import_module(module.name).__name__)\n"
    )
    names = installed.run("python", "-c", source).split()
    assert {"tunnel_gateway.serve", "tunnel_gateway.demo.chat", "tunnel.agent.runner"} <= set(names)


def test_check(installed: Environment, stack: Stack) -> None:
    config = str(stack.write_config())
    assert installed.run("tunnel-gateway", "check", config).startswith(f"{config}: ok: 2 routes of 2 hosts")


async def test_gateway_and_agent_serve(installed: Environment, stack: Stack) -> None:
    address = ("--host", LOOPBACK, "--port", str(stack.port))
    gateway = start(installed, stack, "tunnel-gateway", "--config", str(stack.write_config()), *address)
    gateway.wait_line("ready: ")
    agent = start_agent(installed, stack)
    await carries(stack)
    assert (agent.stop(), gateway.stop()) == (0, 0)


async def test_uvicorn_finds_the_application_of_the_wheel(installed: Environment, stack: Stack) -> None:
    command = ("-m", "uvicorn", "tunnel_gateway.main:app", "--no-proxy-headers", "--port", str(stack.port))
    server = start(installed, stack, "python", *command, GATEWAY_CONFIG=str(stack.write_config()))
    server.wait_line("Uvicorn running on")
    start_agent(installed, stack)
    await carries(stack)


def test_the_demonstration_shows_its_page(installed: Environment, stack: Stack) -> None:
    """Its chat, gateway and agent are modules of the wheel; what it would install with npm is left out."""
    demo = start(installed, stack, "python", "-m", "tunnel_gateway.demo", PATH="")
    url = urlsplit(demo.wait_line("Chat (Socket.IO): ").split()[-1])
    assert url.port is not None
    with RawClient((LOOPBACK, url.port)) as client:
        client.send(f"GET / HTTP/1.1\r\nHost: {url.netloc}\r\nConnection: close\r\n\r\n".encode())
        answer = client.answer()
    assert answer.status == 200
    assert answer.body == (ROOT / "app" / "demo" / "chat.html").read_bytes()
    demo.popen.send_signal(signal.SIGINT)
    assert demo.wait_end() == 0


def test_what_the_demonstration_installs_is_pinned_in_the_wheel(installed: Environment) -> None:
    source = "from tunnel_gateway.demo import kuma; print(*sorted(path.name for path in kuma._HERE.glob('*.json')))"
    assert installed.run("python", "-c", source) == "package-lock.json package.json"
