"""Services that speak TLS inside the cluster: the gateway is their client, end to end through the agent."""

import hashlib
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.services.pattern import blocks, digest
from tests.system.clients import websocket
from tests.system.conftest import not_over, tunnel_only
from tests.system.harness import Stack

pytestmark = [pytest.mark.anyio, tunnel_only]

NO_AUTHORITY = not_over("json", "chunk", because="the agent dials, and checks no certificate")

MESSAGE_BYTES = 300_000
SIZE_BYTES = 20_000_000


@pytest.mark.parametrize("name", [pytest.param("secure", marks=NO_AUTHORITY), "unverified"])
async def test_an_https_service_is_reached(stack: Stack, http: aiohttp.ClientSession, name: str) -> None:
    async with http.get(stack.url(name, "/echo")) as answer:
        assert answer.status == 200
        assert (await answer.json())["line"] == "GET /echo HTTP/1.1"


@NO_AUTHORITY
async def test_an_https_services_connection_is_used_again(stack: Stack, http: aiohttp.ClientSession) -> None:
    numbers = set()
    for number in range(10):
        async with http.get(stack.url("secure", f"/small?n={number}")) as answer:
            assert await answer.read() == f"small {number}".encode()
            numbers.add(answer.headers["X-Connection"])
    assert len(numbers) <= 2, numbers


@NO_AUTHORITY
async def test_large_bodies_pass_through_tls_whole(stack: Stack, http: aiohttp.ClientSession) -> None:
    sha256 = hashlib.sha256()
    async with http.get(stack.url("secure", f"/download?size={SIZE_BYTES}")) as answer:
        async for piece in answer.content.iter_any():
            sha256.update(piece)
    assert sha256.hexdigest() == digest(SIZE_BYTES)

    async def pieces() -> AsyncIterator[bytes]:
        for block in blocks(SIZE_BYTES, seed=2):
            yield block

    async with http.post(stack.url("secure", "/upload"), data=pieces()) as answer:
        got = await answer.json()
    assert (got["length"], got["sha256"]) == (SIZE_BYTES, digest(SIZE_BYTES, seed=2))


@NO_AUTHORITY
async def test_a_wss_service_is_reached(stack: Stack) -> None:
    async with websocket(stack.url("wss", "/echo", "ws"), subprotocols=["chat"]) as client:
        assert client.subprotocol == "chat"
        for message in ("text", b"binary", "x" * MESSAGE_BYTES):
            await client.send(message)
            assert await client.recv() == message
