"""The life of a link: a small gateway, over real sockets."""

import asyncio
import contextlib
import logging
import ssl

import pytest
import trustme
from websockets.exceptions import ConnectionClosed

from tests.fakes.gateway import SECONDS
from tests.tunnel.agent.gateway import Gateway
from tests.tunnel.agent.world import AgentUnderTest, Service, echo, service_is_well, to

pytestmark = [pytest.mark.system, pytest.mark.anyio]


@pytest.fixture(params=[True, False], ids=["uvloop", "asyncio"])
def anyio_backend(request):
    return "asyncio", {"use_uvloop": request.param}


async def test_register_hello_heartbeat():
    async with Gateway() as gateway, AgentUnderTest(gateway) as agent:
        link = await gateway.link()
        register = await link.text("register")
        assert (register["agent_id"], register["cluster_id"]) == ("agent-1", "c1")
        assert await link.text("gateway_hello_ack") == {"use_yamux": True}
        assert (await link.text("heartbeat"))["cluster_id"] == "c1"
        assert gateway.handshakes[0].headers["Authorization"] == "Bearer t-1"
        assert gateway.handshakes[0].path == "/agent"
        await link.say("ping", {}, "p-1")
        await link.text("pong")
        assert link.of_type("pong")[0]["request_id"] == "p-1"
        assert len(agent.ready) == 1


async def test_it_measures_the_round_trip_from_the_start():
    """By four pings; the next would be its keep-alive, an hour later."""
    async with Gateway() as gateway:
        gateway.hello["yamux_config"]["keep_alive_interval_seconds"] = 3600
        async with AgentUnderTest(gateway, ping=3600, dead=7200):
            link = await gateway.link()
            await link.until(lambda: link.yamux_pings == 4)
            await link.say("ping", {}, "p-1")
            await link.text("pong")
            assert link.yamux_pings == 4


async def test_comes_back_after_the_gateway_drops_the_link():
    async with Gateway() as gateway, Service(echo) as service, AgentUnderTest(gateway, to(service)):
        link = await gateway.link(1)
        stream = link.open(first=b"x")
        await stream.read(1)
        link.drop()
        assert isinstance(await service.failure(), ConnectionResetError)
        await service_is_well(await gateway.link(2))


async def test_comes_back_after_the_gateway_was_away():
    async with Gateway() as gateway, Service(echo) as service, AgentUnderTest(gateway, to(service)):
        await gateway.link(1)
        await gateway.stop()
        await gateway.start()
        await service_is_well(await gateway.link(2))


async def test_keeps_trying_when_refused_and_reads_the_token_again(caplog):
    async with Gateway() as gateway:
        gateway.refusals = [503, 404]
        agent = AgentUnderTest(gateway)
        agent.tokens = ["old-secret"]
        async with agent:
            await gateway.handshake(1)
            agent.tokens.append("new-secret")
            await gateway.link()
        tokens = [request.headers["Authorization"] for request in gateway.handshakes]
        assert tokens == ["Bearer old-secret", "Bearer new-secret", "Bearer new-secret"]
    assert "the gateway answered 503" in caplog.text
    assert "the gateway answered 404" in caplog.text
    assert "secret" not in caplog.text


async def said(caplog, part):
    """Wait for a warning of the keeper with `part` in it; the line."""
    lines = asyncio.Queue()

    class Handler(logging.Handler):
        def emit(self, record):
            lines.put_nowait(record.getMessage())

    logger, handler = logging.getLogger("tunnel.agent.keeper"), Handler(logging.WARNING)
    logger.addHandler(handler)
    try:
        async with asyncio.timeout(SECONDS):
            line = next((message for message in caplog.messages if part in message), "")
            while part not in line:
                line = await lines.get()
            return line
    finally:
        logger.removeHandler(handler)


async def test_a_revoked_token_is_said_and_waited_for(caplog):
    async with Gateway() as gateway:
        gateway.refusals = [401]
        async with AgentUnderTest(gateway):
            line = await said(caplog, "401")
        assert len(gateway.handshakes) == 1
    assert "revoked" in line
    assert 48 <= float(line.rsplit("in ", 1)[1].removesuffix(" s")) <= 72


