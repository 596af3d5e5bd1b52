"""Plays a recorded agent against the application: its side is fed as it was, ours is compared by meaning.

Real traffic of the existing agent with a small test gateway (JSON lines: `t`, `dir`, `socket`, `conn`, `event`).
Not compared: times, `Date`, `Sec-WebSocket-Key`, `timestamp`, and what the tables below name.
"""

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

from app.rules.policy import DEFAULT_POLICY, Policy
from app.rules.routes import Route, RouteTable
from app.settings import Grant, token_hash
from tests.app.stage import Stage
from tests.fakes.asgi import Request, WebSocket
from tests.fakes.clock import Clock
from tests.fakes.loop import quiet
from tests.tunnel.gateway import sound
from tests.tunnel.gateway.peer import Peer
from tunnel.port import Target

FOLDER = Path(__file__).parents[2] / "dialogues"

CLUSTER = "11111111-2222-3333-4444-555555555555"
TOKEN = token_hash("TEST-TOKEN")
SERVER = ("127.0.0.1", 18080)
GATEWAY_URL = "ws://127.0.0.1:18080/ws"
HOST = "app.example.test"
REFUSED_HOST = "refused.example.test"
SLOW_HOST = "slow.example.test"
HOSTS = ("*.example.test",)
"""What the recorded agent's token may register."""

NOT_SENT_BY_US = {
    "proxy_request": "requests without yamux belong to the json dialect",
    "proxy_websocket_data": "WebSockets without yamux belong to the json dialect",
    "proxy_websocket_close": "WebSockets without yamux belong to the json dialect",
    "register_in_progress": "only logged by the agent, and extends none of its timers",
}
"""Types of recorded gateway messages that ours does not send, each with the reason."""

OF_THE_SERVER = {
    "ping": "answered by the server's WebSocket implementation, below ASGI",
    "pong": "answered by the server's WebSocket implementation, below ASGI",
    "close": "the answer to the agent's close frame, below ASGI",
}
"""Recorded gateway events that are the server's, not ours."""


def lines_of(name: str) -> list[dict[str, Any]]:
    text = (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def stage(*, routed: bool = True, policy: Policy = DEFAULT_POLICY, **settings: Any) -> Stage:
    """The gateway that the recorded agent meets; `routed`: its file has the hosts that are asked for."""
    routes = [
        Route(HOST, b"/", Target(CLUSTER, "default", "web", 18090), policy),
        Route(SLOW_HOST, b"/", Target(CLUSTER, "default", "web", 18091), policy),
        Route(REFUSED_HOST, b"/", Target(CLUSTER, "default", "web", 18999), policy),
    ]
    grants = {TOKEN: Grant((CLUSTER,), hosts=HOSTS)}
    return Stage(links=0, grants=grants, routes=RouteTable(routes if routed else ()), **settings)


class AgentCall(WebSocket):
    """One recorded connection: what the agent sent is said again, what we say is kept."""

    def __init__(self, stage: Stage, line: dict[str, Any]) -> None:
        headers = [(name.lower().encode(), value.encode()) for name, value in line["headers"].items() if name != "Host"]
        target = f"{line['path']}?{line['query']}"
        super().__init__(stage.app, target, host=line["headers"]["Host"], headers=headers, server=SERVER)
        self.socket: str = line["socket"]
        self.heartbeats = 0
        self.gone = False
        self.times: list[float] = []
        """When each of the messages in `sent` came."""

    async def send(self, message: dict[str, Any]) -> None:
        self.times.append(asyncio.get_running_loop().time())
        await super().send(message)

    @property
    def status(self) -> int:
        if self.accepted is not None:
            return 101
        return self.refusal[0] if self.refusal is not None else 0

    @property
    def told(self) -> list[dict[str, Any]]:
        return [json.loads(message) for message in self.heard if isinstance(message, str)]

    def told_of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.told if message["type"] == kind]

    @property
    def frames(self) -> bytes:
        return b"".join(message for message in self.heard if isinstance(message, bytes))

    def drop(self, code: int = 1006) -> None:
        if not self.gone:
            self.gone = True
            self.leave(code, "" if code != 1006 else None)


def understood(frames: bytes) -> Peer:
    """What an agent makes of a gateway's yamux bytes."""
    peer = Peer(Clock())
    for event in peer.session.receive_data(frames, 0.0):
        peer._on(event)
    return peer


