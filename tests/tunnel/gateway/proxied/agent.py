"""An agent without sockets: a carrier's far end, which says and hears whole messages; and the door's end beside it.

`conversation` is a test in virtual time; after it nothing may be held, under way, or left running.
"""

import asyncio
import base64
import functools
import inspect
import itertools
import json
import logging
import struct
from collections.abc import Callable, Coroutine
from typing import Any

from tests.fakes.loop import dialogue, quiet
from tests.fakes.sink import FakeSink
from tunnel.account import Account
from tunnel.gateway.chunk import ChunkCarrier
from tunnel.gateway.json import JsonCarrier
from tunnel.gateway.proxied.shared import Proxied
from tunnel.gateway.round_trips import RoundTrips
from tunnel.port import Exchange, Headers, RequestHead, Target
from tunnel.websocket import Connection, Event, Role
from tunnel.wire import messages
from tunnel.wire.message_limits import NO_LIMIT_BYTES

TARGET = Target("c1", "apps", "web", 8080)
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
HANDSHAKE: Headers = [
    (b"Host", b"a.test"),
    (b"Connection", b"Upgrade"),
    (b"Upgrade", b"websocket"),
    (b"Sec-WebSocket-Key", KEY),
    (b"Sec-WebSocket-Version", b"13"),
    (b"Sec-WebSocket-Protocol", b"chat.v1, chat.v2"),
]


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def data_of(message: dict[str, object]) -> object:
    """The data of a WebSocket message to the agent, which names its exchange wherever that agent looks."""
    payload = message["payload"]
    assert isinstance(payload, dict)
    assert message["type"] == "proxy_websocket_data"
    assert payload["request_id"] == payload["stream_id"] == message["request_id"]
    return payload["data"]


def frame(request_id: str, status: int, headers: Any, body: bytes) -> bytes:
    """A whole answer as one binary message."""
    fields = json.dumps(headers).encode()
    raw_id = request_id.encode()
    return struct.pack("!H", len(raw_id)) + raw_id + struct.pack("!II", status, len(fields)) + fields + body


class LinkOfAgent:
    """What a carrier knows of its link."""

    _numbers = itertools.count(1)

    def __init__(self, cluster: str, wake: Callable[[], None], limit_bytes: int = NO_LIMIT_BYTES) -> None:
        self.agent_limit_bytes = limit_bytes
        self.accepts_bytes = 0
        self.name = f"fake-{next(self._numbers)} of {cluster}"
        self.cluster = cluster
        self.agent_id: str | None = "a1"
        self.wake = wake
        self.clock = asyncio.get_running_loop().time
        self.round_trips = RoundTrips()


class Agent:
    """One link of an agent. `hear` gives what the gateway sent since the last time, `say` sends to it."""

    def __init__(
        self,
        shared: Proxied,
        dialect: str = "json",
        *,
        cluster: str = "c1",
        streams_responses: bool = True,
        orderly: bool = False,
        pings: bool = False,
        forgetful: bool = False,
        limit_bytes: int = NO_LIMIT_BYTES,
    ) -> None:
        self.shared = shared
        self.woken = 0
        self.reads = True
        self.link = link = LinkOfAgent(cluster, self._wake, limit_bytes)
        self.carrier: JsonCarrier | ChunkCarrier
        if dialect == "json":
            self.carrier = JsonCarrier(link, shared=shared, orderly=orderly, pings=pings, forgetful=forgetful)
        else:
            self.carrier = ChunkCarrier(link, shared=shared, streams_responses=streams_responses)
        self.messages: list[dict[str, Any]] = []
        self._read()

    def hear(self) -> list[dict[str, Any]]:
        self._read()
        heard, self.messages = self.messages, []
        return heard

    def hear_one(self, kind: str) -> dict[str, Any]:
        (message,) = self.hear()
        assert message["type"] == kind
        return message

    def kinds(self) -> list[str]:
        return [message["type"] for message in self.hear()]

    def say(self, kind: str, request_id: str | None, payload: Any = None, **beside: Any) -> bool:
        message: dict[str, Any] = {"type": kind, "payload": {} if payload is None else payload, **beside}
        if request_id is not None:
            message["request_id"] = request_id
        return self.say_text(json.dumps(message))

    def say_text(self, text: str) -> bool:
        return self.carrier.message_received(messages.decode_envelope(text), text)

    def header(self, request_id: str, status: int = 200, **headers: Any) -> None:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        self.say("proxy_response_header", request_id, {"status": status, "headers": fields})

    def chunk(self, request_id: str, data: bytes) -> None:
        self.say("proxy_response_chunk", request_id, {"data": encoded(data), "encoding": "base64", "size": len(data)})

    def end(self, request_id: str) -> None:
        self.say("proxy_response_end", request_id)

    def abort(self, request_id: str, error: str) -> None:
        self.say("proxy_response_abort", request_id, {"error": error})

    def switch(self, request_id: str, **headers: Any) -> None:
        self.header(request_id, 101, Connection=["Upgrade"], Upgrade=["websocket"], **headers)
        self.end(request_id)

    def websocket_data(self, request_id: str, data: bytes) -> None:
        payload = {"data": encoded(data), "message_type": data[0], "request_id": request_id, "stream_id": request_id}
        self.say("proxy_websocket_data", request_id, payload)

    def lose(self) -> None:
        from tunnel.errors import LinkLostError

        self.carrier.lost(LinkLostError("the link of the test ended"))

    def _wake(self) -> None:
        self.woken += 1
        asyncio.get_running_loop().call_soon(self._read)

    def _read(self) -> None:
        while self.reads and (text := self.carrier.next_message()) is not None:
            self.messages.append(json.loads(text))


