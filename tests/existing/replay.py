"""A small gateway of the tests' own, the stand-in as a process before it, and a recording played between them.

The gateway's recorded lines are sent; the agent's are awaited and compared; a service's notes are awaited too, so
that what must not race does not. Silence is proved by a ping whose pong is the next message that comes. Nothing
sleeps.
"""

import asyncio
import base64
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request

from tests.existing import normalise
from tests.existing.services import Services
from tests.fakes.gateway import SECONDS, FakeGateway

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests" / "dialogues"
CLUSTER = "11111111-2222-3333-4444-555555555555"
CONTROLLER = "/api/v1/clusters/agent/ws"
REFUSED_PORT = 1
"""Nobody listens there."""
_SERVICE_NOTES = (
    "service got ",
    "service writes event",
    "service ends the response",
    "service sees",
    "service answers GET",
    "service refuses the",
    "service accepts",
    "service sends",
    "service closes its",
    "service drops",
    "Kubernetes API got",
    "Kubernetes API sends",
    "Kubernetes API answers 403",
    "Kubernetes API answers 200 to",
)

Line = dict[str, Any]


def recorded(name: str) -> list[Line]:
    """Lines of the recording whose file's name begins so."""
    (path,) = FOLDER.glob(f"{name}-*.jsonl")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


