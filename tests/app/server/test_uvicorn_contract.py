"""What `app/serve.py`, the protocols and the channels use of uvicorn, by name and by what it does.

Most of it is not uvicorn's public interface, so one minor release at a time is let in, and the next one has to pass
here first. The names are read from our own sources: one that is used and not listed fails, as does one that uvicorn
no longer has. What the protocols do is in test_uvicorn_behaviour.py.
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

from app.serve import AdminServer, GatewayServer
from app.server.uvicorn_http import GatewayHttp
from app.server.websocket import GatewayWebSocket
from tests.app.server.uvicorn_connection import Application, Connection, config
from tests.fakes.loop import dialogue, quiet

ROOT = Path(__file__).parents[3]
MINOR = "0.54."

ADMIN_SERVER = {
    "config.lifespan_class", "config.load", "lifespan", "main_loop", "should_exit", "shutdown",
    "startup",
}  # fmt: skip
GATEWAY_SERVER = {
    "capture_signals", "force_exit", "lifespan.shutdown", "server_state.connections", "servers", "should_exit",
    "shutdown", "startup",
}  # fmt: skip
HTTP = {
    "_should_upgrade", "_should_upgrade_to_ws", "_unset_keepalive_if_required", "connection_lost",
    "connection_made", "cycle.response_started", "data_received", "eof_received", "expect_100_continue",
    "flow.read_paused",
    "flow.write_paused", "handle_websocket_upgrade", "headers",
    "loop.call_later", "loop.time", "on_header", "on_headers_complete", "on_message_begin", "on_message_complete",
    "parser.feed_data", "parser.get_http_version", "parser.get_method", "parser.set_dangerous_leniencies",
    "parser.should_upgrade", "pipeline", "scheme", "scope", "send_400_response", "transport.abort", "transport.close",
    "transport.is_closing", "transport.write", "url",
}  # fmt: skip
CYCLE = {
    "access_log", "default_headers", "disconnected", "keep_alive", "message_event", "more_body", "on_response",
    "response_complete", "response_started",
}  # fmt: skip
WEBSOCKET = {
    "close_sent", "config.ws_max_size", "config.ws_per_message_deflate", "conn.data_to_send", "conn.handshake_exc",
    "connection_lost",
    "connection_made", "data_received", "handle_connect", "handle_cont", "handle_ping",
    "handshake_complete", "handshake_initiated",
    "keepalive_timeout", "loop", "queue.put_nowait", "read_paused", "receive", "resume_writing", "scope", "send",
    "send_receive_event_to_app", "shutdown", "start_keepalive", "stop_keepalive", "transport.abort", "transport.close",
    "transport.is_closing",
    "transport.pause_reading", "transport.resume_reading", "transport.write", "writable.is_set",
}  # fmt: skip
WIRE = {
    "close_sent", "close_timer", "disconnected", "loop", "read_paused", "transport",
}  # fmt: skip
"""What the channels need of `GatewayWebSocket` that it has from uvicorn (`app/server/wire.py`)."""
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
    trees = [
        tree_of(path)
        for path in (
            "app/serve.py",
            "app/server/uvicorn_http.py",
            "app/server/websocket.py",
        )
    ]
    return [node for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)]


def used_by(definition: ast.ClassDef) -> set[str]:
    """What a class of ours takes or replaces of uvicorn's; `a.b` where it goes on to a part of that."""
    base = CLASSES[definition.name][0]
    inherits = any(ast.unparse(parent).split(".")[-1] == base.__name__ for parent in definition.bases)
    roots = ("self", "super()") if inherits else ("protocol", "self._protocol")
    body = {name for node in definition.body for name in names_of(node)} if inherits else set()
    private = {
        target.attr
        for node in ast.walk(definition)
        for target in targets(node)
        if isinstance(target, ast.Attribute) and target.attr.startswith("_")
    }
    own = {name for name in body | private if not hasattr(base, name)} | {"__init__"}
    found = body
    for node in ast.walk(definition):
        if isinstance(node, ast.Attribute):
            text = ast.unparse(node)
            found |= {
                ".".join(text.removeprefix(f"{root}.").split("[")[0].split(".")[:2])
                for root in roots
                if text.startswith(f"{root}.")
            }
    found = {name for name in found if name.split(".")[0] not in own}
    return {name for name in found if not any(other.startswith(f"{name}.") for other in found)}


def names_of(node: ast.stmt) -> list[str]:
    """What a statement in a class's body defines."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return [node.name]
    return [target.id for target in targets(node) if isinstance(target, ast.Name)]


def targets(node: ast.AST) -> list[ast.expr]:
    """What a statement assigns to."""
    if isinstance(node, ast.Assign):
        return node.targets
    return [node.target] if isinstance(node, ast.AnnAssign | ast.AugAssign) else []


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
    assert used_by(definition) == CLASSES[name][1]


@dialogue
async def test_every_name_exists_on_a_connection():
    app = Application()
    with Connection(app) as client:
        client.send("GET / HTTP/1.1", "Host: h")
        await quiet()
        missing = [name for name in HTTP if not has(client.protocol, name)]
        missing += [name for name in CYCLE if not has(client.protocol.cycle, name)]
        app.go.set()
        await quiet()
    with Connection(Application()) as client:
        protocol = client.upgrade()
        missing += [name for name in WEBSOCKET | WIRE if not has(protocol, name)]
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
