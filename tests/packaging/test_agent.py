"""`pip install tunnel-agent`: the agent by itself, with nothing that only the gateway needs."""

import pytest

from tests.packaging.conftest import Release
from tests.packaging.environment import Environment
from tests.packaging.test_programs import carries, start_agent
from tests.system.harness import Stack
from tests.system.process import ROOT
from tunnel.version import VERSION

pytestmark = pytest.mark.anyio

OF_THE_GATEWAY = ("anyio", "app", "httpx", "prometheus_client", "starlette", "tunnel_gateway", "uvicorn")


@pytest.fixture(scope="module")
def alone(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with the agent's wheel and its locked requirements. pip fails if the lock has one too few."""
    environment = Environment(tmp_path_factory.mktemp("alone"))
    environment.borrow_locked(ROOT / "requirements-agent.txt")
    environment.install("tunnel-agent", "--find-links", str(release.folder))
    return environment


def test_nothing_of_the_gateway_is_there(alone: Environment) -> None:
    find = f"import importlib.util as u; print([name for name in {OF_THE_GATEWAY} if u.find_spec(name)])"
    assert alone.run("python", "-c", find) == "[]"
    assert {path.name for path in (alone.folder / "bin").glob("tunnel-*")} == {"tunnel-agent"}


def test_its_program(alone: Environment) -> None:
    assert alone.run("tunnel-agent", "--version") == f"tunnel-agent {VERSION}"
    assert alone.run("python", "-m", "tunnel.agent", "--version") == f"tunnel-agent {VERSION}"
    assert "--gateway" in alone.run("tunnel-agent", "--help")


def test_every_module_imports_and_none_of_the_gateways_side_with_them(alone: Environment) -> None:
    source = (
        "import importlib, pkgutil, sys, tunnel.agent as agent\n"
        "for module in pkgutil.walk_packages(agent.__path__, 'tunnel.agent.'):\n"
        "    importlib.import_module(module.name)\n"
        "print(*sys.modules)\n"
    )
    names = set(alone.run("python", "-c", source).split())
    assert {"tunnel.agent.runner", "tunnel.agent.yamux.carrier", "tunnel.agent.proxied.carrier"} <= names
    assert [name for name in names if name.startswith("tunnel.gateway")] == []


async def test_it_carries(alone: Environment, stack: Stack) -> None:
    stack.start_gateway()
    agent = start_agent(alone, stack)
    await carries(stack)
    assert agent.stop() == 0
