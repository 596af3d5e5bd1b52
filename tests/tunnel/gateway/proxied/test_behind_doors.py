"""Both dialects behind the real doors: what a client sees of an agent's messages, in virtual time."""

import asyncio
from typing import Any, Self

import pytest

from tests.app.stage import HOST
from tests.app.stage import Stage as Application
from tests.fakes.asgi import Request, WebSocket
from tests.fakes.link import FakeLink
from tests.fakes.loop import dialogue, quiet
from tests.tunnel.gateway.proxied.agent import Agent, encoded
from tunnel.gateway.proxied.shared import Proxied
from tunnel.port import Target, Upstream


class Link(FakeLink):
    """A link of the registry, whose upstream is a carrier's."""

    def __init__(self, agent: Agent) -> None:
        super().__init__()
        self.agent = agent

    def upstream(self, target: Target) -> Upstream:  # type: ignore[override]
        return self.agent.carrier.upstream(target)


class World:
    """An application whose only link speaks one of the dialects."""

    def __init__(self, dialect: str, **settings: Any) -> None:
        self.application = Application(links=0, **settings)
        account = self.application.gateway.account
        self.shared = Proxied(account=account, clock=asyncio.get_running_loop().time)
        self.agent = Agent(self.shared, dialect)
        self.application.gateway.registry.add(Link(self.agent))  # type: ignore[arg-type]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        await self.application.gateway.aclose()
        for _ in range(4):
            await self.tick()
        assert self.agent.carrier.active == 0
        assert self.shared.exchanges == {}
        self.agent.hear()
        self.agent.lose()
        await self.shared.aclose()
        if kind is None:
            assert self.application.gateway.account.held_bytes == 0

    async def tick(self) -> None:
        await asyncio.sleep(0.5)
        self.agent.carrier.tick(asyncio.get_running_loop().time())
        await quiet()

    async def opened(self) -> tuple[str, WebSocket]:
        client = WebSocket(self.application.app, "/ws", host=HOST).start()
        await quiet()
        request_id = self.agent.hear_one("proxy_request")["request_id"]
        self.agent.switch(request_id)
        await quiet()
        assert client.accepted is not None
        return request_id, client

    def message(self, request_id: str, data: bytes) -> None:
        if self.agent.carrier.dialect == "json":
            self.agent.websocket_data(request_id, data)
        else:
            self.agent.say("proxy_stream_chunk", request_id, data=encoded(data), direction="from_agent")


DIALECTS = pytest.mark.parametrize("dialect", ["json", "chunk"])


@DIALECTS
@dialogue
async def test_a_request_with_a_body(dialect: str):
    async with World(dialect) as world:
        request = Request(world.application.app, "POST", "/a?b=1", host=HOST, headers=[(b"content-length", b"4")])
        request.start()
        request.body(b"body")
        await quiet()
        message = world.agent.hear_one("proxy_request")
        assert message["payload"]["body"] == encoded(b"body")
        assert message["payload"]["headers"]["Host"] == [HOST]
        world.agent.header(message["request_id"], 200, Content_Length="5")
        world.agent.chunk(message["request_id"], b"hello")
        world.agent.end(message["request_id"])
        await request.over()
        assert (request.status, request.answer, request.complete) == (200, b"hello", True)


@DIALECTS
@dialogue
async def test_what_cannot_be_carried_is_refused_by_name(dialect: str):
    async with World(dialect) as world:
        for target in ("/a;b", "/a..b", "/?a;b"):
            request = Request(world.application.app, "GET", target, host=HOST).start()
            request.body()
            await request.over()
            assert request.status == 400
            assert f"{dialect} dialect".encode() in request.answer
        assert world.agent.hear() == []


@DIALECTS
@dialogue
async def test_the_agent_s_text_is_not_shown(dialect: str):
    async with World(dialect) as world:
        request = Request(world.application.app, "GET", "/", host=HOST).start()
        request.body()
        await quiet()
        request_id = world.agent.hear_one("proxy_request")["request_id"]
        world.agent.abort(request_id, "service request failed: dial tcp 10.1.2.3:80: refused")
        await request.over()
        assert request.status == 502
        assert b"10.1.2.3" not in request.answer


@DIALECTS
@dialogue
async def test_messages_and_the_client_s_close(dialect: str):
    async with World(dialect) as world:
        request_id, client = await world.opened()
        client.say("hi")
        world.message(request_id, b"\x01ho")
        await quiet()
        assert client.heard == ["ho"]
        client.leave(4001, "bye")
        await quiet()
        if dialect == "chunk":
            world.message(request_id, b"\x08\x0f\xa1bye")
        began = world.agent.carrier.clock()
        await client.over()
        assert world.agent.carrier.clock() - began < 0.1
        for _ in range(4):
            await world.tick()
        data = [message["data"] if "data" in message else message["payload"].get("data") for message in
                world.agent.hear() if "close" not in message["type"]]  # fmt: skip
        assert data == [encoded(b"\x01hi"), encoded(b"\x08\x0f\xa1bye")]


@DIALECTS
@dialogue
async def test_the_service_s_close(dialect: str):
    async with World(dialect) as world:
        request_id, client = await world.opened()
        world.message(request_id, b"\x08\x0f\xa2service bye")
        began = world.agent.carrier.clock()
        await client.over()
        assert client.closed == (4002, "service bye")
        assert world.agent.carrier.clock() - began < 0.1


@dialogue
async def test_a_lost_message_closes_the_client():
    async with World("json") as world:
        request_id, client = await world.opened()
        world.agent.say("backpressure", request_id, {"reason": "channel_full"})
        await client.over()
        assert client.closed == (1011, "a message was lost on the way")


@DIALECTS
@dialogue
async def test_a_silent_websocket(dialect: str):
    """json: nothing says that the service is there, so the idle limit ends it; chunk: its pongs do."""
    async with World(dialect, idle_timeout=10.0) as world:
        request_id, client = await world.opened()
        for _ in range(80):
            await world.tick()
            for message in world.agent.hear():
                if message["type"] == "proxy_stream_chunk" and message["data"] == encoded(b"\x09"):
                    world.message(request_id, b"\x0a")
        assert (client.closed is None) is (dialect == "chunk")
        client.leave()
        await quiet()
        world.message(request_id, b"\x08\x03\xe8")
        await client.over()


@DIALECTS
@dialogue
async def test_the_link_is_lost(dialect: str):
    async with World(dialect) as world:
        _, client = await world.opened()
        world.agent.lose()
        await client.over()
        assert client.closed is not None
        assert client.closed[0] == 1012


@DIALECTS
@dialogue
async def test_a_refused_handshake(dialect: str):
    async with World(dialect) as world:
        client = WebSocket(world.application.app, "/ws", host=HOST).start()
        await quiet()
        request_id = world.agent.hear_one("proxy_request")["request_id"]
        world.agent.header(request_id, 403, X_Why="denied", Content_Length="7")
        world.agent.abort(request_id, "failed to connect to service WebSocket: websocket: bad handshake")
        await client.over()
        assert client.refusal is not None
        assert client.refusal[0] == 403
        assert client.refusal[1][b"x-why"] == b"denied"
