"""A keeper between its attempts and in them: what a changed path does, and what a proxy on the way answers."""

import asyncio
import logging

import pytest

from tests.fakes.gateway import SECONDS
from tests.tunnel.agent.gateway import Gateway
from tests.tunnel.agent.world import AgentUnderTest, Service, echo, service_is_well, to
from tunnel.agent.gateways import GatewayAddress
from tunnel.agent.keeper import MOST_MOVED

pytestmark = [pytest.mark.anyio, pytest.mark.system]


class Proxy:
    """Answers each CONNECT with `answer`, and closes."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self.asked: list[bytes] = []

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader, writer):
        self.asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(self._answer)
        writer.close()


class SlowGateway(Gateway):
    """Answers handshakes from when it is told to."""

    def __init__(self):
        super().__init__()
        self.answers = asyncio.Event()

    async def _decide(self, connection, request):
        refusal = super()._decide(connection, request)
        await self.answers.wait()
        return refusal


async def said(caplog, text):
    async with asyncio.timeout(SECONDS):
        while text not in caplog.text:  # noqa: ASYNC110  (a log has no event)
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (
            b"HTTP/1.1 407 Authenticate\r\nContent-Length: 0\r\n\r\n",
            "answered 407: it wants credentials",
        ),
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "answered 403: it does not let us reach"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "failed: HTTP proxy returned an invalid response"),
        (b"", "failed: HTTP proxy closed the connection before replying"),
    ],
)
async def test_a_proxy_that_refuses_costs_a_line_and_no_traceback(answer, told, caplog):
    async with Proxy(answer) as proxy, Gateway() as gateway, AgentUnderTest(gateway) as agent:
        await gateway.link(1)
        keeper = agent.keeper
        keeper._gateway = GatewayAddress(*["wss://g.example/agent"] * 3, f"http://u:hush@127.0.0.1:{proxy.port}")
        caplog.clear()
        gateway.links[0].drop()
        await said(caplog, told)
        assert b"CONNECT g.example:443" in proxy.asked[0]
        lines = [record for record in caplog.records if "the proxy" in record.getMessage()]
        assert f"the proxy http://127.0.0.1:{proxy.port} {told}" in lines[0].getMessage()
        assert all(record.exc_info is None and record.levelno == logging.WARNING for record in lines)
        assert "hush" not in caplog.text


async def test_a_changed_path_ends_the_pause_before_the_next_attempt(monkeypatch, caplog):
    monkeypatch.setattr("tunnel.agent.reconnect.FIRST_SECONDS", (3600.0,))
    monkeypatch.setattr("tunnel.agent.reconnect.HURRIED_SECONDS", 0.0)
    async with Gateway() as gateway, AgentUnderTest(gateway) as agent:
        link = await gateway.link(1)
        link.drop()
        await said(caplog, "next attempt in")
        agent.keeper.path_changed()
        await gateway.link(2)


async def test_a_changed_path_makes_nobody_present_a_revoked_token_again(caplog):
    caplog.set_level(logging.INFO, "tunnel.agent")
    async with Gateway() as gateway:
        gateway.refusals = [401]
        async with AgentUnderTest(gateway) as agent:
            await said(caplog, "next attempt in")
            for _ in range(100):
                agent.keeper.path_changed()
                await asyncio.sleep(0)
    assert caplog.text.count("connecting to") == 1


async def test_a_path_that_changes_during_a_dial_costs_a_slow_gateway_nothing(monkeypatch):
    """There is nobody to probe yet."""
    monkeypatch.setattr("tunnel.agent.liveness.PROBE_SECONDS", 0.0)
    async with SlowGateway() as gateway, AgentUnderTest(gateway) as agent:
        await gateway.handshake(1)
        agent.keeper.path_changed()
        gateway.answers.set()
        await gateway.link(1)
        assert len(gateway.handshakes) == 1


async def test_a_dial_over_a_changed_path_is_soon_given_up(monkeypatch, caplog):
    monkeypatch.setattr("tunnel.agent.keeper.DOUBTED_SECONDS", 0.0)
    async with SlowGateway() as gateway, AgentUnderTest(gateway) as agent:
        await gateway.handshake(1)
        agent.keeper.path_changed()
        agent.keeper.path_changed()
        await said(caplog, "cannot connect: no answer in time")
        await gateway.handshake(2)
        gateway.answers.set()


async def test_an_agent_that_is_asked_to_move_has_its_next_link_before_it_loses_the_old_one():
    async with (
        Service(echo) as service,
        Gateway() as gateway,
        AgentUnderTest(gateway, services=to(service)) as agent,
    ):
        old = await gateway.link(1)
        running = old.open(first=b"before ")
        await old.until(lambda: running.received == b"before ")
        old.session.go_away(refuse=False)
        old.flush()
        new = await gateway.link(2)
        assert agent.keeper.link is not None
        await service_is_well(new)
        running.send(b"after")
        await old.until(lambda: running.received == b"before after")
        await service_is_well(old)  # what the gateway still gives it is served
        await old.close(1012, "gateway is stopping")
        await service_is_well(new)
        assert len(gateway.links) == 2


async def test_an_agent_that_stops_ends_its_old_links_too():
    async with Service(echo) as service, Gateway() as gateway:
        async with AgentUnderTest(gateway, services=to(service)):
            old = await gateway.link(1)
            old.session.go_away(refuse=False)
            old.flush()
            new = await gateway.link(2)
        await old.until(lambda: old.over)
        await new.until(lambda: new.over)


async def test_an_agent_that_is_asked_to_move_again_and_again_gathers_no_links():
    async with Gateway() as gateway, AgentUnderTest(gateway) as agent:
        for number in range(1, MOST_MOVED + 2):
            link = await gateway.link(number)
            link.session.go_away(refuse=False)
            link.flush()
        first, second = gateway.links[:2]
        await first.until(lambda: first.over)
        await gateway.link(MOST_MOVED + 2)
        assert not second.over
        assert repr(agent.keeper._backoff) == "<Backoff attempt 2>"