class RecordedGateway(FakeGateway):
    """Takes what the agent opens, and answers nothing by itself but the registration."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: asyncio.Queue[ServerConnection] = asyncio.Queue()
        self.gateway_url: str | None = ""
        self.register: dict[str, Any] = {}

    async def start(self) -> None:
        await super().start()
        if self.gateway_url == "":
            self.gateway_url = f"{self.url}/ws"

    def may_refuse(self, request: Request) -> bool:
        return request.path != CONTROLLER

    async def connected(self, connection: ServerConnection, /) -> None:
        assert connection.request is not None
        if connection.request.path == CONTROLLER:
            with contextlib.suppress(Exception):
                await self._registration(connection)
            if self.gateway_url is not None:
                return
        self.opened.put_nowait(connection)
        await connection.wait_closed()

    async def _registration(self, connection: ServerConnection) -> None:
        self.register = json.loads(await connection.recv())
        payload = {"cluster_id": CLUSTER, "cluster_uuid": CLUSTER, "gateway_ws_url": self.gateway_url}
        for kind in ("register_in_progress", "register_success"):
            await connection.send(json.dumps({**self.register, "type": kind, "payload": payload}))
        if self.gateway_url is not None:
            await connection.wait_closed()

    async def connection(self) -> ServerConnection:
        """The next gateway socket that the agent opened."""
        async with asyncio.timeout(SECONDS):
            return await self.opened.get()

    async def paths(self, count: int) -> list[str]:
        """Of the first handshakes, refused ones included."""
        await self.handshake(count)
        return [request.path for request in self.handshakes[:count]]


class Standin:
    """The stand-in's process and its lines."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self._changed = asyncio.Condition()
        self._readers = [
            asyncio.create_task(self._read(stream)) for stream in (process.stdout, process.stderr) if stream is not None
        ]

    async def _read(self, stream: asyncio.StreamReader) -> None:
        async for line in stream:
            async with self._changed:
                self.lines.append(line.decode().rstrip("\n"))
                self._changed.notify_all()

    async def line(self, begins: str, times: int = 1) -> None:
        """Waits until so many lines begin so."""

        def seen() -> bool:
            return sum(line.startswith(begins) for line in self.lines) >= times

        try:
            async with asyncio.timeout(SECONDS), self._changed:
                await self._changed.wait_for(seen)
        except TimeoutError as error:
            raise AssertionError(f"not {times} lines {begins!r}, only {self.lines}") from error

    async def status(self) -> int:
        """The exit status, once the process has ended."""
        async with asyncio.timeout(SECONDS):
            return await self.process.wait()

    async def end(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        await asyncio.gather(*self._readers)


@contextlib.asynccontextmanager
async def started(
    gateway: RecordedGateway, services: Services, *options: str, cluster: bool = True
) -> AsyncIterator[Standin]:
    """The process, with the services of the recordings under their recorded names; `cluster`: has a Kubernetes API."""
    routes = {"web.default:18090": services.web, "web.default:18091": services.slow, "web.default:18999": REFUSED_PORT}
    arguments = [f"--service={name}=127.0.0.1:{port}" for name, port in routes.items()]
    if cluster:
        arguments.append(f"--api-server=127.0.0.1:{services.api}")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.existing", "--gateway", gateway.url, "--token", "TEST-TOKEN"),
        *("--cluster", CLUSTER, "--seed", "7", *arguments, *options),
        cwd=ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    standin = Standin(process)
    try:
        yield standin
        assert not [line for line in standin.lines if line.startswith("section 16")]
    finally:
        await standin.end()


async def received(connection: ServerConnection) -> str | bytes:
    """The agent's next message."""
    async with asyncio.timeout(SECONDS):
        return await connection.recv()


async def answer(connection: ServerConnection) -> Line:
    """The agent's next message, as JSON."""
    document: Line = json.loads(await received(connection))
    return document


async def send(connection: ServerConnection, kind: str, request_id: str = "", **payload: Any) -> None:
    """A message of the gateway's."""
    document: Line = {"type": kind, "payload": payload}
    await connection.send(json.dumps({**document, "request_id": request_id} if request_id else document))


async def silent(connection: ServerConnection, name: str = "is-it-silent") -> None:
    """Nothing has come, and nothing comes before the pong."""
    await send(connection, "ping", name)
    message = await answer(connection)
    assert (message["type"], message.get("request_id")) == ("pong", name)


class Replay:
    """One recording, played from the first gateway socket on."""

    def __init__(self, gateway: RecordedGateway, services: Services) -> None:
        self._gateway = gateway
        self._services = services
        self._connection: ServerConnection | None = None
        self._first = True
        self.compared = 0

    @property
    def connection(self) -> ServerConnection:
        """The gateway socket of the moment."""
        assert self._connection is not None
        return self._connection

    async def play(self, lines: list[Line], skip: Callable[[Line], bool] = lambda line: False) -> None:
        """Every line that is not skipped, in its order."""
        for line in lines:
            if skip(line) or line.get("socket") == "controller":
                continue
            if line["dir"] == "note":
                await self._note(line["text"])
            elif line["dir"] == "agent>gateway":
                await self._expect(line)
            else:
                await self._say(line)
        assert self._services.notes == []

    async def _note(self, text: str) -> None:
        if text.startswith("agent sent no message"):
            await silent(self.connection)
        elif text.startswith(_SERVICE_NOTES):
            wanted = normalise.note(text)
            await self._services.wait_note(lambda note: normalise.note(note) == wanted, wanted)
            self.compared += 1

    async def _say(self, line: Line) -> None:
        match line["event"]:
            case "text":
                await self.connection.send(line["text"])
            case "binary":
                await self.connection.send(base64.b64decode(line["data"]))
            case "tcp-drop":
                self.connection.transport.abort()

    async def _expect(self, line: Line) -> None:
        match line["event"]:
            case "handshake":
                self._connection = await self._gateway.connection()
                request = self.connection.request
                assert request is not None
                assert request.path == f"{line['path']}?{line['query']}"
                names = [name for name in line["headers"] if name not in {"Host", "Sec-WebSocket-Key"}]
                assert {name: request.headers[name] for name in names} == {n: line["headers"][n] for n in names}
            case "text":
                message, wanted = normalise.message(await received(self.connection)), normalise.message(line["text"])
                if wanted["type"] == "heartbeat" and not self._first:
                    message["payload"]["cluster_id"] = wanted["payload"]["cluster_id"]
                self._first = False
                assert message == wanted
                self.compared += 1
            case "binary":
                data = await received(self.connection)
                assert isinstance(data, bytes)
                assert normalise.binary(data) == normalise.binary(base64.b64decode(line["data"]))
                self.compared += 1


ROUTE: Line = {"service_name": "web", "namespace": "default", "service_port": 18090}
UPGRADE: Line = {**ROUTE, "path": "/ws", "is_websocket": True}


async def ask(connection: ServerConnection, request_id: str, path: str, **payload: Any) -> None:
    """A streamed request to the ordinary service, unless the payload says otherwise."""
    await send(
        connection,
        "proxy_request",
        request_id,
        **{**ROUTE, "path": path, "supports_response_streaming": True, **payload},
    )


async def begun(gateway: RecordedGateway) -> ServerConnection:
    """The gateway socket, its first heartbeat taken."""
    connection = await gateway.connection()
    assert (await answer(connection))["type"] == "heartbeat"
    return connection


async def answers(connection: ServerConnection, *kinds: str) -> list[Line]:
    """The agent's next messages, of these types; their payloads."""
    messages = [await answer(connection) for _ in kinds]
    assert [message["type"] for message in messages] == list(kinds), messages
    return [message["payload"] for message in messages]
