"""What `app/serve.py` and `app/protocols.py` use of uvicorn, by name and by what it does.

Most of it is not uvicorn's public interface, so one minor release at a time is let in, and the next one has to pass
here first. The names are read from our own sources: one that is used and not listed fails, as does one that uvicorn
no longer has. No sockets: the protocols are fed by hand.
"""

import ast
import asyncio
import inspect
import operator
import tomllib
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, Self

import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from app.protocols import GatewayHttp, GatewayWebSocket
from app.serve import AdminServer, GatewayServer
from tests.app.virtual import dialogue, quiet

ROOT = Path(__file__).parents[2]
MINOR = "0.54."

ADMIN_SERVER = {
    "capture_signals", "config.lifespan_class", "config.load", "lifespan", "main_loop", "should_exit", "shutdown",
    "startup",
}  # fmt: skip
GATEWAY_SERVER = {
    "capture_signals", "force_exit", "lifespan.shutdown", "server_state.connections", "servers", "should_exit",
    "shutdown", "startup",
}  # fmt: skip
HTTP = {
    "_should_upgrade", "_should_upgrade_to_ws", "connection_made", "cycle.keep_alive", "handle_websocket_upgrade",
    "headers", "on_header", "on_headers_complete", "on_message_begin", "parser.should_upgrade", "scope",
    "transport.abort",
}  # fmt: skip
WEBSOCKET = {
    "close_sent", "conn.data_to_send", "conn.handshake_exc", "connection_lost", "data_received", "handle_connect",
    "handshake_initiated", "loop.call_soon", "queue.qsize", "read_paused", "receive", "scope", "transport.abort",
    "transport.close", "transport.is_closing", "transport.pause_reading", "transport.write",
}  # fmt: skip
CLASSES: dict[str, tuple[type, set[str]]] = {
    "AdminServer": (uvicorn.Server, ADMIN_SERVER),
    "GatewayServer": (uvicorn.Server, GATEWAY_SERVER),
    "GatewayHttp": (HttpToolsProtocol, HTTP),
    "GatewayWebSocket": (WebSocketsSansIOProtocol, WEBSOCKET),
}
IMPORTED = {"Config", "Server"}


def tree_of(path: str) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


def classes() -> list[ast.ClassDef]:
    trees = [tree_of("app/serve.py"), tree_of("app/protocols.py")]
    return [node for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)]


def inherited(definition: ast.ClassDef) -> set[str]:
    """What a class of ours takes or replaces of the class above it; `a.b` where it goes on to a part of that."""
    base = CLASSES[definition.name][0]
    body = {
        name
        for node in definition.body
        for name in (
            [node.name]
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            else [target.id for target in targets(node) if isinstance(target, ast.Name)]
        )
    }
    assigned = {
        target.attr
        for node in ast.walk(definition)
        for target in targets(node)
        if isinstance(target, ast.Attribute) and target.attr.startswith("_")
    }
    own = {name for name in body | assigned if not hasattr(base, name)} | {"__init__"}
    used = {name for name in body if hasattr(base, name)}
    for node in ast.walk(definition):
        if isinstance(node, ast.Attribute):
            chain = ast.unparse(node).split(".")
            if chain[0] in ("self", "super()"):
                used.add(".".join(chain[1:3]))
    used = {name for name in used if name.split(".")[0] not in own}
    return {name for name in used if not any(other.startswith(f"{name}.") for other in used)}


def targets(node: ast.AST) -> list[ast.expr]:
    """What a statement assigns to."""
    if isinstance(node, ast.Assign):
        return node.targets
    return [node.target] if isinstance(node, ast.AnnAssign | ast.AugAssign) else []


def config(app: Callable[..., Any], **options: Any) -> uvicorn.Config:
    """As `serve` makes it, without anything that a test need not start."""
    made = uvicorn.Config(
        app, http=GatewayHttp, ws=GatewayWebSocket, lifespan="off", log_config=None, access_log=False, **options
    )
    made.load()
    return made


