"""The agent as a process: its exit status, its signals, its lines."""

import asyncio
import json
import signal

import pytest

from tests.fakes.gateway import SECONDS
from tests.tunnel.agent.gateway import Gateway
from tests.tunnel.agent.process import AgentProcess
from tests.tunnel.agent.world import Service, echo

pytestmark = [pytest.mark.system, pytest.mark.anyio]


class Process(AgentProcess):
    """With its standard error as lines."""

    def __init__(self, *options, **environment):
        super().__init__(*options, **environment)
        self.lines = []

    async def line(self, part):
        """Read on to the next line with `part` in it."""
        async with asyncio.timeout(SECONDS):
            while line := (await self.process.stderr.readline()).decode():
                self.lines.append(line.rstrip("\n"))
                if part in line:
                    return line
        raise AssertionError(f"no line with {part!r} in {self.lines}")

    async def status(self):
        """The exit status; the rest of standard error is in `lines`, standard output was empty."""
        status, out, err = await self.end()
        assert out == []
        self.lines += err
        return status


def options(gateway, *more):
    return ["--gateway", gateway.url, "--cluster", "c1", *more]


async def test_a_running_stream_finishes_after_sigterm():
    async with Gateway() as gateway, Service(echo) as service:
        entry = f"echo.apps:80=127.0.0.1:{service.port}"
        async with Process(*options(gateway, "--service", entry, "--agent-id", "a-1"), AGENT_TOKEN="hush-1") as agent:
            ready = await agent.line("ready:")
            assert f"ready: cluster c1 serves through {gateway.url} (link " in ready
            link = await gateway.link()
            assert (await link.text("register"))["agent_id"] == "a-1"
            assert gateway.handshakes[0].headers["Authorization"] == "Bearer hush-1"
            stream = link.open(first=b"before")
            await stream.read(6)
            agent.signal()
            await link.until(lambda: link.went_away)
            stream.send(b"after")
            assert await stream.read(5) == b"after"
            stream.end()
            await stream.until(lambda s: s.ended)
            assert await agent.status() == 0
            await link.until(lambda: link.over)
            assert link.websocket.close_code == 1001
            assert await service.failure() is None
    assert "stopped" in agent.lines[-1]
    assert "hush" not in "".join(agent.lines)


@pytest.mark.parametrize("dialect", ["json", "chunk"])
async def test_a_running_request_finishes_after_sigterm(dialect):
    asked, release = asyncio.Event(), asyncio.Event()

    async def wait(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await release.wait()
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    async with Gateway() as gateway, Service(wait) as service:
        gateway.hello = None
        entry = f"web.apps:80=127.0.0.1:{service.port}"
        more = ("--token", "t", "--service", entry, "--dialect", dialect)
        async with Process(*options(gateway, *more)) as agent:
            await agent.line("ready:")
            link = await gateway.link()
            route = {"service_name": "web", "namespace": "apps", "service_port": 80}
            await link.say("proxy_request", {"path": "/", **route}, "r-1")
            async with asyncio.timeout(SECONDS):
                await asked.wait()
            agent.signal()
            await agent.line("stopping:")
            release.set()
            assert (await link.text("proxy_response"))["status"] == 204
            assert await agent.status() == 0
            await link.until(lambda: link.over)
            assert link.websocket.close_code == 1001


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_an_idle_agent_stops_at_once(number):
    async with Gateway() as gateway, Process(*options(gateway, "--token", "t"), AGENT_GRACE="60") as agent:
        await agent.line("ready:")
        agent.signal(number)
        assert await agent.status() == 0


async def test_the_grace_is_an_end():
    async with Gateway() as gateway, Service(echo) as service:
        entry = f"echo.apps:80=127.0.0.1:{service.port}"
        async with Process(*options(gateway, "--token", "t", "--service", entry, "--grace", "0.2")) as agent:
            link = await gateway.link()
            stream = link.open(first=b"x")
            await stream.read(1)
            agent.signal()
            assert await agent.status() == 0
            await link.until(lambda: link.over)
            assert link.websocket.close_code == 1001


async def test_a_second_signal_ends_the_grace():
    async with Gateway() as gateway, Service(echo) as service:
        entry = f"echo.apps:80=127.0.0.1:{service.port}"
        async with Process(*options(gateway, "--token", "t", "--service", entry, "--grace", "600")) as agent:
            link = await gateway.link()
            stream = link.open(first=b"x")
            await stream.read(1)
            agent.signal()
            await link.until(lambda: link.went_away)
            agent.signal()
            assert await agent.status() == 0


async def test_stops_while_no_gateway_answers():
    async with Gateway() as gateway:
        await gateway.stop()
        async with Process(*options(gateway, "--token", "t")) as agent:
            await agent.line("cannot connect")
            agent.signal()
            assert await agent.status() == 0


async def test_a_tls_gateway_that_hangs_up_costs_a_line_and_no_traceback():
    """As a balancer does that has no gateway behind it."""
    async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0) as server:
        url = f"wss://127.0.0.1:{server.sockets[0].getsockname()[1]}/agent"
        async with Process("--gateway", url, "--cluster", "c1", "--token", "t") as agent:
            for _ in range(2):
                await agent.line("cannot connect: the other end closed the connection; next attempt")
            agent.signal()
            assert await agent.status() == 0
    assert not [line for line in agent.lines if "Traceback" in line or line.startswith((" ", "---"))]


