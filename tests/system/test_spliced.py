"""Spliced WebSockets end to end: what the two ends agree on and say passes as it is, and our own closes go in.

With the door of our own, over yamux. `test_websocket.py` has what holds on every door and dialect.
"""

import asyncio
import json
import os
import re
import struct
from collections.abc import Callable
from urllib.request import urlopen

import aiohttp
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame
from websockets.frames import Opcode as Code

from tests.system.clients import RESET, websocket
from tests.system.conftest import app_only, not_over, tunnel_only
from tests.system.harness import LOOPBACK, Stack, free_port

pytestmark = [
    pytest.mark.anyio,
    tunnel_only,
    app_only("its server has messages, not bytes"),
    not_over("json", "chunk", because="they carry messages"),
]

DIRECTIONS = ("client_to_service", "service_to_client")


def counted(stack: Stack, what: str, direction: str) -> float:
    """Of the metrics."""
    with urlopen(f"http://{stack.settings['admin_bind']}/metrics") as answer:
        name = rf'^websocket_{what}_total{{direction="{direction}"}} (\S+)$'
        found = re.search(name, answer.read().decode(), re.MULTILINE)
    assert found is not None
    return float(found[1])


async def test_the_two_ends_agree_on_compression_and_we_count_what_is_on_the_wire(
    own_stack: Callable[..., Stack],
) -> None:
    stack = own_stack(admin_bind=f"{LOOPBACK}:{free_port()}").start()
    message = "to be compressed " * 10_000
    async with websocket(stack.url("ws", "/echo", "ws"), compression="deflate") as client:
        [extension] = client.protocol.extensions
        assert isinstance(extension, PerMessageDeflate)
        for _ in range(3):
            await client.send(message)
            assert await client.recv() == message
    for direction in DIRECTIONS:
        assert counted(stack, "messages", direction) == 3
        assert 0 < counted(stack, "bytes", direction) < len(message) / 10


async def test_a_client_that_offers_nothing_gets_nothing(stack: Stack) -> None:
    async with websocket(stack.url("ws", "/echo", "ws"), compression=None) as client:
        assert client.protocol.extensions == []
        await client.send("plain")
        assert await client.recv() == "plain"


async def test_a_route_may_decline_compression(own_stack: Callable[..., Stack]) -> None:
    stack = own_stack(websocket_compression="decline").start()
    async with websocket(stack.url("ws", "/headers", "ws"), compression="deflate") as client:
        assert client.protocol.extensions == []
        names = [name.lower() for name, _ in json.loads(await client.recv())["headers"]]
        assert "sec-websocket-extensions" not in names
        await client.send("plain" * 1000)
        assert await client.recv() == "plain" * 1000


@pytest.mark.parametrize("compression", ["deflate", None])
async def test_fragments_of_both_sides_with_pings_between_them(stack: Stack, compression: str | None) -> None:
    async with websocket(stack.url("ws", "/command", "ws"), compression=compression) as client:
        await client.send(json.dumps({"do": "fragments", "pieces": ["a" * 5000, "b", "c" * 70_000, "d"]}))
        assert await client.recv() == "a" * 5000 + "b" + "c" * 70_000 + "d"
        assert json.loads(await client.recv()) == {"pong": "middle"}  # ours passed to the service

        async def parts() -> object:
            for part in ('{"do": "pi', 'ng", "data"', ': "p"}'):
                await (await client.ping())  # answered by the service, between the fragments
                yield part

        await client.send(parts())
        assert json.loads(await client.recv()) == {"pong": "p"}


async def test_ten_pings_in_one_segment_are_answered_by_the_service_with_ten_pongs(stack: Stack) -> None:
    async with websocket(stack.url("ws", "/echo", "ws")) as client:
        waiting = [await client.ping(f"ping {number}") for number in range(10)]
        await asyncio.gather(*waiting)
        await client.send("after")
        assert await client.recv() == "after"


async def test_a_frame_in_the_handshakes_own_segment_arrives_after_the_101(stack: Stack) -> None:
    url = stack.url("ws", "/echo", "ws")
    host, port = url.removeprefix("ws://").split("/")[0].rsplit(":", 1)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
    frame = Frame(Code.TEXT, b"early").serialize(mask=True)
    writer.write(
        f"GET /echo HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
        + frame
    )
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
    assert await reader.readexactly(7) == b"\x81\x05early"
    writer.transport.abort()


async def test_codes_and_reasons_pass_both_ways(stack: Stack, http: aiohttp.ClientSession) -> None:
    async with websocket(stack.url("ws", "/command", "ws")) as client:
        await client.send(json.dumps({"do": "close", "code": 4321, "reason": "grüße"}))
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert (client.close_code, client.close_reason) == (4321, "grüße")
    async with websocket(stack.url("ws", "/echo?id=spliced", "ws")) as client:
        await client.close(4322, "weil")
    async with http.get(stack.control("ws", "/closed?id=spliced")) as answer:
        assert await answer.json(content_type=None) == {"code": 4322, "reason": "weil"}


async def test_a_client_that_is_reset_is_told_to_the_service(stack: Stack, http: aiohttp.ClientSession) -> None:
    async with websocket(stack.url("ws", "/echo?id=reset", "ws")) as client:
        await client.send("here")
        assert await client.recv() == "here"
        client.transport.get_extra_info("socket").setsockopt(1, 13, RESET)
        client.transport.abort()
    async with http.get(stack.control("ws", "/closed?id=reset")) as answer:
        assert await answer.json(content_type=None) == {"code": 1011, "reason": "client vanished"}


async def test_a_message_beyond_the_limit_is_refused_at_its_head(own_stack: Callable[..., Stack]) -> None:
    stack = own_stack(max_message_bytes=1024).start()
    async with websocket(stack.url("ws", "/echo", "ws"), compression=None) as client:
        await client.send("x" * 1024)
        assert await client.recv() == "x" * 1024
        # Only the head of the message, and nothing of it: the refusal does not wait for more.
        client.transport.write(b"\x82\xfe" + struct.pack("!H", 1025) + os.urandom(4))
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert (client.close_code, client.close_reason) == (1009, "message too large")
    async with websocket(stack.url("ws", "/command", "ws"), compression=None) as client:
        await client.send(json.dumps({"do": "send", "size": 1025}))
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.close_code == 1009


async def test_a_stop_closes_both_sides(own_stack: Callable[..., Stack]) -> None:
    stack = own_stack().start()
    async with websocket(stack.url("ws", "/echo", "ws")) as client:
        await client.send("here")
        assert await client.recv() == "here"
        stack.gateway.popen.terminate()
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert (client.close_code, client.close_reason) == (1012, "gateway is restarting")
    assert await asyncio.to_thread(stack.gateway.popen.wait, 30) == 0
