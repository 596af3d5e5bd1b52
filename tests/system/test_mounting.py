"""The gateway inside other people's applications, over a real uvicorn: HTTP, WebSockets and agents."""

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from tests.system.clients import RawClient, websocket
from tests.system.conftest import tunnel_only
from tests.system.harness import LOOPBACK, TOKEN, Stack
from tests.system.process import ROOT, Process, wait_until
from tests.system.test_drain import ADMIN, ask
from tests.system.test_operator_api import Watching

pytestmark = [pytest.mark.anyio, tunnel_only]

pytest.importorskip("fastapi", reason="fastapi is not installed: it is in the dev extra")

FLAGS = ("--no-proxy-headers", "--ws", "websockets-sansio", "--no-server-header", "--no-date-header")
PREFIX = "/in/side"
PLACES = ["root", PREFIX, "host"]

Make = Callable[..., Stack]


class Mounted:
    """A stack whose gateway is part of an application."""

    def __init__(self, stack: Stack, name: str, *configs: Path) -> None:
        self.stack = stack
        place = name.split()[1]
        self.prefix = place if place.startswith("/") else ""
        files = ":".join(map(str, configs or [stack.write_config()]))
        self.server = uvicorn(stack, "tests.examples.hosts:make", "--factory", MOUNT_AS=name, MOUNT_CONFIGS=files)

    def start_agent(self, prefix: str | None = None) -> Process:
        """An agent with a link to the gateway, wherever that is."""
        where = f"ws://localhost:{self.stack.port}{self.prefix if prefix is None else prefix}/agent"
        options = [service.option for service in self.stack.services.values()]
        arguments = ("--gateway", where, "--token", TOKEN, "--cluster", "c1", *options)
        agent = self.stack.processes.python("agent", "tunnel.agent", *arguments)
        agent.wait_line("ready:")
        return agent

    def get(self, path: str, prefix: str | None = None, *fields: str) -> tuple[int, bytes]:
        with RawClient((LOOPBACK, self.stack.port)) as client:
            client.request(f"GET {self.prefix if prefix is None else prefix}{path} HTTP/1.1", "plain", *fields)
            answer = client.answer()
        return answer.status, answer.body

    def websocket(self, path: str, prefix: str | None = None) -> str:
        return self.stack.url("ws", f"{self.prefix if prefix is None else prefix}{path}", "ws")

    def left(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = json.loads(urlread(f"http://{LOOPBACK}:{self.stack.port}/host/left"))
        return found

    def aclose(self) -> None:
        with urlopen(Request(f"http://{LOOPBACK}:{self.stack.port}/host/aclose", method="POST")) as answer:
            assert answer.status == 200


def uvicorn(stack: Stack, *arguments: str, cwd: Path = ROOT, **environment: str) -> Process:
    command = [sys.executable, "-m", "uvicorn", "--loop", "asyncio", "--host", LOOPBACK, "--port", str(stack.port)]
    server = stack.processes.start("uvicorn", [*command, *FLAGS, *arguments], environment, cwd)
    server.wait_line("Uvicorn running on")
    return server


def urlread(url: str) -> bytes:
    with urlopen(url) as answer:
        body: bytes = answer.read()
    return body


async def everything_works(mounted: Mounted, prefix: str | None = None) -> None:
    status, body = mounted.get("/echo/a%2Fb/%C3%A9?q=%2F", prefix)
    assert status == 200
    assert json.loads(body)["line"] == "GET /echo/a%2Fb/%C3%A9?q=%2F HTTP/1.1"
    async with websocket(mounted.websocket("/headers?x=1", prefix), subprotocols=["a", "b"]) as client:
        assert client.subprotocol == "b"
        assert json.loads(await client.recv())["path"] == "/headers?x=1"
        await client.send("through")
        assert await client.recv() == "through"
        await client.send(b"\x00\xff")
        assert await client.recv() == b"\x00\xff"
    assert ask(mounted.stack.port, f"GET {mounted.prefix if prefix is None else prefix}/readyz HTTP/1.1").status == 200


@pytest.mark.parametrize("who", ["host", "aclose", "nobody"])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("framework", ["starlette", "fastapi"])
async def test_it_works_wherever_it_is_mounted_and_whoever_opens_it(
    own_stack: Make, framework: str, place: str, who: str
) -> None:
    mounted = Mounted(own_stack(), f"{framework} {place} {who}")
    mounted.start_agent()
    await everything_works(mounted)
    assert mounted.left()["timers"], "the gateway keeps time"
    mounted.server.ask_to_stop()
    mounted.server.wait_end()
    output = "\n".join(mounted.server.output())
    assert "Traceback" not in output
    assert "Application shutdown complete" in output


@pytest.mark.parametrize("framework", ["starlette", "fastapi"])
async def test_after_aclose_nothing_of_it_is_left(own_stack: Make, framework: str) -> None:
    mounted = Mounted(own_stack(), f"{framework} root nobody")
    before = mounted.left()
    assert before["tasks"] == before["timers"] == []
    mounted.start_agent()
    await everything_works(mounted)
    assert mounted.left()["tasks"]
    async with websocket(mounted.websocket("/echo")) as client:
        await client.send("open")
        assert await client.recv() == "open"
        with RawClient((LOOPBACK, mounted.stack.port)) as other:
            other.request("GET /never?id=open HTTP/1.1", "plain")
            await asyncio.to_thread(urlread, mounted.stack.control("plain", "/arrived?id=open"))
            mounted.aclose()
            assert other.answer().status == 502
        with pytest.raises(Exception, match="1012"):
            await client.recv()
    wait_until(lambda: mounted.left() == before, 30, "nothing is left: no task, no timer, no socket")
    assert mounted.get("/small?n=1")[0] == 503
    assert mounted.left() == before, "and it does not open again"


@pytest.mark.parametrize("place", ["root", PREFIX])
def test_who_watches_the_operators_api_ends_with_aclose(own_stack: Make, tmp_path: Path, place: str) -> None:
    (tmp_path / "admin-token").write_text(ADMIN)
    mounted = Mounted(own_stack(admin_token_file="admin-token"), f"starlette {place} nobody")
    before = mounted.left()
    with Watching(mounted.stack.port, f"{mounted.prefix}/-/links?watch=true") as watching:
        assert watching.head().status == 200
        mounted.start_agent()
        assert watching.until(lambda page: page["total"] == 1)["links"][0]["cluster"] == "c1"
        mounted.aclose()
        assert watching.ends()
    wait_until(lambda: mounted.left() == before, 30, "nothing is left: no task, no timer, no socket")


@pytest.mark.parametrize("place", ["root", PREFIX])
def test_the_host_keeps_its_own_routes(own_stack: Make, place: str) -> None:
    mounted = Mounted(own_stack(), f"fastapi {place} host")
    assert mounted.left()["tasks"] is not None
    beside = mounted.get("/elsewhere", "")
    assert beside[0] == (503 if place == "root" else 404)
    # Without a Host that is routed the gateway says that it has no route; the framework that it has no such path.
    answer = ask(mounted.stack.port, "GET /elsewhere HTTP/1.1", host="nobody.test")
    assert answer.status == 404
    assert (b"no_route" in answer.body) == (place == "root")


async def test_two_gateways_in_one_process_do_not_clash(own_stack: Make, tmp_path: Path) -> None:
    stack = own_stack()
    text = stack.write_config().read_text()
    admin = "the-admin-token-of-{}"
    configs = []
    for name in ("one", "two"):
        (tmp_path / f"admin-{name}").write_text(admin.format(name))
        configs.append(tmp_path / f"{name}.toml")
        configs[-1].write_text(f'admin_token_file = "admin-{name}"\n{text}')
    mounted = Mounted(stack, "starlette both aclose", *configs)
    mounted.start_agent("/one")
    await everything_works(mounted, "/one")
    with RawClient((LOOPBACK, stack.port)) as client:
        client.request("GET /two/small?n=1 HTTP/1.1", "plain", "Accept: application/json")
        answer = client.answer()
    assert (answer.status, json.loads(answer.body)["code"]) == (503, "no_agent"), "the other one has no agent"
    mounted.start_agent("/two")
    await everything_works(mounted, "/two")
    active = {}
    async with websocket(mounted.websocket("/echo", "/one")) as client:
        await client.send("open")
        assert await client.recv() == "open"
        for name, other in (("one", "two"), ("two", "one")):
            line = f"GET /{name}/metrics HTTP/1.1"
            bearer = f"Authorization: Bearer {admin.format(name)}"
            assert ask(stack.port, line, f"Authorization: Bearer {admin.format(other)}").status == 401
            metrics = ask(stack.port, line, bearer).body.decode().splitlines()
            active[name] = [line for line in metrics if line.startswith("websocket_connections_active ")]
    assert active == {"one": ["websocket_connections_active 1.0"], "two": ["websocket_connections_active 0.0"]}


async def test_the_documented_example_runs_as_it_stands(own_stack: Make, tmp_path: Path) -> None:
    """From a folder of its own, as its reader would start it."""
    stack = own_stack()
    (tmp_path / "mounting.py").write_text((ROOT / "tests/examples/mounting.py").read_text(encoding="utf-8"))
    config = str(stack.write_config())
    server = uvicorn(stack, "mounting:app", cwd=tmp_path, GATEWAY_CONFIG=config, PYTHONPATH=str(ROOT))
    stack.start_agent()
    answer = ask(stack.port, "GET /hello HTTP/1.1", host="plain.example.test")
    assert (answer.status, answer.body) == (200, b"hello\n")
    with RawClient(stack.address("plain")) as client:
        client.request("GET /small?n=1 HTTP/1.1", "plain")
        assert client.answer().body == b"small 1"
    async with websocket(stack.url("ws", "/echo", "ws")) as client:
        await client.send("through")
        assert await client.recv() == "through"
    server.ask_to_stop()
    server.wait_end()
    assert "Application shutdown complete" in "\n".join(server.output())
