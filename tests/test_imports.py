"""The house rules that a reader relies on: who may import whom, no circles, no file too long to read at once.

Reads every source with `ast`; imports nothing of the product. An import for annotations only counts like any other: it
is an arrow that a reader follows. The last tests turn each rule on made-up sources: a rule that cannot fail proves
nothing. `docs/architecture.md` draws what is enforced here.
"""

import ast
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINE_LIMIT = 400

_NOT_SANS_IO = {"asyncio", "logging", "multiprocessing", "select", "selectors", "socket", "ssl", "threading", "time"}
_ENVIRONMENT = {"environ", "environb", "getenv", "getenvb", "putenv"}
_IMPORT_CALLS = {"__import__", "importlib.import_module"}
_MAY_READ_ENVIRONMENT = ("app/settings/", "tunnel/agent/settings.py")
_NAMES_OF = {ast.Name: ("id",), ast.arg: ("arg",), ast.Attribute: ("attr",), ast.alias: ("name", "asname")}
"""The fields of a node that are names."""

FORBIDDEN = [
    ("app/commands/", {"prometheus_client", "starlette", "uvicorn"}),
    ("tunnel/", {"app", "httpx", "prometheus_client", "starlette", "uvicorn"}),
    ("tunnel/agent/", {"tunnel.gateway"}),
    ("tunnel/gateway/", {"tunnel.agent"}),
    ("tunnel/http1/", {"asyncio", "tunnel.agent", "tunnel.gateway", "tunnel.websocket", "tunnel.wire", "tunnel.yamux"}),
    ("tunnel/websocket/", {"asyncio", "tunnel.agent", "tunnel.gateway", "tunnel.http1", "tunnel.wire", "tunnel.yamux"}),
    ("tunnel/wire/", {"asyncio", "tunnel.agent", "tunnel.gateway", "tunnel.http1", "tunnel.websocket", "tunnel.yamux"}),
]
"""Where -> what is never imported there, with all that is below it."""

GROUND = {"account", "errors", "log_lines", "nobody", "override", "port", "slices", "streams", "text", "tls"}
"""The files directly in `tunnel/`: they import each other and nothing else of ours."""

ENTRANCES = ("app/main.py", "app/serve.py", "app/commands/", "app/__main__.py", "app/demo/")
FLOORS = [
    {"rules"},
    {"settings", "observed"},
    {"learned"},
    {"published"},
    {"node"},
    {"agents", "cluster", "operator", "public"},
    {"asgi", "server"},
    {"commands"},
]
"""The rooms of `app/`, lowest first: each imports those below it, never a room beside or above it."""

KNOW_UVICORN = (*ENTRANCES, "app/server/")
KNOW_STARLETTE = (*ENTRANCES, "app/asgi/", "app/operator/", "app/agents/rest")
LATE = "app.cluster.connection"
"""Knows nats, of an extra: imported only inside the function that uses it."""
KNOW_NATS = (LATE.replace(".", "/"),)
KNOW = {"uvicorn": KNOW_UVICORN, "starlette": KNOW_STARLETTE, "nats": KNOW_NATS, "nkeys": KNOW_NATS}

KNOW_SCOPES = (*ENTRANCES, "app/asgi/", "app/server/", "app/operator/", "app/agents/rest")


