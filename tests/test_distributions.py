"""Each distribution requires what its own sources import, so that it works where the other one is not installed.

The agent's sources are those that `tunnel/agent/` reaches by imports, around whatever corners, in functions too.
"""

import ast
import functools
import re
import sys
import tomllib
from pathlib import Path

from tests.test_imports import imported, module_of, reachable, read, sources

ROOT = Path(__file__).parents[1]
OF_TYPE_CHECKERS = {"typing_extensions"}
"""Imported under TYPE_CHECKING alone: type checkers know it, installed or not."""
OF_EXTRAS = {"nats", "socketio"}


def required(project: str) -> set[str]:
    """What a pyproject.toml requires, as the names that it is imported by."""
    listed = tomllib.loads((ROOT / project).read_text(encoding="utf-8"))["project"]["dependencies"]
    return {re.split(r"[^\w-]", line)[0].replace("-", "_") for line in listed}


@functools.cache
def imports_of(path: str) -> set[str]:
    return imported(ast.parse(read(path)), path)


def of_others(paths: set[str]) -> set[str]:
    """The packages that these files import and that are neither Python's nor ours."""
    names = {name.partition(".")[0] for path in paths for name in imports_of(path)}
    return names - sys.stdlib_module_names - {"app", "tunnel"} - OF_TYPE_CHECKERS - OF_EXTRAS


def reached_from(start: str) -> set[str]:
    """The files of `tunnel/` that those of a folder import, and the folder's own."""
    paths = {module_of(path): path for path in sources("tunnel")}
    arrows = {path: {paths[name] for name in imports_of(path) if name in paths} for path in paths.values()}
    own = {path for path in arrows if path.startswith(start)}
    return own.union(*(reachable(path, arrows) for path in own))


def test_the_agent_reaches_nothing_of_the_gateway():
    found = reached_from("tunnel/agent/")
    assert {"tunnel/agent/runner.py", "tunnel/yamux/session.py", "tunnel/errors.py"} <= found
    assert [path for path in found if path.startswith("tunnel/gateway/")] == []


def test_the_agent_requires_what_it_imports():
    assert of_others(reached_from("tunnel/agent/")) <= required("tunnel/pyproject.toml")


def test_the_gateway_requires_what_it_imports():
    """Directly; for the rest of `tunnel/` it requires the agent's distribution."""
    own = {path for path in sources("app", "tunnel") if path.startswith(("app/", "tunnel/gateway/"))}
    assert of_others(own) <= required("pyproject.toml")
    rest = reached_from("tunnel/gateway/") - own
    assert of_others(rest) <= required("tunnel/pyproject.toml")
    assert "tunnel_agent" in required("pyproject.toml")


def test_what_only_the_gateway_needs_is_the_gateways():
    servers = {"anyio", "httpx", "prometheus_client", "starlette", "uvicorn"}
    assert servers & required("tunnel/pyproject.toml") == set()
    assert servers & of_others(reached_from("tunnel/agent/")) == set()
