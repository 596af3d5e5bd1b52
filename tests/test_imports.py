"""The layers import one way only, and no file grows beyond what can be read at once.

Reads every source with `ast`; imports nothing of the product. The last tests turn the checker on made-up
sources: a rule that cannot fail would prove nothing.
"""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINE_LIMIT = 400

_NOT_SANS_IO = {"asyncio", "logging", "multiprocessing", "select", "selectors", "socket", "ssl", "threading", "time"}
_ENVIRONMENT = {"environ", "environb", "getenv", "getenvb", "putenv"}
_MAY_READ_ENVIRONMENT = ("app/settings/", "tunnel/agent/settings.py")

FORBIDDEN = [
    ("tunnel/", {"app", "starlette", "uvicorn"}),
    ("tunnel/agent/", {"tunnel.gateway"}),
    ("tunnel/gateway/", {"tunnel.agent"}),
    ("tunnel/http1/", {"asyncio"}),
    ("tunnel/websocket/", {"asyncio"}),
]
"""Where -> what is never imported there, with all that is below it."""


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
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {"__import__", "importlib.import_module"}:
            names |= {argument.value for argument in node.args if isinstance(argument, ast.Constant)}
    return names


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


def violations(path: str, source: str) -> list[str]:
    """What a file at `path` (from the root, with slashes) breaks; sentences that name the file."""
    tree = ast.parse(source)
    names = imported(tree, path)
    found = [
        f"{path} imports {name}"
        for folder, forbidden in FORBIDDEN
        if path.startswith(folder)
        for name in names
        if any(name == banned or name.startswith(banned + ".") for banned in forbidden)
    ]
    if path.startswith("tunnel/yamux/"):
        own = {"tunnel", "tunnel.yamux"}
        stdlib = sys.stdlib_module_names - _NOT_SANS_IO
        found += [
            f"{path} imports {name}"
            for name in names
            if name not in own and not name.startswith("tunnel.yamux.") and name.split(".")[0] not in stdlib
        ]
        found += [f"{path} has async code" for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef)]
    if path.startswith(("app/", "tunnel/")) and not path.startswith(_MAY_READ_ENVIRONMENT) and reads_environment(tree):
        found.append(f"{path} reads the environment")
    if source.count("\n") > LINE_LIMIT:
        found.append(f"{path} has {source.count(chr(10))} lines")
    return sorted(set(found))


def parsed(path: str) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


def sources() -> list[str]:
    return sorted(
        file.relative_to(ROOT).as_posix()
        for folder in ("app", "tunnel", "tests")
        for file in (ROOT / folder).rglob("*.py")
    )


def test_there_are_sources_in_every_layer():
    found = sources()
    for part in ("app/", "tunnel/yamux/", "tunnel/http1/", "tunnel/websocket/", "tunnel/agent/", "tunnel/gateway/"):
        assert [path for path in found if path.startswith(part)], part
    for part in _MAY_READ_ENVIRONMENT:
        readers = [path for path in found if path.startswith(part) and reads_environment(parsed(path))]
        assert readers, part


@pytest.mark.parametrize("path", sources())
def test_layers(path: str):
    assert violations(path, (ROOT / path).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("tunnel/gateway/link.py", "import app.settings"),
        ("tunnel/gateway/link.py", "from app import settings"),
        ("tunnel/gateway/link.py", "from starlette.routing import Route"),
        ("tunnel/gateway/yamux/carrier.py", "def late():\n    import uvicorn"),
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
        ("tunnel/http1/pool.py", "import asyncio.events"),
        ("tunnel/websocket/frames.py", "from asyncio import Future"),
        ("app/main.py", "import os\nvalue = os.environ['X']"),
        ("app/settings.py", "import os\nvalue = os.environ"),
        ("app/settings_more.py", "import os\nvalue = os.environ"),
        ("tunnel/settings/environment.py", "import os\nvalue = os.environ"),
        ("app/main.py", "import os as system\nvalue = system.getenv('X')"),
        ("tunnel/agent/runner.py", "from os import environ"),
        ("tests/app/test_x.py", "\n" * 401),
    ],
)
def test_the_checker_sees_it(path: str, source: str):
    found = violations(path, source)
    assert found
    assert all(sentence.startswith(path) for sentence in found)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("app/main.py", "import os\nimport tunnel.link\nfrom starlette.routing import Route\nos.urandom(4)"),
        (
            "tunnel/yamux/session.py",
            "from collections import deque\nfrom tunnel.yamux.frames import SYN\nimport struct",
        ),
        ("tunnel/agent/link.py", "import asyncio\nfrom tunnel.yamux import Session\nfrom tunnel import messages"),
        ("tunnel/agent/link.py", "from .values import linked\nimport tunnel.linkage"),
        ("app/settings/environment.py", "import os\nvalue = os.environ"),
        ("tunnel/agent/settings.py", "from os import environ"),
        ("tests/app/test_x.py", "import os\nvalue = os.environ\nimport app, tunnel"),
    ],
)
def test_the_checker_lets_pass(path: str, source: str):
    assert violations(path, source) == []
