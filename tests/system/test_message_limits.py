"""A message that is larger than the other end of a link accepts ends its own exchange, and never the link.

First our agent with a gateway that lets clients send more than the agent accepts, and with one that accepts less than
a service sends. Then an agent of the test's own, which accepts little and ends its link over more, in each dialect.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.system.clients import websocket
from tests.system.conftest import app_only, tunnel_only
from tests.system.harness import LOOPBACK, TOKEN, Stack
from tunnel.yamux import DataReceived, Role, Session, StreamOpened

pytestmark = [pytest.mark.anyio, tunnel_only]

MIB = 1024 * 1024
LIMIT = 20_000
BODY = 300_000
takes_20_mib = app_only("uvicorn itself takes no message above 16 MiB, unless --ws-max-size says more")
FEATURES = {
    "yamux": {"supports_yamux": True},
    "json": {"supports_response_streaming": True},
    "chunk": {"supports_stream_chunks": True, "supports_response_streaming": True},
}


def started(own_stack: Callable[..., Stack], dialect: str, max_message_bytes: int) -> Stack:
    stack = own_stack(max_message_bytes=max_message_bytes, log_format="json")
    stack.dialect = dialect
    return stack.start()


@asynccontextmanager
async def undisturbed(stack: Stack) -> AsyncIterator[None]:
    """A WebSocket beside it stays open, and no link is lost."""
    async with websocket(stack.url("ws", "/echo", "ws")) as other:
        yield
        await other.send("still here")
        assert await other.recv() == "still here"
    assert not [line for line in stack.gateway.output() if "is gone" in line]


async def closed_with(client: ClientConnection) -> tuple[int | None, str | None]:
    with pytest.raises(ConnectionClosed):
        await client.recv()
    return client.close_code, client.close_reason


async def logged(stack: Stack, text: str) -> str:
    """The gateway's line with this text."""
    return await asyncio.to_thread(stack.gateway.wait_line, text)


@takes_20_mib
@pytest.mark.parametrize("dialect", ["json", "chunk"])
async def test_a_client_sends_more_than_the_agent_accepts(own_stack: Callable[..., Stack], dialect: str) -> None:
    stack = started(own_stack, dialect, 20 * MIB)
    async with undisturbed(stack), websocket(stack.url("ws", "/echo", "ws")) as client:
        await client.send(bytes(13 * MIB))
        assert await closed_with(client) == (1009, "message too large for the agent")
    line = json.loads(await logged(stack, "closed by the gateway with 1009"))
    assert (line["close_code"], line["closed_by"], line["limit"]) == (1009, "gateway", "message_size")
    assert line["detail"].endswith(" bytes is larger than the 16777216 that the agent accepts")


@pytest.mark.parametrize("dialect", ["json", "chunk"])
async def test_a_service_sends_more_than_the_gateway_accepts(own_stack: Callable[..., Stack], dialect: str) -> None:
    stack = started(own_stack, dialect, 64 * 1024)
    async with undisturbed(stack), websocket(stack.url("ws", "/command", "ws")) as client:
        await client.send(json.dumps({"do": "send", "size": 64 * 1024}))
        assert await client.recv() == "x" * 64 * 1024
        await client.send(json.dumps({"do": "send", "size": 2 * MIB}))
        assert await closed_with(client) == (1009, "message too large for the gateway")
    await asyncio.to_thread(stack.agent.wait_line, "more than the gateway accepts")


@takes_20_mib
@pytest.mark.parametrize("dialect", ["json", "chunk"])
async def test_a_service_sends_more_than_10_mib_where_that_is_allowed(
    own_stack: Callable[..., Stack], dialect: str
) -> None:
    stack = started(own_stack, dialect, 20 * MIB)
    async with undisturbed(stack), websocket(stack.url("ws", "/command", "ws")) as client:
        await client.send(json.dumps({"do": "send", "size": 19 * MIB, "binary": True}))
        assert await client.recv() == bytes(19 * MIB)
    async with websocket(stack.url("ws", "/echo", "ws")) as client:
        await client.send(bytes(11 * MIB))
        assert await client.recv() == bytes(11 * MIB)


@takes_20_mib
async def test_yamux_has_no_such_limit(own_stack: Callable[..., Stack]) -> None:
    stack = started(own_stack, "yamux", 20 * MIB)
    async with undisturbed(stack), websocket(stack.url("ws", "/echo", "ws")) as client:
        await client.send(bytes(19 * MIB))
        assert await client.recv() == bytes(19 * MIB)


# --- an agent that accepts little


