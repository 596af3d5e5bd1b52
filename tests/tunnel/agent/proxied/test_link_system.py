"""The life of a link whose exchanges are messages: its beginning, a gateway that does not read, its end."""

import asyncio
import contextlib

import pytest

from tests.fakes.gateway import SECONDS
from tests.tunnel.agent.proxied.messages import (
    Messages,
    agent,
    echo,
    gateway_without_yamux,
    is_well,
    read_request,
    saying,
)
from tests.tunnel.agent.world import Service

pytestmark = [pytest.mark.system, pytest.mark.anyio]


@pytest.fixture(params=["uvloop", "asyncio"])
def anyio_backend(request):
    return "asyncio", {"use_uvloop": request.param == "uvloop"}


FEATURES = {
    "json": {
        "supports_yamux": False,
        "supports_response_streaming": True,
        "supports_websocket": True,
        "supports_message_order": True,
        "supports_websocket_ping": True,
        "ends_exchanges_with_link": True,
    },
    "chunk": {
        "supports_yamux": False,
        "supports_stream_chunks": True,
        "supports_response_streaming": True,
        "supports_websocket": True,
        "ends_exchanges_with_link": True,
    },
}


async def test_registered_is_ready(dialect):
    async with (
        gateway_without_yamux() as gateway,
        Service(echo) as service,
        agent(gateway, service, dialect) as under_test,
    ):
        link = await gateway.link()
        assert (await link.text("register"))["features"] == FEATURES[dialect]
        assert len(under_test.ready) == 1
        await link.say("gateway_hello", {"use_yamux": True})
        assert await link.text("gateway_hello_ack") == {"use_yamux": False}
        await is_well(Messages(link, dialect), "r-1")


async def test_a_gateway_that_does_not_read_stops_the_services(dialect):
    poured = 0
    stalled = asyncio.Event()

    async def pour(reader, writer):
        nonlocal poured
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 64000000\r\n\r\n")
        for _ in range(640):
            writer.write(bytes(100_000))
            try:
                async with asyncio.timeout(0.5):
                    await writer.drain()
            except TimeoutError:
                stalled.set()
                await writer.drain()
            poured += 100_000

    async with (
        gateway_without_yamux() as gateway,
        Service(pour) as service,
        agent(gateway, service, dialect) as one,
    ):
        link = await gateway.link()
        messages = Messages(link, dialect)
        await messages.request("r-1")
        await messages.until("r-1", "proxy_response_header")
        link.websocket.transport.pause_reading()
        async with asyncio.timeout(SECONDS):
            await stalled.wait()
        assert poured < 40_000_000
        assert 0 < one.account.held_bytes < 2_000_000
        link.websocket.transport.resume_reading()
        status, body = await messages.answer("r-1")
        assert (status, len(body)) == (200, 64_000_000)
        assert one.account.held_bytes == 0


async def test_a_lost_link_leaves_no_service_behind(dialect):
    asked = asyncio.Event()
    lost = asyncio.Event()

    async def wait(reader, writer):
        asked.set()
        await reader.readuntil(b"\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        lost.set()

    async with (
        gateway_without_yamux() as gateway,
        Service(wait) as service,
        agent(gateway, service, dialect) as one,
    ):
        messages = Messages(await gateway.link(), dialect)
        await messages.request("r-1", method="POST", streaming=True)
        async with asyncio.timeout(SECONDS):
            await asked.wait()
            messages.link.drop()
            await lost.wait()
        await gateway.link(2)
        assert one.account.held_bytes == 0


async def test_draining_lets_exchanges_finish(dialect):
    release = asyncio.Event()

    async def wait(reader, writer):
        await read_request(reader)
        await release.wait()
        writer.write(saying(b"done"))

    async with (
        gateway_without_yamux() as gateway,
        Service(wait) as service,
        agent(gateway, service, dialect) as one,
    ):
        messages = Messages(await gateway.link(), dialect)
        await messages.request("r-1")
        await messages.link.say("ping", {}, "p-1")
        await messages.until("p-1", "pong")
        one.keeper.drain()
        await messages.link.text("going_away")
        await messages.request("r-2")  # it was on its way
        release.set()
        assert await messages.answer("r-1") == (200, b"done")
        assert await messages.answer("r-2") == (200, b"done")
        async with asyncio.timeout(SECONDS):
            await one.task
        await messages.link.until(lambda: messages.link.over)
        assert messages.link.websocket.close_code == 1001


async def test_garbage_ends_nothing_else(dialect):
    async with gateway_without_yamux() as gateway, Service(echo) as service, agent(gateway, service, dialect):
        link = await gateway.link()
        messages = Messages(link, dialect)
        for text in ("", "[]", "{", '{"type":"proxy_request"}', '{"type":"proxy_request","request_id":7}'):
            await link.websocket.send(text)
        for kind in ("proxy_cancel", "proxy_request_chunk", "proxy_websocket_data", "proxy_stream_chunk", "what"):
            await link.say(kind, {"data": 1}, "nobody")
            await link.say(kind, [], "nobody")
        await link.websocket.send(b"\x00\x01binary")
        await link.say("proxy_request", {"path": 1}, "garbled")
        assert (await messages.until("garbled", "proxy_error"))["payload"]["error"].startswith("invalid request: ")
        await is_well(messages, "r-1")
        assert len(gateway.links) == 1


async def test_messages_beyond_the_limit_end_the_link(dialect, monkeypatch):
    monkeypatch.setattr("tunnel.agent.proxied.carrier.MESSAGE_LIMIT_BYTES", 100_000)
    async with gateway_without_yamux() as gateway, Service(echo) as service, agent(gateway, service, dialect):
        link = await gateway.link()
        await link.websocket.send(["{", " " * 60_000, " " * 60_000])
        await link.until(lambda: link.over)
        assert link.websocket.close_code == 1009
        await is_well(Messages(await gateway.link(2), dialect), "r-1")
