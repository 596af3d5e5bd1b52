"""HTTP requests as messages over real sockets: an agent, a small gateway, services made by others."""

import asyncio
import hashlib
import ssl

import pytest
import trustme

from tests.fakes.gateway import SECONDS
from tests.tunnel.agent.proxied.conversation import b64
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


async def test_large_bodies_both_ways(dialect):
    body = bytes(range(256)) * 16_384
    async with gateway_without_yamux() as gateway, Service(echo) as service, agent(gateway, service, dialect) as one:
        messages = Messages(await gateway.link(), dialect)
        await messages.request("at once", method="POST", body=b64(body), body_encoding="base64")
        await messages.request("in pieces", method="POST", streaming=True)
        for at in range(0, len(body), 65_536):
            await messages.link.say("proxy_request_chunk", {"data": b64(body[at : at + 65_536])}, "in pieces")
        await messages.link.say("proxy_request_stream_end", {}, "in pieces")
        for request_id in ("at once", "in pieces"):
            status, answer = await messages.answer(request_id)
            assert status == 200
            assert hashlib.sha256(answer).digest() == hashlib.sha256(b"POST / HTTP/1.1\n" + body).digest()
        assert one.account.held_bytes == 0


async def test_an_event_stream_comes_event_by_event(dialect):
    go_on = asyncio.Event()

    async def events(reader, writer):
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        await go_on.wait()
        writer.write(b"data: 2\n\n")

    async with gateway_without_yamux() as gateway, Service(events) as service, agent(gateway, service, dialect):
        messages = Messages(await gateway.link(), dialect)
        await messages.request("r-1", timeout=5000)
        await messages.until("r-1", "proxy_response_chunk")
        go_on.set()
        assert await messages.answer("r-1") == (200, b"data: 1\n\ndata: 2\n\n")


async def test_an_early_answer_survives_its_services_close(dialect):
    async def refuse(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno\n")
        writer.close()

    async with gateway_without_yamux() as gateway, Service(refuse) as service, agent(gateway, service, dialect):
        messages = Messages(await gateway.link(), dialect)
        for number in range(5):
            await messages.request(f"r-{number}", method="POST", streaming=True)
            for _ in range(30):
                await messages.link.say("proxy_request_chunk", {"data": b64(bytes(65_536))}, f"r-{number}")
            assert await messages.answer(f"r-{number}") == (413, b"no\n")


async def test_a_slow_service_delays_nobody(dialect):
    release = asyncio.Event()

    async def serve_one(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        if b"/slow" in head:
            await release.wait()
        writer.write(saying(head.split(b"\r\n")[0] + b"\n"))
        writer.close()

    async with gateway_without_yamux() as gateway, Service(serve_one) as service, agent(gateway, service, dialect):
        messages = Messages(await gateway.link(), dialect)
        await messages.request("upload", method="POST", path="/slow", streaming=True)
        for _ in range(400):
            await messages.link.say("proxy_request_chunk", {"data": b64(bytes(65_536))}, "upload")
        await messages.request("wait", path="/slow")
        for number in range(20):
            await is_well(messages, f"r-{number}")
        # Half of its 25 MiB fit into the kernel's buffers and ours; the rest ended that upload, and nothing else.
        why = (await messages.until("upload", "proxy_response_abort"))["payload"]["error"]
        assert "bytes wait for the service" in why
        release.set()
        assert await messages.answer("wait") == (200, b"GET /slow HTTP/1.1\n")


async def test_a_cancelled_request_leaves_its_service(dialect):
    asked = asyncio.Event()
    left = asyncio.Event()

    async def wait(reader, writer):
        await read_request(reader)
        asked.set()
        assert await reader.read() == b""
        left.set()

    async with gateway_without_yamux() as gateway, Service(wait) as service, agent(gateway, service, dialect):
        messages = Messages(await gateway.link(), dialect)
        await messages.request("r-1")
        async with asyncio.timeout(SECONDS):
            await asked.wait()
            await messages.link.say("proxy_cancel", {}, "r-1")
            await left.wait()
        why = (await messages.until("r-1", "proxy_response_abort"))["payload"]["error"]
        assert why == "service request failed: request cancelled"


async def test_an_https_service_whoever_it_is(dialect):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("somebody.example").configure_cert(context)
    server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=context)

    class Secure:
        port = server.sockets[0].getsockname()[1]

    async with gateway_without_yamux() as gateway, agent(gateway, Secure, dialect):
        messages = Messages(await gateway.link(), dialect)
        await messages.request("r-1", scheme="https", method="POST", body="x" * 100_000)
        assert await messages.answer("r-1") == (200, b"POST / HTTP/1.1\n" + b"x" * 100_000)
        await messages.request("r-2")
        await messages.until("r-2", "proxy_response_abort")
        await messages.request("r-3", scheme="https")
        assert (await messages.answer("r-3"))[0] == 200
    server.close()


async def test_a_tls_service_that_is_none(dialect):
    async def plain(reader, writer):
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with gateway_without_yamux() as gateway, Service(plain) as service, agent(gateway, service, dialect):
        messages = Messages(await gateway.link(), dialect)
        await messages.request("r-1", scheme="https")
        why = (await messages.until("r-1", "proxy_response_abort"))["payload"]["error"]
        assert why.startswith("service request failed: TLS with ")
        await messages.request("r-2")
        assert await messages.answer("r-2") == (400, b"")