async def test_one_link_to_each_gateway_and_ready_is_said_once():
    async with Gateway() as first, Gateway() as second, Service(echo) as service:
        entry = f"echo.apps:80=127.0.0.1:{service.port}"
        environment = {
            "AGENT_GATEWAY": f"{first.url},{second.url}",
            "AGENT_TOKEN": "t",
            "AGENT_LOG_FORMAT": "json",
            "AGENT_GRACE": "0",
        }
        async with Process("--cluster", "c1", "--service", entry, **environment) as agent:
            for gateway in (first, second):
                stream = (await gateway.link()).open(first=b"x")
                assert await stream.read(1) == b"x"
            (await first.link()).drop()
            stream = (await first.link(2)).open(first=b"x")
            assert await stream.read(1) == b"x"
            agent.signal()
            assert await agent.status() == 0
    messages = [json.loads(line)["message"] for line in agent.lines]
    assert len([message for message in messages if message.startswith("ready: ")]) == 1
    assert len([message for message in messages if "serves through" in message]) == 3


@pytest.mark.parametrize("command", ["check", "login"])
async def test_ctrl_c_ends_a_command_that_waits(command, tmp_path):
    """A gateway that accepts connections and says nothing."""
    came = asyncio.Event()

    async def come(reader, _writer):
        came.set()
        await reader.read()

    (tmp_path / "token").write_text("t")
    async with Service(come) as service:
        url = f"ws://127.0.0.1:{service.port}/agent"
        where = ["--gateway", url, "--cluster", "c1", "--token-file", str(tmp_path / "token")]
        async with Process(command, *where, HOME=str(tmp_path)) as agent:
            async with asyncio.timeout(SECONDS):
                await came.wait()
            agent.signal(signal.SIGINT)
            assert await agent.status() == 130
    assert agent.lines == [""]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([], "--token-file (AGENT_TOKEN_FILE) or --token (AGENT_TOKEN)"),
        (["--token", "t", "--dialect", "morse"], "--dialect (AGENT_DIALECT): 'morse' is not available in this agent"),
        (["--token", "t", "--allow", "x"], "--allow (AGENT_ALLOW)"),
        (["--token", "t", "--what"], "unrecognized arguments: --what"),
    ],
)
async def test_bad_configuration_is_one_line_and_status_two(more, said):
    async with Process("--gateway", "ws://127.0.0.1:1/agent", "--cluster", "c1", *more) as agent:
        assert await agent.status() == 2
    assert len(agent.lines) == 1
    assert agent.lines[0].startswith("tunnel-agent: ")
    assert said in agent.lines[0]