class Stage:
    """One gateway process: its account, what its links share, and the agents of the test."""

    def __init__(self) -> None:
        self.account = Account()
        loop = asyncio.get_running_loop()
        self.shared = Proxied(account=self.account, clock=loop.time, max_message_bytes=1024 * 1024)
        self.agents: list[Agent] = []
        self.may_fail = False
        """The test provokes errors of ours; else none may be logged: a sink's complaint would stay unseen."""

    def agent(self, dialect: str = "json", **options: Any) -> Agent:
        agent = Agent(self.shared, dialect, **options)
        self.agents.append(agent)
        return agent

    async def end(self) -> None:
        await quiet()
        for agent in self.agents:
            agent.hear()
            assert agent.carrier.active == 0, agent.carrier
            assert agent.carrier.uploads == 0
        assert self.shared.exchanges == {}
        assert self.account.held_bytes == 0, "before the links end"
        for agent in self.agents:
            agent.lose()
        assert self.account.held_bytes == 0
        assert not any(self.shared._links.values())
        await self.shared.aclose()


def conversation(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test that takes a `Stage` first, in virtual time."""

    @functools.wraps(test)
    async def staged(*args: Any, **kwargs: Any) -> None:
        stage = Stage()
        errors: list[str] = []
        handler = logging.Handler(logging.ERROR)
        handler.emit = lambda record: errors.append(handler.format(record))  # type: ignore[method-assign]
        logging.getLogger("tunnel").addHandler(handler)
        try:
            await test(stage, *args, **kwargs)
            await stage.end()
        finally:
            logging.getLogger("tunnel").removeHandler(handler)
        assert bool(errors) is stage.may_fail, errors

    run = dialogue(staged)
    signature = inspect.signature(test)
    others = [parameter for name, parameter in signature.parameters.items() if name != "stage"]
    run.__signature__ = signature.replace(parameters=others)  # type: ignore[attr-defined]  # the stage is no fixture
    return run


def opened(
    agent: Agent,
    method: bytes = b"GET",
    target: bytes = b"/",
    headers: Headers | None = None,
    *,
    length: int | None = 0,
    to: Target = TARGET,
) -> tuple[Exchange, FakeSink]:
    """A request, begun as a door begins it."""
    sink = FakeSink()
    fields = [(b"Host", b"a.test")] if headers is None else headers
    exchange = agent.carrier.upstream(to).open(RequestHead(method, target, fields, length), sink)
    assert sink.calls == []
    return exchange, sink


async def asked(agent: Agent, *args: Any, **options: Any) -> tuple[str, Exchange, FakeSink]:
    """A request without a body that the agent has heard: its id, and the door's end."""
    exchange, sink = opened(agent, *args, **options)
    await quiet()
    message = agent.hear_one("proxy_request")
    return message["request_id"], exchange, sink


class Door:
    """The door's end of one WebSocket."""

    def __init__(self, agent: Agent, headers: Headers | None = None) -> None:
        self.sink = FakeSink()
        self.codec = Connection(Role.CLIENT)
        head = RequestHead(b"GET", b"/ws?room=1", HANDSHAKE if headers is None else headers, 0, upgrade=True)
        self.exchange = agent.carrier.upstream(TARGET).open(head, self.sink)
        assert self.sink.calls == []
        self._read = 0

    def send(self, data: bytes | str) -> bool:
        return self.exchange.send_data(self.codec.send_message(data))

    def close(self, code: int | None, reason: str = "") -> None:
        self.exchange.send_data(self.codec.close(code, reason))

    def events(self) -> list[Event]:
        """What came since the last time."""
        pieces = self.sink.pieces[self._read :]
        self._read = len(self.sink.pieces)
        return [event for piece in pieces for event in self.codec.receive_data(piece)]


async def open_websocket(agent: Agent, **headers: Any) -> tuple[str, Door]:
    """A WebSocket that the service accepted."""
    door = Door(agent)
    await quiet()
    request_id = agent.hear_one("proxy_request")["request_id"]
    agent.switch(request_id, **headers)
    await quiet()
    assert door.sink.statuses == [101]
    return request_id, door