class Playback:
    """One recording on its way through the application."""

    dialect = "auto"
    """What the operator wrote on the agent's token."""

    def __init__(self, name: str, stage: Stage, *, drops: bool = True) -> None:
        self.lines = lines_of(name)
        self.stage = stage
        self.drops = drops
        self.calls: dict[int, AgentCall] = {}
        self.recorded: dict[int, bytes] = {}
        self.skipped: set[str] = set()
        self.rest: list[Request] = []
        self._left = iter(list(enumerate(self.lines)))
        self._began = 0.0

    async def play(self, until: str = "") -> None:
        """Play it, from where it stands; `until`: to the note that begins so."""
        loop = asyncio.get_running_loop()
        self._began = self._began or loop.time()
        for number, line in self._left:
            await asyncio.sleep(max(0.0, self._began + line["t"] - loop.time()))
            if until and line.get("text", "").startswith(until):
                return
            if line["dir"] == "agent>gateway":
                self._agent(line, number)
            elif line["dir"] == "gateway>agent":
                await self._gateway(line)
            await self.look()
        assert not until, f"no note {until!r}"

    async def look(self) -> None:
        """Until all is quiet, and nothing of what we said asks for an answer."""
        await quiet()
        while self.looked():
            await quiet()

    async def later(self, seconds: float) -> None:
        """Let time pass, a tenth of a second at a time."""
        for _ in range(round(seconds * 10)):
            await asyncio.sleep(0.1)
            await self.look()

    async def end(self) -> None:
        """All that is still open goes. Whatever we said was sound."""
        for call in self.calls.values():
            call.drop()
            await call.over()
            for message in call.told:
                sound.check(message)

    def looked(self) -> bool:
        """Look at what we said since the last time; whether there was something."""
        return False

    def translated(self, text: str) -> str:
        """What the agent says, as it says it to us."""
        return text

    def translated_bytes(self, data: bytes) -> bytes:
        """The same, of a binary message."""
        return data

    # --- what the agent did, again

    def _agent(self, line: dict[str, Any], number: int) -> None:
        if line["event"] == "handshake":
            self._prepare(line["conn"], number)
            call = self.calls[line["conn"]] = AgentCall(self.stage, line)
            call.start()
            return
        if line["event"] == "rest":
            self._call(line)
            return
        call = self.calls[line["conn"]]
        match line["event"]:
            case "text":
                call.heartbeats += json.loads(line["text"])["type"] == "heartbeat"
                call.say(self.translated(line["text"]))
            case "binary":
                call.say(self.translated_bytes(base64.b64decode(line["data"])))
            case "close":
                call.drop(line["code"])
            case "tcp-drop":
                call.drop()
            case event:
                assert event in OF_THE_SERVER, event

    def _call(self, line: dict[str, Any]) -> None:
        fields = [(name.lower().encode(), value.encode()) for name, value in line["headers"].items() if name != "Host"]
        request = Request(
            self.stage.app,
            line["method"],
            line["path"],
            host=line["headers"]["Host"],
            headers=fields,
            server=SERVER,
        )
        request.body(line["body"].encode())
        self.rest.append(request.start())

    def _prepare(self, conn: int, number: int) -> None:
        """Bring our gateway into the state in which the recorded one answered this handshake."""
        answers = (line for line in self.lines[number:] if line["dir"] == "gateway>agent" and line.get("conn") == conn)
        status = next(answers)["status"]
        gateway = self.stage.gateway
        gateway.drain.closing = status == 503
        grant = Grant((CLUSTER,), revoked=status == 401, hosts=HOSTS, dialect=self.dialect)
        gateway.settings.grants[TOKEN] = grant  # type: ignore[index]

    # --- what the gateway did: have we, too?

    async def _gateway(self, line: dict[str, Any]) -> None:
        if line["event"] == "rest":
            request = await self.rest[-1].over()
            assert request.status == line["status"]
            assert json.loads(request.answer)["success"] == json.loads(line["body"])["success"]
            return
        call = self.calls[line["conn"]]
        match line["event"]:
            case "handshake":
                assert call.status == line["status"]
            case "text":
                self.gateway_said(call, line["text"])
            case "binary":
                data = base64.b64decode(line["data"])
                self.recorded[line["conn"]] = self.recorded.get(line["conn"], b"") + data
                await self.binary(call, data)
            case "tcp-drop":
                if self.drops:
                    call.drop()
            case event:
                assert event in OF_THE_SERVER, event

    def gateway_said(self, call: AgentCall, text: str) -> None:
        """The recorded gateway said this: have we, too?"""
        recorded = json.loads(text)
        kind = recorded["type"]
        if kind in NOT_SENT_BY_US:
            self.skipped.add(kind)
            assert call.told_of(kind) == []
            return
        ours = call.told_of(kind)
        assert ours, f"no {kind}"
        if kind == "register_success":
            (success,) = ours
            assert success["request_id"] == recorded["request_id"]
            for key in ("cluster_id", "cluster_uuid", "name"):
                assert success["payload"][key] == recorded["payload"][key], key
            # Ours always says where it is: an agent that stays all the same is served where it is (02).
            assert success["payload"]["gateway_ws_url"] == recorded["payload"].get("gateway_ws_url", GATEWAY_URL)
            assert success["payload"].get("status", "active") == recorded["payload"]["status"]
        elif kind == "heartbeat_ack":
            assert len(ours) == call.heartbeats
        else:
            assert kind == "gateway_hello", kind
            (hello,) = ours  # once per connection, and at once
            assert hello["payload"]["use_yamux"] is True
            config = hello["payload"]["yamux_config"]
            assert config["max_stream_window_size"] >= 262_144

    async def binary(self, call: AgentCall, data: bytes) -> None:
        """The recorded gateway sent yamux bytes; a test that plays clients looks at them."""
