"""Streams through the agent: a small gateway and real services, over real sockets."""

import asyncio
import hashlib
import os
import socket

import pytest

from tests.tunnel.agent.gateway import Gateway
from tests.tunnel.agent.world import AgentUnderTest, Service, echo, service_is_well, to
from tests.tunnel.yamux.wire import live_streams
from tunnel.agent.service.services import AllowPattern
from tunnel.agent.yamux import splice

pytestmark = [pytest.mark.system, pytest.mark.anyio]


@pytest.fixture(params=[True, False], ids=["uvloop", "asyncio"])
def anyio_backend(request):
    return "asyncio", {"use_uvloop": request.param}


async def test_echo_and_half_close():
    async with Gateway() as gateway, Service(echo) as service, AgentUnderTest(gateway, to(service)):
        link = await gateway.link()
        stream = link.open(first=b"with the header")
        assert await stream.read(15) == b"with the header"
        stream.send(b"and after")
        assert await stream.read(9) == b"and after"
        assert not stream.ended
        stream.end()
        await stream.until(lambda s: s.ended)
        assert await service.failure() is None
        await link.until(lambda: live_streams(link.session) == 0)


async def test_header_in_single_bytes():
    async with Gateway() as gateway, Service(echo) as service, AgentUnderTest(gateway, to(service)):
        link = await gateway.link()
        stream = link.open(header=b"\x01")
        for byte in b"\x01\x00\x50\x00\x04echo\x00\x04apps\x00\x00hello":
            await link.websocket.send(link.session.data_to_send())
            stream.send(bytes([byte]))
        assert await stream.read(5) == b"hello"


async def test_megabytes_both_ways_arrive_intact():
    async with Gateway() as gateway, Service(echo) as service, AgentUnderTest(gateway, to(service)):
        link = await gateway.link()
        stream = link.open()
        data = os.urandom(5_000_000)
        for start in range(0, len(data), 50_000):
            await stream.until(lambda s: not s.full)
            stream.send(data[start : start + 50_000])
        stream.end()
        await stream.until(lambda s: s.ended)
        assert hashlib.sha256(stream.received).digest() == hashlib.sha256(data).digest()


async def test_the_service_ends_first():
    heard = []

    async def greet(reader, writer):
        writer.write(b"220 hello")
        writer.write_eof()
        heard.append(await reader.read())

    async with Gateway() as gateway, Service(greet) as service, AgentUnderTest(gateway, to(service)):
        link = await gateway.link()
        stream = link.open()
        await stream.until(lambda s: s.ended)
        assert stream.received == b"220 hello"
        stream.send(b"bye")
        stream.end()
        assert await service.failure() is None
        assert heard == [b"bye"]
        await link.until(lambda: live_streams(link.session) == 0)


async def test_a_reset_stream_resets_the_service():
    async with Gateway() as gateway, Service(echo) as service, AgentUnderTest(gateway, to(service)):
        link = await gateway.link()
        stream = link.open(first=b"x")
        await stream.read(1)
        stream.abort()
        assert isinstance(await service.failure(), ConnectionResetError)


async def test_a_service_that_breaks_off_resets_the_stream():
    async def break_off(reader, writer):
        await reader.read(1)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()

    async with Gateway() as gateway, Service(break_off) as service, AgentUnderTest(gateway, to(service)):
        link = await gateway.link()
        stream = link.open(first=b"x")
        await stream.until(lambda s: s.reset)
        assert not stream.ended