async def test_redirects_are_not_followed(caplog):
    async with Gateway() as gateway:
        gateway.refusals = [302]
        async with AgentUnderTest(gateway):
            await gateway.link()
    assert "the gateway answered 302" in caplog.text


async def test_a_refused_registration_closes_the_link():
    async with Gateway() as gateway:
        gateway.answering = False
        async with AgentUnderTest(gateway):
            link = await gateway.link(1, serving=False)
            await link.text("register")
            gateway.answering = True
            await link.say("error", {"error": "cluster c1 is not yours"})
            await gateway.link(2)
            assert link.over


async def test_a_silent_gateway_is_given_up(monkeypatch):
    monkeypatch.setattr("tunnel.agent.link.REGISTER_SECONDS", 0.05)
    async with Gateway() as gateway:
        gateway.answering = False
        async with AgentUnderTest(gateway):
            link = await gateway.link(1, serving=False)
            await link.until(lambda: link.over)
            assert "register_success" in link.websocket.close_reason


async def test_a_dead_link_is_noticed(caplog):
    async with (
        Gateway() as gateway,
        Service(echo) as service,
        AgentUnderTest(gateway, to(service), ping=0.05, dead=0.1),
    ):
        link = await gateway.link(1)
        link.websocket.transport.pause_reading()  # no pong, no answer: the gateway is frozen
        await service_is_well(await gateway.link(2))
        assert "s, and no answer to a ping" in caplog.text
        link.drop()


async def test_a_yamux_error_ends_this_link_only():
    async with Gateway() as gateway, Service(echo) as service, AgentUnderTest(gateway, to(service)):
        link = await gateway.link(1)
        await link.websocket.send(b"\x07" * 12)
        await link.until(lambda: link.over)
        assert link.websocket.close_code == 1002
        await service_is_well(await gateway.link(2))


async def test_a_gateway_that_asks_and_never_reads_is_given_up(monkeypatch, caplog):
    monkeypatch.setattr("tunnel.agent.yamux.carrier.CONTROL_WAITING_BYTES", 0)
    async with Gateway() as gateway, AgentUnderTest(gateway):
        link = await gateway.link(1)
        link.websocket.transport.pause_reading()
        with contextlib.suppress(ConnectionClosed):
            async with asyncio.timeout(SECONDS):
                while True:
                    await link.say("ping", {}, "p" * 10_000)
        await gateway.link(2)
        assert "asks for answers and does not read them" in caplog.text
        link.drop()


async def test_over_tls():
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with (
        Gateway(server) as gateway,
        Service(echo) as service,
        AgentUnderTest(gateway, to(service), tls=trusting),
    ):
        stream = (await gateway.link()).open(first=b"hello")
        assert await stream.read(5) == b"hello"


async def test_a_certificate_of_somebody_else_is_refused(caplog):
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(server)
    async with Gateway(server) as gateway, AgentUnderTest(gateway, tls=ssl.create_default_context()) as agent:
        await said(caplog, "unable to get local issuer certificate")
        assert gateway.handshakes == []
        assert agent.ready == []


async def test_fragments_and_borders_mean_nothing():
    async with Gateway() as gateway, Service(echo) as service, AgentUnderTest(gateway, to(service)):
        link = await gateway.link()
        await link.websocket.send(['{"type":"pi', 'ng","request_id":"p-2"', ',"payload":{}}'])
        await link.text("pong")
        stream = link.open(first=b"in pieces")
        wire = link.session.data_to_send()
        await link.websocket.send([wire[i : i + 3] for i in range(0, len(wire), 3)])
        assert await stream.read(9) == b"in pieces"


async def test_draining_lets_streams_finish_and_takes_no_new_ones():
    async with Gateway() as gateway, Service(echo) as service, AgentUnderTest(gateway, to(service)) as agent:
        link = await gateway.link()
        stream = link.open(first=b"before")
        assert await stream.read(6) == b"before"
        agent.keeper.drain()
        late = link.open(first=b"crossed the go-away")
        await link.until(lambda: link.went_away)
        await late.until(lambda s: s.reset)
        stream.send(b"after")
        assert await stream.read(5) == b"after"
        assert not agent.task.done()
        stream.end()
        await stream.until(lambda s: s.ended)
        async with asyncio.timeout(SECONDS):
            await agent.task
        await link.until(lambda: link.over)
        assert link.websocket.close_code == 1001