class SmallAgent:
    """Registers at `/agent`, and answers each request with the number of bytes of its body."""

    def __init__(self, wire: ClientConnection) -> None:
        self._wire = wire
        self._session = Session(Role.CLIENT)
        self._received: dict[object, int] = {}

    async def say(self, kind: str, request_id: object, payload: object) -> None:
        await self._wire.send(json.dumps({"type": kind, "request_id": request_id, "payload": payload}))

    async def run(self) -> None:
        async for message in self._wire:
            if isinstance(message, bytes):
                await self._take_frames(message)
            else:
                said = json.loads(message)
                await self._take(said["type"], said.get("request_id"), said["payload"])

    async def _take(self, kind: str, request_id: object, payload: dict[str, str]) -> None:
        if kind == "gateway_hello":
            await self.say("gateway_hello_ack", None, {"use_yamux": True})
        elif kind == "ping":
            await self.say("pong", request_id, {})
        elif kind in ("proxy_request", "proxy_request_chunk"):
            data = base64.b64decode(payload.get("body") or payload.get("data") or "")
            self._received[request_id] = self._received.get(request_id, 0) + len(data)
        if kind == "proxy_request_stream_end" or (kind == "proxy_request" and not payload.get("streaming")):
            size = b"%d" % self._received[request_id]
            await self.say("proxy_response_header", request_id, {"status": 200, "headers": {}})
            await self.say("proxy_response_chunk", request_id, {"data": base64.b64encode(size).decode()})
            await self.say("proxy_response_end", request_id, {})

    async def _take_frames(self, frames: bytes) -> None:
        now = asyncio.get_running_loop().time()
        for event in self._session.receive_data(frames, now):
            if isinstance(event, StreamOpened):
                self._session.accept_stream(event.stream_id)
            elif isinstance(event, DataReceived):
                self._session.acknowledge(event.stream_id, len(event.data), now)
                got = self._received[event.stream_id] = self._received.get(event.stream_id, 0) + event.data.count(b"b")
                if got >= BODY:
                    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n%d" % BODY
                    self._session.send_data(event.stream_id, answer)
        while data := self._session.data_to_send():
            await self._wire.send(data)


@asynccontextmanager
async def small_agent(stack: Stack, dialect: str, limit: object) -> AsyncIterator[ClientConnection]:
    """It ends its link over a message above `LIMIT`."""
    async with connect(
        f"ws://{LOOPBACK}:{stack.port}/agent",
        additional_headers={"Authorization": f"Bearer {TOKEN}"},
        max_size=LIMIT,
        ping_interval=None,
        proxy=None,
    ) as wire:
        agent = SmallAgent(wire)
        register = {
            "agent_id": "small",
            "cluster_id": "c1",
            "features": FEATURES[dialect],
            "message_limit_bytes": limit,
        }
        await agent.say("register", "r-1", register)
        task = asyncio.create_task(agent.run())
        yield wire
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("dialect", FEATURES)
async def test_bodies_are_cut_to_what_an_agent_accepts(
    own_stack: Callable[..., Stack], http: aiohttp.ClientSession, dialect: str
) -> None:
    stack = own_stack().start(agent=False)
    async with small_agent(stack, dialect, LIMIT) as wire:
        for _ in range(3):
            async with http.post(stack.url("plain", "/upload"), data=b"b" * BODY) as answer:
                assert (answer.status, await answer.read()) == (200, b"%d" % BODY)
        assert wire.close_code is None


@pytest.mark.parametrize("dialect", FEATURES)
async def test_a_limit_that_cannot_be_one_ends_nothing(own_stack: Callable[..., Stack], dialect: str) -> None:
    stack = own_stack().start(agent=False)
    for number, limit in enumerate([-1, 0, 1.5, True, "many", [], {}, 10**30], 1):
        async with small_agent(stack, dialect, limit) as wire:
            await logged(stack, f"link-{number}: message_limit_bytes of the agent ignored")
            await logged(stack, f"link-{number}: agent small serves cluster c1")
            assert wire.close_code is None


@pytest.mark.parametrize("dialect", ["json", "chunk"])
async def test_a_head_that_an_agent_does_not_accept_is_a_431(
    own_stack: Callable[..., Stack], http: aiohttp.ClientSession, dialect: str
) -> None:
    stack = own_stack().start(agent=False)
    async with small_agent(stack, dialect, LIMIT) as wire:
        await logged(stack, "serves cluster c1")
        for number in range(3):
            large = {f"X-{part}": "x" * 7000 for part in range(3)}
            async with http.get(stack.url("plain", f"/large/{number}"), headers=large) as answer:
                assert (answer.status, (await answer.json())["code"]) == (431, "too_large_for_agent")
            async with http.get(stack.url("plain", "/small")) as answer:
                assert (answer.status, await answer.read()) == (200, b"0")
        assert wire.close_code is None
