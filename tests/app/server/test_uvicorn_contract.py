"""What `app/serve.py` and `app/server/http.py` use of uvicorn, by name and by what it does.

Not all of it is uvicorn's public interface, so one minor release at a time is let in, and the next one has to pass
here first. The names are read from our own sources: one that is used and not listed fails, as does one that uvicorn
no longer has. Its protocol classes are not used; what `app/asgi/` relies on under plain uvicorn is in
test_uvicorn_behaviour.py.
"""

import ast
import asyncio
import inspect
import operator
import tomllib
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path
from typing import Any, Self
from unittest import mock

import pytest
import uvicorn
from uvicorn.server import ServerState

from app.serve import AdminServer, GatewayServer
from app.server.http import Protocol
from tests.fakes.loop import dialogue

ROOT = Path(__file__).parents[3]
MINOR = "0.54."

IMPORTED = {
    "app/demo/serving.py": {"uvicorn"},
    "app/serve.py": {"uvicorn"},
    "app/server/http.py": {"uvicorn.config.Config", "uvicorn.server.ServerState"},
}
"""All that is imported of it."""
PUBLIC = {"Config", "Server"}
"""What `app/serve.py` takes of the package."""

ADMIN_SERVER = {
    "config.lifespan_class", "config.load", "lifespan", "main_loop", "should_exit", "shutdown",
    "startup",
}  # fmt: skip
GATEWAY_SERVER = {
    "capture_signals", "config.host", "config.port", "force_exit", "lifespan.should_exit", "lifespan.shutdown",
    "lifespan.startup", "lifespan.state", "server_state.connections", "servers", "should_exit", "shutdown", "started",
    "startup",
}  # fmt: skip
SERVERS: dict[str, tuple[type[uvicorn.Server], set[str]]] = {
    "AdminServer": (AdminServer, ADMIN_SERVER),
    "GatewayServer": (GatewayServer, GATEWAY_SERVER),
}

CREATED_WITH = ["config", "server_state", "app_state", "_loop"]
"""The arguments of a protocol class."""
CONFIG = {"loaded_app", "root_path", "timeout_keep_alive", "ws_max_size", "ws_ping_interval", "ws_ping_timeout"}
STATE = {"connections", "tasks", "total_requests"}


def tree_of(path: str) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


def servers() -> list[ast.ClassDef]:
    return [node for node in tree_of("app/serve.py").body if isinstance(node, ast.ClassDef)]


def used_by(definition: ast.ClassDef) -> set[str]:
    """What a server of ours takes or replaces of uvicorn's; `a.b` where it goes on to a part of that."""
    body = {name for node in definition.body for name in names_of(node)}
    private = {
        target.attr
        for node in ast.walk(definition)
        for target in targets(node)
        if isinstance(target, ast.Attribute) and target.attr.startswith("_")
    }
    own = {name for name in body | private if not hasattr(uvicorn.Server, name)} | {"__init__"}
    found = body | parts_of(definition, ("self", "super()"))
    found = {name for name in found if name.split(".")[0] not in own}
    return {name for name in found if not any(other.startswith(f"{name}.") for other in found)}


def parts_of(tree: ast.AST, roots: Iterable[str]) -> set[str]:
    """The attributes that are taken of these names, `a.b` where it goes on to a part of one."""
    texts = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    return {
        ".".join(text.removeprefix(f"{root}.").split("[")[0].split(".")[:2])
        for text in texts
        for root in roots
        if text.startswith(f"{root}.")
    }


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