def module_of(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def imported(tree: ast.AST, path: str) -> set[str]:
    """Absolute names of all that is imported, by whatever form; `from a import b` may mean `a` or `a.b`."""
    package = path.removesuffix(".py").split("/")[:-1]
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names |= {base} | {f"{base}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and is_import_call(node.func):
            names |= {argument.value for argument in node.args if isinstance(argument, ast.Constant)}
    return names


def imported_at_once(tree: ast.AST, path: str) -> set[str]:
    """What is imported as soon as the file is: not inside a function, nor for annotations only."""
    at_once = [node for node in getattr(tree, "body", []) if isinstance(node, ast.Import | ast.ImportFrom)]
    return imported(ast.Module(at_once, []), path)


def is_import_call(called: ast.expr) -> bool:
    names = {"__import__", "import_module"}
    return getattr(called, "id", getattr(called, "attr", "")) in names and ast.unparse(called) in _IMPORT_CALLS


def is_within(name: str, banned: str) -> bool:
    return name == banned or name.startswith(banned + ".")


def reads_environment(tree: ast.AST) -> bool:
    aliases = {"os"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            aliases |= {alias.asname for alias in node.names if alias.name == "os" and alias.asname}
        elif isinstance(node, ast.ImportFrom) and node.module == "os":
            if _ENVIRONMENT & {alias.name for alias in node.names}:
                return True
        elif isinstance(node, ast.Attribute) and node.attr in _ENVIRONMENT and ast.unparse(node.value) in aliases:
            return True
    return False


def names_a_scope(tree: ast.AST) -> bool:
    """An ASGI scope by its usual names, as a variable, an argument, an attribute or an import."""
    for node in ast.walk(tree):
        names = [name for field in _NAMES_OF.get(type(node), ()) if (name := getattr(node, field))]
        if any(name.rpartition(".")[2].strip("_").lower() in {"scope", "asgi_scope"} for name in names):
            return True
    return False


def upward(path: str, names: set[str]) -> list[str]:
    """Imports of a file in `app/` that do not lead down."""
    if not path.startswith("app/") or path.startswith(ENTRANCES):
        return []
    floors = {room: height for height, rooms in enumerate(FLOORS) for room in rooms}
    room = path.split("/")[1]
    found = []
    for name in names:
        parts = name.split(".")
        if parts[0] != "app" or len(parts) < 2 or parts[1] == room:
            continue
        if floors.get(parts[1], len(FLOORS)) >= floors.get(room, -1):
            found.append(f"{path} imports {name}, which is not below it")
    return found


def out_of_place(path: str, tree: ast.AST, names: set[str]) -> list[str]:
    """What only some rooms of `app/` may know."""
    if not path.startswith("app/"):
        return []
    found = [
        f"{path} imports {name}"
        for library, rooms in KNOW.items()
        if not path.startswith(rooms)
        for name in names
        if is_within(name, library)
    ]
    if any(is_within(name, LATE) for name in imported_at_once(tree, path)):
        found.append(f"{path} imports {LATE} at once")
    if not path.startswith(KNOW_SCOPES) and names_a_scope(tree):
        found.append(f"{path} names a scope")
    return found


def not_sans_io(path: str, tree: ast.AST, names: set[str]) -> list[str]:
    """What `tunnel/yamux/` must do without: other packages, clocks, logs, tasks."""
    if not path.startswith("tunnel/yamux/"):
        return []
    stdlib = sys.stdlib_module_names - _NOT_SANS_IO
    found = [
        f"{path} imports {name}"
        for name in names
        if name != "tunnel" and not is_within(name, "tunnel.yamux") and name.split(".")[0] not in stdlib
    ]
    return found + [f"{path} has async code" for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef)]


def violations(path: str, source: str) -> list[str]:
    """What a file at `path` (from the root, with slashes) breaks; sentences that name the file."""
    found = out_of_order(path, ast.parse(source)) if path.startswith(("app/", "tunnel/")) else []
    if source.count("\n") > LINE_LIMIT:
        found.append(f"{path} has {source.count(chr(10))} lines")
    return sorted(set(found))


def out_of_order(path: str, tree: ast.AST) -> list[str]:
    """What a file of the product has, or imports, that its room must not."""
    names = imported(tree, path)
    found = [
        f"{path} imports {name}"
        for folder, forbidden in FORBIDDEN
        if path.startswith(folder)
        for name in names
        if any(is_within(name, banned) for banned in forbidden)
    ]
    if path.startswith("tunnel/") and path.removeprefix("tunnel/").removesuffix(".py") in GROUND:
        found += [
            f"{path} imports {name}"
            for name in names
            if is_within(name, "tunnel") and name != "tunnel" and name.split(".")[1] not in GROUND
        ]
    if path != "tunnel/account.py":
        found += [
            f"{path} counts into the account past a Holding"
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "adjust"
        ]
    found += upward(path, names) + out_of_place(path, tree, names) + not_sans_io(path, tree, names)
    if not path.startswith(_MAY_READ_ENVIRONMENT) and reads_environment(tree):
        found.append(f"{path} reads the environment")
    return found


def circles(sources: Mapping[str, str]) -> list[list[str]]:
    """Files that import each other, directly or around corners: each group sorted, by path."""
    paths = {module_of(path): path for path in sources}
    arrows = {}
    for path, source in sources.items():
        names = imported(ast.parse(source), path)
        # `from a import b` names a and a.b: where a.b is a file, a itself is not meant.
        named = {name for name in names if name in paths}
        meant = {name for name in named if not any(other.startswith(f"{name}.") for other in named)}
        arrows[path] = {paths[name] for name in meant} - {path}
    reached = {path: reachable(path, arrows) for path in sources}
    groups = {tuple(sorted({path, *(to for to in reached[path] if path in reached[to])})) for path in sources}
    return sorted(list(group) for group in groups if len(group) > 1)


def reachable(start: str, arrows: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        for path in arrows[waiting.pop()] - found:
            found.add(path)
            waiting.append(path)
    return found


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def sources(*folders: str) -> list[str]:
    found = sorted(file.relative_to(ROOT).as_posix() for folder in folders for file in (ROOT / folder).rglob("*.py"))
    assert found
    return found


def test_there_are_sources_in_every_room():
    found = sources("app", "tunnel")
    rooms = [f"app/{room}/" for floor in FLOORS for room in floor]
    halls = [f"tunnel/{name}/" for name in ("yamux", "http1", "websocket", "wire", "gateway", "agent")]
    ground = [f"tunnel/{name}.py" for name in GROUND]
    for part in (*rooms, *halls, *ground, *ENTRANCES, "app/agents/rest"):
        assert [path for path in found if path.startswith(part)], part
    for part in _MAY_READ_ENVIRONMENT:
        readers = [path for path in found if path.startswith(part) and reads_environment(ast.parse(read(path)))]
        assert readers, part


def test_every_room_has_its_floor():
    rooms = {path.split("/")[1] for path in sources("app") if path.count("/") > 1}
    assert rooms <= {room for floor in FLOORS for room in floor} | {"demo"}


def test_house_rules():
    found = {path: violations(path, read(path)) for path in sources("app", "tunnel", "tests")}
    assert {path: broken for path, broken in found.items() if broken} == {}


def test_no_files_import_in_a_circle():
    assert circles({path: read(path) for path in sources("app", "tunnel")}) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("tunnel/gateway/link.py", "import app.settings"),
        ("tunnel/gateway/link.py", "from app import settings"),
        ("tunnel/gateway/link.py", "from starlette.routing import Route"),
        ("tunnel/gateway/yamux/carrier.py", "def late():\n    import uvicorn"),
        ("tunnel/agent/link.py", "from prometheus_client import Counter"),
        ("tunnel/gateway/link.py", "import importlib\nimportlib.import_module('app.main')"),
        ("tunnel/yamux/session.py", "import asyncio"),
        ("tunnel/yamux/session.py", "from time import monotonic"),
        ("tunnel/yamux/session.py", "import logging.handlers"),
        ("tunnel/yamux/session.py", "import msgspec"),
        ("tunnel/yamux/session.py", "from tunnel.errors import TunnelError"),
        ("tunnel/yamux/session.py", "from tunnel import port"),
        ("tunnel/yamux/session.py", "from .. import port"),
        ("tunnel/yamux/session.py", "from ..port import Sink"),
        ("tunnel/yamux/session.py", "async def f(): ..."),
        ("tunnel/agent/link.py", "from tunnel.gateway import registry"),
        ("tunnel/agent/link.py", "from tunnel.gateway.link import Link"),
        ("tunnel/agent/link.py", "import tunnel.gateway.yamux as y"),
        ("tunnel/agent/link.py", "from ..gateway import yamux"),
        ("tunnel/gateway/link.py", "from tunnel.agent.log import Quota"),
        ("tunnel/wire/messages.py", "from tunnel.http1 import Pool"),
        ("tunnel/account.py", "from tunnel.yamux import Session"),
        ("tunnel/port.py", "from .wire.messages import Envelope"),
        ("tunnel/http1/pool.py", "import asyncio.events"),
        ("tunnel/http1/pool.py", "from tunnel.yamux import Session"),
        ("tunnel/websocket/frames.py", "from asyncio import Future"),
        ("app/rules/routes.py", "from ..settings import Settings"),
        ("app/rules/routes.py", "from ..public.request import Request"),
        ("app/settings/settings.py", "from ..observed.log import configure"),
        ("app/observed/log.py", "from ..settings import Settings"),
        ("app/learned/routes.py", "from ..node.gateway import Gateway"),
        (
            "app/node/gateway.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..public import records",
        ),
        ("app/public/http_call.py", "from ..agents.socket import AgentSocket"),
        ("app/public/http_call.py", "from ..asgi import types"),
        ("app/agents/endpoints.py", "import app.asgi.types"),
        ("app/asgi/reading.py", "from ..server.http import cut_off"),
        ("app/server/http.py", "from .. import serve"),
        ("app/node/gateway.py", "import uvicorn"),
        ("app/cluster/mirror.py", "from nats.errors import Error"),
        ("app/cluster/engine.py", "def late():\n    import nkeys"),
        ("app/cluster/mirror.py", "from .connection import Connection"),
        ("app/main.py", "from .cluster import connection"),
        ("app/asgi/reading.py", "from uvicorn.config import Config"),
        ("app/server/http.py", "from starlette.types import Scope"),
        ("app/public/routed.py", "from starlette.routing import Route"),
        ("app/agents/socket.py", "import starlette"),
        ("app/public/routed.py", "def carry(scope): ..."),
        ("app/public/routed.py", "from .types import Scope"),
        ("app/node/admission.py", "host = call._scope['host']"),
        ("app/agents/socket.py", "asgi_scope = {}"),
        ("app/public/http_call.py", "self._gateway.account.adjust(1)"),
        ("tunnel/gateway/yamux/carrier.py", "account.adjust(-size)"),
        ("app/main.py", "import os\nvalue = os.environ['X']"),
        ("app/settings.py", "import os\nvalue = os.environ"),
        ("app/settings_more.py", "import os\nvalue = os.environ"),
        ("tunnel/settings/environment.py", "import os\nvalue = os.environ"),
        ("app/main.py", "import os as system\nvalue = system.getenv('X')"),
        ("tunnel/agent/runner.py", "from os import environ"),
        ("tests/app/test_x.py", "\n" * 401),
    ],
)
def test_a_breach_is_seen(path: str, source: str):
    found = violations(path, source)
    assert found
    assert all(sentence.startswith(path) for sentence in found)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("app/main.py", "import os\nimport tunnel.gateway.link\nfrom starlette.routing import Route\nos.urandom(4)"),
        ("app/main.py", "import uvicorn\nfrom .asgi import endpoints\nfrom .server import workers\nscope = {}"),
        (
            "app/asgi/endpoints.py",
            "from starlette.types import Scope\nfrom ..agents import rest\nfrom ..public import routed",
        ),
        (
            "app/public/routed.py",
            "from ..node.gateway import Gateway\nfrom ..rules.routes import Route\nfrom . import records",
        ),
        ("app/agents/rest.py", "from starlette.types import Scope\nfrom ..learned import claims"),
        ("app/learned/claims.py", "from ..settings import Grant\nfrom ..rules import routes"),
        ("app/public/routed.py", "scoped = telescope = 1"),
        (
            "tunnel/yamux/session.py",
            "from collections import deque\nfrom tunnel.yamux.frames import SYN\nimport struct",
        ),
        ("tunnel/agent/link.py", "import asyncio\nfrom tunnel.yamux import Session\nfrom tunnel.wire import messages"),
        ("tunnel/agent/link.py", "from .values import linked\nimport tunnel.gatewayish"),
        ("tunnel/tls.py", "import ssl\nfrom tunnel.streams import ByteStream"),
        ("app/settings/environment.py", "import os\nvalue = os.environ"),
        ("tunnel/agent/settings.py", "from os import environ"),
        ("app/cluster/connection.py", "from nats import errors\nimport nkeys"),
        ("app/cluster/engine.py", "def late():\n    from . import connection\nfrom .requests import LostError"),
        ("tests/app/test_x.py", "import os\nvalue = os.environ\nimport app, tunnel"),
    ],
)
def test_what_is_allowed_passes(path: str, source: str):
    assert violations(path, source) == []


