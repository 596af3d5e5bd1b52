"""`tunnel-agent http` as a process: its lines, its signals, its exit status."""

import asyncio
import contextlib
import json
import signal
from urllib.parse import urlsplit

import msgspec
import pytest

from tests.fakes.gateway import SECONDS
from tests.tunnel.agent.gateway import Gateway
from tests.tunnel.agent.process import AgentProcess
from tests.tunnel.agent.publish.gateway import PublishingGateway
from tests.tunnel.agent.view.rows import row
from tests.tunnel.agent.world import Service, echo

pytestmark = [pytest.mark.system, pytest.mark.anyio]


@pytest.fixture
def anyio_backend():
    return "asyncio", {"use_uvloop": True}


@pytest.fixture
def home(tmp_path):
    return tmp_path


class Command(AgentProcess):
    """`http`, with its standard output as lines."""

    def __init__(self, home, gateway, *arguments):
        self.gateway_url = f"http://{urlsplit(gateway.url).netloc}"
        super().__init__("http", *arguments, "--gateway", self.gateway_url, "--token", "t-1", HOME=str(home))

    async def line(self):
        """The next line of its output."""
        async with asyncio.timeout(SECONDS):
            return (await self.process.stdout.readline()).decode().rstrip("\n")


@contextlib.asynccontextmanager
async def running(home, *arguments):
    """A gateway, the port of a service that echoes, and a command that publishes it."""
    async with (
        PublishingGateway() as gateway,
        Service(echo) as service,
        Command(home, gateway, str(service.port), *arguments) as command,
    ):
        yield gateway, service.port, command


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP], ids=["Ctrl-C", "a closed terminal"])
async def test_published_until_it_is_told_to_stop(home, number):
    async with running(home, "--host", "a.example.com") as (gateway, port, command):
        assert await command.line() == f"http://localhost:{port} is published at https://a.example.com/"
        link = await gateway.link()
        register = await link.text("register")
        assert "cluster_id" not in register
        assert register["features"]["publishes"] is True
        assert register["agent_id"].endswith(f"-{port}")
        stream = link.open(service="localhost", namespace="published", port=port, first=b"fine")
        assert await stream.read(4) == b"fine"
        command.signal(number)
        assert await command.end() == (0, [], [])
        await link.until(lambda: link.over)
        assert link.websocket.close_code == 1001
    assert [len(asked["routes"]) for asked in gateway.asked] == [1, 0]


async def test_a_second_signal_waits_for_nothing(home):
    """The gateway answers nothing any more, not even the close."""
    async with running(home) as (gateway, port, command):
        await command.line()
        link = await gateway.link()
        stream = link.open(service="localhost", namespace="published", port=port, first=b"x")
        await stream.read(1)
        command.signal(signal.SIGINT)
        await link.text("publish", 2)
        link.websocket.transport.pause_reading()
        command.signal(signal.SIGINT)
        status, _, _ = await command.end()
        assert status == 0
        link.websocket.transport.resume_reading()


async def test_one_refused_route_takes_everything_back(home):
    async with PublishingGateway() as gateway:
        gateway.taken = ["a.example.com"]
        async with Command(home, gateway, "1", "2", "--host", "a.example.com", "--host", "b.example.com") as command:
            status, out, err = await command.end()
            assert (status, err) == (1, ["tunnel-agent: http://localhost:1 is not published: a.example.com is taken"])
            assert [line for line in out if "is published" in line] == []
            await gateway.links[0].until(lambda: gateway.links[0].over)
    assert gateway.asked[-1]["routes"] == []


async def test_what_a_gateway_says_does_nothing_to_a_terminal(home):
    async with PublishingGateway() as gateway:
        gateway.taken, gateway.why = ["a.example.com"], "is\x1b[2J \u05d0"
        async with Command(home, gateway, "1", "--host", "a.example.com") as command:
            _, _, (fault,) = await command.end()
    assert fault.endswith(": a.example.com is [2J \\u05d0")


async def test_a_gateway_that_is_too_old_serves_nothing(home):
    async with Gateway() as gateway, Command(home, gateway, "1") as command:
        status, _, err = await command.end()
        assert status == 1
        assert len(err) == 1
        assert err[0].startswith(f"tunnel-agent: the gateway at {command.gateway_url} is too old to publish ports; ")
        link = await gateway.link(serving=False)
        await link.until(lambda: link.over)
        assert link.of_type("gateway_hello_ack") == []
        assert link.websocket.close_code == 1000


async def test_a_revoked_token_ends_it(home):
    async with PublishingGateway() as gateway:
        gateway.refusals = [401]
        async with Command(home, gateway, "1") as command:
            status, _, err = await command.end()
    assert status == 1
    assert len(err) == 1
    assert "the token is revoked" in err[0]


async def test_a_gateway_that_refuses_for_now_is_told_once(home):
    async with PublishingGateway() as gateway, Service(echo) as service:
        gateway.refusals = [503, 503, 503]
        async with Command(home, gateway, str(service.port)) as command:
            assert (await command.line()).startswith(f"{command.gateway_url}: the gateway answered 503: ")
            assert "is published at" in await command.line()
            command.signal()
            assert await command.end() == (0, [], [])


async def test_a_new_link_has_the_same_names(home):
    async with running(home) as (gateway, port, command):
        await command.line()
        (await gateway.link()).drop()
        await gateway.link(2)
        assert (await command.line()).endswith("; trying again")
        assert (await command.line()) == f"connected to {command.gateway_url}"
        command.signal()
        await command.end()
    hosts = [[route.get("host", "") for route in asked["routes"]] for asked in gateway.asked]
    assert hosts == [[""], [f"given-{port}.example.com"], []]


async def test_json_lines(home):
    async with running(home, "--json") as (gateway, port, command):
        lines = [json.loads(await command.line()) for _ in range(3)]
        assert [line["type"] for line in lines] == ["state", "state", "published"]
        url = f"https://given-{port}.example.com/"
        assert lines[2]["addresses"] == [{"service": f"http://localhost:{port}", "url": url}]
        passed = msgspec.to_builtins(row())
        await gateway.links[0].say("requests", {"requests": [passed], "left_out": 1})
        assert json.loads(await command.line()) == {"type": "request", **passed}
        assert json.loads(await command.line()) == {"type": "left_out", "requests": 1}
        command.signal()
        assert (await command.end())[0] == 0


async def test_wrong_settings_are_one_line_and_status_two(home):
    async with PublishingGateway() as gateway, Command(home, gateway, "web") as command:
        status, out, err = await command.end()
        assert (status, out) == (2, [])
        assert len(err) == 1
        assert err[0].startswith("tunnel-agent: TARGET: 'web' has no port")
    assert gateway.handshakes == []