class FakeTransport(asyncio.Transport):
    """Where the bytes of a connection go."""

    def __init__(self) -> None:
        super().__init__({"peername": ("203.0.113.9", 50_123), "sockname": ("192.0.2.1", 8080)})
        self.written = b""
        self.closed = False
        self.aborted = False
        self.protocol: Any = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol


class Application:
    """Remembers the scopes, and answers when it is told to."""

    def __init__(self) -> None:
        self.scopes: list[dict[str, Any]] = []
        self.received: list[dict[str, Any]] = []
        self.go = asyncio.Event()

    async def __call__(self, scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        self.scopes.append(scope)
        if scope["type"] == "websocket":
            assert (await receive())["type"] == "websocket.connect"
            await send({"type": "websocket.accept"})
            self.received.append(await receive())
            return
        await self.go.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


class Connection:
    """One client's connection to a protocol of ours."""

    def __init__(self, application: Callable[..., Any], **options: Any) -> None:
        self.state = ServerState()
        self.transport = FakeTransport()
        self.protocol = GatewayHttp(config(application, **options), self.state, {})
        self.protocol.connection_made(self.transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        last = self.transport.protocol or self.protocol
        if last in self.state.connections:
            last.connection_lost(None)

    def send(self, *lines: str) -> None:
        self.protocol.data_received("\r\n".join([*lines, "", ""]).encode())

    def upgrade(self) -> GatewayWebSocket:
        key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
        self.send(
            "GET /w HTTP/1.1", "Host: h", "Upgrade: websocket", "Connection: Upgrade", key, "Sec-WebSocket-Version: 13"
        )
        protocol = self.transport.protocol
        assert isinstance(protocol, GatewayWebSocket)
        return protocol


# --- names


def test_the_installed_uvicorn_is_the_one_that_is_pinned() -> None:
    assert metadata.version("uvicorn").startswith(MINOR)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = [line for line in project["dependencies"] if line.startswith("uvicorn")]
    assert pins == [f"uvicorn[standard]~={MINOR}0"]


def test_every_class_of_ours_is_looked_at() -> None:
    assert {definition.name for definition in classes()} == set(CLASSES)
    for ours, theirs in ((GatewayServer, uvicorn.Server), (AdminServer, uvicorn.Server)):
        assert issubclass(ours, theirs)
    assert issubclass(GatewayHttp, HttpToolsProtocol)
    assert issubclass(GatewayWebSocket, WebSocketsSansIOProtocol)


@pytest.mark.parametrize("name", list(CLASSES))
def test_what_a_class_uses_is_listed_here_and_nothing_else(name: str) -> None:
    definition = next(node for node in classes() if node.name == name)
    assert inherited(definition) == CLASSES[name][1]


@dialogue
async def test_every_name_exists_on_a_connection():
    with Connection(Application()) as client:
        client.send("GET / HTTP/1.1", "Host: h")
        await quiet()
        missing = [name for name in HTTP if not has(client.protocol, name)]
        client.protocol.cycle.disconnected = True
        client.protocol.app.go.set()
        await quiet()
    with Connection(Application()) as client:
        protocol = client.upgrade()
        missing += [name for name in WEBSOCKET if not has(protocol, name)]
        protocol.shutdown()
        await quiet()
    assert missing == []


def has(thing: object, dotted: str) -> bool:
    try:
        operator.attrgetter(dotted)(thing)
    except AttributeError:
        return False
    return True


def test_what_serve_imports_and_asks_of_config_exists() -> None:
    parameters = inspect.signature(uvicorn.Config.__init__).parameters
    calls = 0
    for node in ast.walk(tree_of("app/serve.py")):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "uvicorn":
            assert node.attr in IMPORTED
            assert hasattr(uvicorn, node.attr)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "uvicorn.Config":
            calls += 1
            assert {keyword.arg for keyword in node.keywords} <= set(parameters)
    assert calls == 2, "the gateway's and the operator's listener"


def test_the_servers_attributes_exist_and_begin_as_we_take_them() -> None:
    server = uvicorn.Server(config(Application()))
    assert (server.should_exit, server.force_exit, server.started) == (False, False, False)
    assert server.server_state.connections == set()
    later = {"lifespan", "lifespan.shutdown", "servers"}  # made while it starts; see the next tests
    assert [name for name in (ADMIN_SERVER | GATEWAY_SERVER) - later if not has(server, name)] == []
    assert inspect.iscoroutinefunction(server.main_loop)
    for name in ("startup", "shutdown"):
        assert list(inspect.signature(getattr(server, name)).parameters) == ["sockets"]
        assert inspect.iscoroutinefunction(getattr(server, name))
    assert list(inspect.signature(server.serve).parameters) == ["sockets"]
    assert list(inspect.signature(server.capture_signals).parameters) == []


# --- the server's life


class Watched(uvicorn.Server):
    """Writes down what uvicorn calls, in which order."""

    def __init__(self, made: uvicorn.Config) -> None:
        super().__init__(made)
        self.calls: list[str] = []
        self.begun = asyncio.Event()

    def capture_signals(self) -> Any:
        self.calls.append("capture_signals")
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.calls.append("signals released")

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.calls.append("startup")
        self.begun.set()

    async def shutdown(self, sockets: Any = None) -> None:
        self.calls.append("shutdown")
        await super().shutdown(sockets)


class Lifespan:
    """An application of which only the lifespan is called."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    async def __call__(self, scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        assert scope["type"] == "lifespan"
        for step in ("startup", "shutdown"):
            assert (await receive())["type"] == f"lifespan.{step}"
            self.calls.append(step)
            await send({"type": f"lifespan.{step}.complete"})


@pytest.mark.system
@pytest.mark.parametrize("force", [False, True])
def test_a_server_captures_starts_runs_until_told_and_shuts_down(force: bool) -> None:
    """`force_exit` leaves the lifespan's end out: we make up for it."""
    app = Lifespan()
    made = uvicorn.Config(app, host="127.0.0.1", port=0, lifespan="on", log_config=None)
    server = Watched(made)

    async def run() -> None:
        serving = asyncio.ensure_future(server.serve())
        await server.begun.wait()
        assert app.calls == ["startup"]
        listener = server.servers[0]
        address = listener.sockets[0].getsockname()
        assert (len(server.servers), address[0]) == (1, "127.0.0.1")
        assert address[1] > 0
        server.force_exit, server.should_exit = force, True
        await serving
        assert not listener.is_serving()
        if force:
            assert app.calls == ["startup"]
            await server.lifespan.shutdown()

    asyncio.run(run())
    assert server.calls == ["capture_signals", "startup", "shutdown", "signals released"]
    assert app.calls == ["startup", "shutdown"]


# --- HTTP


@dialogue
async def test_each_request_has_a_scope_of_its_own_to_which_we_add() -> None:
    app = Application()
    app.go.set()
    with Connection(app) as client:
        for path in ("/a", "/b"):
            client.send(f"GET {path} HTTP/1.1", "Host: h")
            await quiet()
        first, second = app.scopes
        assert (first["raw_path"], second["raw_path"]) == (b"/a", b"/b")
        assert first["extensions"] is not second["extensions"]
        for scope in app.scopes:
            assert scope["extensions"] == {"gateway.abort": client.transport.abort}
            assert scope["server"] == ("192.0.2.1", 8080)
        assert client.transport.written.count(b"HTTP/1.1 200 OK") == 2


@dialogue
async def test_uvicorns_own_scope_has_no_extensions_yet() -> None:
    """`on_message_begin` of ours replaces them whole; if they come to be filled, it must keep them."""
    protocol = HttpToolsProtocol(config(Application()), ServerState(), {})
    protocol.connection_made(FakeTransport())
    protocol.on_message_begin()
    assert "extensions" not in protocol.scope
    protocol.connection_lost(None)


@dialogue
async def test_an_idle_connection_ends_when_it_is_shut_down_and_a_busy_one_after_its_answer() -> None:
    app = Application()
    with Connection(app) as idle, Connection(app) as busy:
        assert idle.state.connections == {idle.protocol}
        busy.send("GET / HTTP/1.1", "Host: h")
        await quiet()
        for client in (idle, busy):
            client.protocol.shutdown()
        assert idle.transport.closed
        assert not busy.transport.closed
        app.go.set()
        await quiet()
        assert busy.transport.closed
        assert b"connection: close" in busy.transport.written
        assert busy.transport.written.endswith(b"\r\n\r\nok")


@dialogue
async def test_fields_of_the_trailer_section_come_to_on_header_too():
    """Why ours looks at where it is."""
    seen: list[bytes] = []

    class Spy(HttpToolsProtocol):
        def on_header(self, name: bytes, value: bytes) -> None:
            seen.append(name)
            super().on_header(name, value)

    app = Application()
    app.go.set()
    protocol = Spy(config(app), ServerState(), {})
    protocol.connection_made(FakeTransport())
    head = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    protocol.data_received(head + b"1\r\nx\r\n0\r\nX-Late: 1\r\n\r\n")
    await quiet()
    assert seen == [b"Host", b"Transfer-Encoding", b"X-Late"]
    protocol.connection_lost(None)


@dialogue
async def test_a_valueerror_in_a_callback_of_the_parser_is_a_400():
    class Strict(HttpToolsProtocol):
        def on_headers_complete(self) -> None:
            raise ValueError("not this one")

    app, transport = Application(), FakeTransport()
    protocol = Strict(config(app), ServerState(), {})
    protocol.connection_made(transport)
    protocol.data_received(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    await quiet()
    assert transport.written.startswith(b"HTTP/1.1 400 ")
    assert (transport.closed, app.scopes) == (True, [])
    protocol.connection_lost(None)


@dialogue
async def test_an_application_that_raises_after_its_head_cuts_the_connection() -> None:
    """How a broken answer is broken off on the ASGI door."""

    async def app(scope: object, receive: object, send: Callable[..., Any]) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise RuntimeError("broken off")

    with Connection(app) as client:
        client.send("GET / HTTP/1.1", "Host: h")
        await quiet()
        assert client.transport.written.endswith(b"half")
        assert client.transport.closed


# --- WebSockets


@dialogue
async def test_a_handshakes_scope_is_ours_to_complete_before_its_task_runs() -> None:
    app = Application()
    with Connection(app) as client:
        protocol = client.upgrade()
        assert protocol.handshake_initiated
        assert not protocol.close_sent
        assert app.scopes == [], "the task starts in the next turn of the loop"
        await quiet()
        extensions = app.scopes[0]["extensions"]
        assert extensions["websocket.http.response"] == {}
        assert extensions["gateway.abort"] == client.transport.abort
        assert client.transport.written.startswith(b"HTTP/1.1 101 ")
        protocol.data_received(bytes.fromhex("888000000000"))
        await quiet()


@dialogue
async def test_a_handshake_that_uvicorn_refuses_has_no_scope() -> None:
    app = Application()
    with Connection(app) as client:
        client.send("GET /w HTTP/1.1", "Host: h", "Upgrade: websocket", "Connection: Upgrade")
        protocol = client.transport.protocol
        assert isinstance(protocol, GatewayWebSocket)
        await quiet()
        assert protocol.close_sent
        assert not hasattr(protocol, "scope")
        assert app.scopes == []
        assert client.transport.written.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("vanishes", {"type": "websocket.disconnect", "code": 1005}),
        ("closes without a code", {"type": "websocket.disconnect", "code": 1005, "reason": ""}),
        ("closes with 4001", {"type": "websocket.disconnect", "code": 4001, "reason": "ok"}),
        ("is shut down", {"type": "websocket.disconnect", "code": 1012}),
    ],
)
def test_a_client_that_vanished_is_told_from_one_that_closed(how: str, told: dict[str, Any]) -> None:
    """`reason` is missing where no close frame came: the conversation relies on it."""

    @dialogue
    async def run() -> None:
        app = Application()
        with Connection(app) as client:
            protocol = client.upgrade()
            await quiet()
            if how == "vanishes":
                protocol.connection_lost(None)
            elif how == "is shut down":
                protocol.shutdown()
            else:
                payload = (4001).to_bytes(2, "big") + b"ok" if "4001" in how else b""
                protocol.data_received(bytes([0x88, 0x80 | len(payload), 0, 0, 0, 0]) + payload)
            await quiet()
            assert app.received == [told]

    run()