@pytest.mark.parametrize(
    "made_up",
    [
        {"app/a.py": "from .b import X", "app/b.py": "from .a import Y"},
        {"app/a.py": "import app.b", "app/b.py": "def late():\n    from app import a"},
        {
            "app/a.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from app.b import X",
            "app/b.py": "import app.a as other",
        },
        {"app/x/__init__.py": "from .a import A", "app/x/a.py": "from . import B"},
        {"app/x/__init__.py": "from .a import A", "app/x/a.py": "from ..x import B"},
    ],
)
def test_a_circle_is_seen(made_up: dict[str, str]):
    beside = {"app/c.py": "from . import a, b, x", "app/d.py": ""}
    assert circles({**made_up, **beside}) == [sorted(made_up)]


def test_a_circle_around_corners_is_seen():
    ring = {"app/a.py": "from . import b", "app/b.py": "from . import c", "app/c.py": "from . import a"}
    assert circles({**ring, "app/d.py": "from . import a"}) == [["app/a.py", "app/b.py", "app/c.py"]]


def test_a_tree_is_no_circle():
    tree = {
        "app/x/__init__.py": "from .a import A\nfrom .b import B",
        "app/x/a.py": "from . import b",
        "app/x/b.py": "import app.y",
        "app/y.py": "from os import path",
    }
    assert circles(tree) == []
