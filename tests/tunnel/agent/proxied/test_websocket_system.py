"""WebSockets as messages over real sockets: an agent, a small gateway, and a server made by others."""

import asyncio
import contextlib

import pytest
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from tests.fakes.gateway import SECONDS
from tests.tunnel.agent.proxied.conversation import OVER
from tests.tunnel.agent.proxied.messages import Messages, agent, gateway_without_yamux

pytestmark = [pytest.mark.system, pytest.mark.anyio]


@pytest.fixture(params=["uvloop", "asyncio"])
def anyio_backend(request):
    return "asyncio", {"use_uvloop": request.param == "uvloop"}


class WebSocketService:
    """An echoing WebSocket server by others; `closed` gets how each connection ended."""

    def __init__(self, first=()):
        self.first = first
        self.closed = asyncio.Queue()
        self.heard = []

    async def __aenter__(self):
        self._server = await serve(
            self._serve,
            "127.0.0.1",
            0,
            select_subprotocol=lambda _, offered: "b" if "b" in offered else None,
            max_size=None,
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exception):
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, websocket):
        with contextlib.suppress(ConnectionClosed):
            for message in self.first:
                await websocket.send(message)
            async for message in websocket:
                if message == "close me":
                    await websocket.close(4001, "as you wish")
                elif message == "drop me":
                    websocket.transport.abort()
                else:
                    self.heard.append(message)
                    await websocket.send(message)
        self.closed.put_nowait((websocket.close_code, websocket.close_reason))


async def open_websocket(messages, request_id="w-1", **payload):
    await messages.request(request_id, is_websocket=True, **payload)
    head = await messages.until(request_id, "proxy_response_header")
    assert head["payload"]["status"] == 101
    await messages.until(request_id, "proxy_response_end")
    return head["payload"]["headers"]


async def test_a_burst_arrives_whole_and_in_order(dialect):
    first = [f"from the service {number}" for number in range(500)]
    async with (
        gateway_without_yamux() as gateway,
        WebSocketService(first) as service,
        agent(gateway, service, dialect) as one,
    ):
        messages = Messages(await gateway.link(), dialect)
        headers = await open_websocket(messages, headers={"Sec-WebSocket-Protocol": ["a, b"]})
        assert headers["Sec-Websocket-Protocol"] == ["b"]
        sent = [f"frame {number}" for number in range(500)]
        for text in sent:
            await messages.frame("w-1", 1, text.encode())
        await messages.link.until(lambda: len(messages.frames("w-1")) == 1000)
        assert service.heard == sent
        assert messages.frames("w-1") == [(1, text.encode()) for text in first + sent]
        await messages.frame("w-1", 8, b"\x0f\xa2client")
        async with asyncio.timeout(SECONDS):
            assert await service.closed.get() == (4002, "client")
        await messages.until("w-1", OVER[dialect])
        assert one.account.held_bytes == 0


async def test_messages_of_several_mebibytes(dialect):
    data = bytes(range(256)) * 20_000
    async with gateway_without_yamux() as gateway, WebSocketService() as service, agent(gateway, service, dialect):
        messages = Messages(await gateway.link(), dialect)
        await open_websocket(messages)
        await messages.frame("w-1", 2, data)
        await messages.link.until(lambda: messages.frames("w-1"))
        assert messages.frames("w-1") == [(2, data)]


@pytest.mark.parametrize(
    ("asked", "frames"), [(b"close me", [(8, b"\x0f\xa1as you wish")]), (b"drop me", [])], ids=["closes", "vanishes"]
)
async def test_the_end_of_a_service_is_reported(dialect, asked, frames):
    async with gateway_without_yamux() as gateway, WebSocketService() as service, agent(gateway, service, dialect):
        messages = Messages(await gateway.link(), dialect)
        await open_websocket(messages)
        await messages.frame("w-1", 1, asked)
        over = await messages.until("w-1", OVER[dialect])
        assert messages.frames("w-1") == frames
        assert messages.of("w-1")[-1] == over
        if dialect == "chunk":
            assert "service" in over["reason"]


async def test_a_ping_goes_to_the_service_and_comes_back(dialect):
    async with gateway_without_yamux() as gateway, WebSocketService() as service, agent(gateway, service, dialect):
        messages = Messages(await gateway.link(), dialect)
        await open_websocket(messages)
        await messages.frame("w-1", 9, b"are you there")
        await messages.link.until(lambda: messages.frames("w-1"))
        assert messages.frames("w-1") == [(10, b"are you there")]