async def test_refused_streams_end_without_a_byte_and_say_why(caplog):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    services = [f"down.apps:80=127.0.0.1:{port}"]
    async with Gateway() as gateway, AgentUnderTest(gateway, services) as agent:
        link = await gateway.link()
        for number, (name, reason) in enumerate([("down", "127.0.0.1:"), ("unknown", "no --service entry")], 1):
            stream = link.open(name, first=b"GET / HTTP/1.1\r\n\r\n")
            await stream.until(lambda s: s.ended)
            assert stream.received == b""
            told = await link.text("stream_refused", number)
            assert told["stream_id"] == stream.id
            assert reason in told["reason"]
            stream.end()
        await link.until(lambda: live_streams(link.session) == 0)
        assert agent.account.held_bytes == 0
    assert "refused stream 2 to apps/down:80" in caplog.text


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (b"\x02\x01\x00\x50", "version 2"),
        (b"\x01\x02\x00\x50\x00\x04echo\x00\x04apps\x00\x00", "not TCP"),
        (b"\x01\x01\x00\x50\xff\xff", "longer than"),
        (b"\x01\x01\x01\xbb\x00\x0akubernetes\x00\x07default\x00\x00", "API server"),
    ],
)
async def test_bad_headers_are_refused(header, reason):
    async with Gateway() as gateway, AgentUnderTest(gateway, allow=[AllowPattern.parse("*/*:*")]):
        link = await gateway.link()
        stream = link.open(header=header)
        await stream.until(lambda s: s.ended)
        assert reason in (await link.text("stream_refused"))["reason"]


async def test_names_are_resolved_and_the_api_servers_address_is_refused():
    async with Gateway() as gateway, Service(echo) as service:
        entry = [f"echo.apps:80=localhost:{service.port}"]
        async with AgentUnderTest(gateway, entry):
            stream = (await gateway.link(1)).open(first=b"x")
            assert await stream.read(1) == b"x"
        async with AgentUnderTest(gateway, entry, api_hosts=("127.0.0.1", "::1")):
            link = await gateway.link(2)
            stream = link.open(first=b"x")
            await stream.until(lambda s: s.ended)
            assert "API server" in (await link.text("stream_refused"))["reason"]
        assert service.connections == 1


async def test_refused_streams_that_the_gateway_keeps_are_reset(monkeypatch):
    monkeypatch.setattr(splice, "REFUSED_LINGER_SECONDS", 0.01)
    async with Gateway() as gateway, AgentUnderTest(gateway):
        link = await gateway.link()
        stream = link.open()
        await stream.until(lambda s: s.reset)


async def test_a_service_that_never_reads_costs_one_window_and_delays_nobody():
    release = asyncio.Event()

    async def never_read(_reader, writer):
        writer.transport.pause_reading()
        await release.wait()

    async with (
        Gateway() as gateway,
        Service(never_read) as stuck,
        Service(echo) as service,
        AgentUnderTest(gateway, to(stuck, "stuck") + to(service)) as agent,
    ):
        link = await gateway.link()
        stream = link.open("stuck")
        sent = 0
        other = link.open(first=b"x")
        await other.read(1)
        while not stream.full or link.session.wants_to_send:
            if not stream.full:
                stream.send(bytes(65_536))
                sent += 65_536
            other.send(b"y")  # another stream's round trip: all that was sent before it was taken
            assert await other.read(1) == b"y"
            assert sent < 64_000_000
        # The kernel's socket buffers hold what the agent's transport does not; the agent at most a window,
        # the transport its mark.
        assert 0 < agent.account.held_bytes <= 1_048_576
        stream.abort()
        await service_is_well(link)
        assert agent.account.held_bytes == 0
        release.set()


async def test_a_gateway_that_never_reads_a_stream_stops_the_service_only_there():
    async def pour(_reader, writer):
        for _ in range(200):
            writer.write(bytes(100_000))
            await writer.drain()

    async with (
        Gateway() as gateway,
        Service(pour) as fountain,
        Service(echo) as service,
        AgentUnderTest(gateway, to(fountain, "pour") + to(service)),
    ):
        link = await gateway.link()
        stream = link.open("pour")
        stream.acknowledging = False
        await stream.until(lambda s: len(s.received) == 262_144)
        await service_is_well(link)
        assert len(stream.received) == 262_144
        stream.acknowledging = True
        link.session.acknowledge(stream.id, len(stream.received), asyncio.get_running_loop().time())
        link.flush()
        await stream.until(lambda s: s.ended)
        assert len(stream.received) == 20_000_000


async def test_many_streams_at_once():
    async with Gateway() as gateway, Service(echo) as service, AgentUnderTest(gateway, to(service)):
        link = await gateway.link()
        streams = [link.open(first=f"stream {number:04}".encode()) for number in range(500)]
        for number, stream in enumerate(streams):
            assert await stream.read(11) == f"stream {number:04}".encode()
            stream.end()
        await link.until(lambda: live_streams(link.session) == 0)