def imported(tree: ast.AST) -> set[str]:
    """What a source imports of uvicorn."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {item.name for item in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {f"{node.module}.{item.name}" for item in node.names}
    return {name for name in found if name.split(".")[0] == "uvicorn"}


async def nothing(scope: object, receive: object, send: object) -> None:
    """An application that is never called."""


def config(**options: Any) -> uvicorn.Config:
    made = uvicorn.Config(nothing, lifespan="off", log_config=None, access_log=False, **options)
    made.load()
    return made


def has(thing: object, dotted: str) -> bool:
    try:
        operator.attrgetter(dotted)(thing)
    except AttributeError:
        return False
    return True


# --- names


def test_the_installed_uvicorn_is_the_one_that_is_pinned() -> None:
    assert metadata.version("uvicorn").startswith(MINOR)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = [line for line in project["dependencies"] if line.startswith("uvicorn")]
    assert pins == [f"uvicorn[standard]~={MINOR}0"]


def test_nothing_else_of_it_is_imported() -> None:
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "app").rglob("*.py")}
    found = {path: names for path in sources if (names := imported(tree_of(path)))}
    assert found == IMPORTED


def test_every_server_of_ours_is_looked_at() -> None:
    assert {definition.name for definition in servers()} == set(SERVERS)
    for ours, _ in SERVERS.values():
        assert issubclass(ours, uvicorn.Server)


@pytest.mark.parametrize("name", list(SERVERS))
def test_what_a_server_uses_is_listed_here_and_nothing_else(name: str) -> None:
    definition = next(node for node in servers() if node.name == name)
    assert used_by(definition) == SERVERS[name][1]


def test_what_the_door_uses_is_listed_here_and_nothing_else() -> None:
    tree = tree_of("app/server/http.py")
    assert parts_of(tree, ("config",)) == CONFIG
    of_state = parts_of(tree, ("server", "self._server", "server_state"))
    assert of_state | parts_of(tree_of("app/serve.py"), ("self.server_state",)) == STATE
    assert list(inspect.signature(Protocol.__init__).parameters) == ["self", *CREATED_WITH]


def test_what_the_door_uses_exists() -> None:
    made = config(root_path="/x", ws_max_size=7, ws_ping_interval=1.0, ws_ping_timeout=2.0, timeout_keep_alive=3)
    assert [name for name in CONFIG if not has(made, name)] == []
    assert (made.root_path, made.ws_max_size, made.timeout_keep_alive) == ("/x", 7, 3)
    assert (made.ws_ping_interval, made.ws_ping_timeout) == (1.0, 2.0)
    state = ServerState()
    assert (state.connections, state.tasks, state.total_requests) == (set(), set(), 0)


def test_what_serve_imports_and_asks_of_config_exists() -> None:
    parameters = inspect.signature(uvicorn.Config.__init__).parameters
    calls = 0
    for node in ast.walk(tree_of("app/serve.py")):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "uvicorn":
            assert node.attr in PUBLIC
            assert hasattr(uvicorn, node.attr)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "uvicorn.Config":
            calls += 1
            assert {keyword.arg for keyword in node.keywords} <= set(parameters)
    assert calls == 2, "the gateway's and the operator's listener"


def test_the_servers_attributes_exist_and_begin_as_we_take_them() -> None:
    server = uvicorn.Server(config())
    assert (server.should_exit, server.force_exit, server.started) == (False, False, False)
    assert server.server_state.connections == set()
    made = config()
    server.lifespan = made.lifespan_class(made)  # as `serve` does
    server.servers = []  # made while it starts; see the next tests
    assert [name for name in ADMIN_SERVER | GATEWAY_SERVER if not has(server, name)] == []
    assert inspect.iscoroutinefunction(server.main_loop)
    for name in ("startup", "shutdown"):
        assert list(inspect.signature(getattr(server, name)).parameters) == ["sockets"]
        assert inspect.iscoroutinefunction(getattr(server, name))
    assert list(inspect.signature(server.serve).parameters) == ["sockets"]
    assert list(inspect.signature(server.capture_signals).parameters) == []


# --- what a server does with its connections


class Recorded(asyncio.Protocol):
    """A connection: remembers what it was made with. It has nothing that a server may call but `shutdown`."""

    def __init__(self, **given: Any) -> None:
        self.given = given
        self.state: ServerState = given["server_state"]
        self.state.connections.add(self)  # type: ignore[arg-type]
        self.was_shut_down = False

    def shutdown(self) -> None:
        self.was_shut_down = True
        asyncio.get_running_loop().call_later(1.0, self.state.connections.discard, self)


@dialogue
async def test_a_server_makes_its_connections_and_waits_for_them_and_for_tasks_when_it_stops() -> None:
    made = config(http=Recorded)
    server = uvicorn.Server(made)
    server.lifespan = made.lifespan_class(made)
    loop = asyncio.get_running_loop()
    with mock.patch.object(loop, "create_server") as create_server, mock.patch.object(server, "_log_started_message"):
        await server.startup()
    server.servers = []
    connection = create_server.call_args.args[0]()
    assert sorted(connection.given) == sorted(CREATED_WITH)
    assert connection.given["config"] is made
    assert connection.state is server.server_state
    assert connection.given["app_state"] is server.lifespan.state
    task = loop.create_task(asyncio.sleep(3.0))
    server.server_state.tasks.add(task)
    task.add_done_callback(server.server_state.tasks.discard)
    await server.shutdown()
    assert connection.was_shut_down
    assert task.done()
    assert server.server_state.connections == set()


@dialogue
async def test_a_server_ends_after_so_many_requests() -> None:
    server = uvicorn.Server(config(limit_max_requests=2))
    for number, ends in ((1, False), (2, True)):
        server.server_state.total_requests = number
        assert await server.on_tick(1) is ends


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
