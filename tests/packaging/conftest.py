"""The distributions are built once for all tests here, without a download: hatchling is in the dev extra."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.packaging.environment import Environment
from tests.system.harness import Stack
from tests.system.process import ROOT, Processes

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder starts real processes."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("system")


@dataclass(frozen=True)
class Distribution:
    """One of the two that a release consists of, built both ways."""

    sdist: Path
    wheel: Path


@dataclass(frozen=True)
class Release:
    """What `make dist` makes, in one folder."""

    folder: Path
    gateway: Distribution
    agent: Distribution


def build(source: Path, folder: Path, *targets: str) -> list[Path]:
    """Build from the source tree into `folder`, where nothing of the same kind is; the files, as `targets`."""
    pytest.importorskip("hatchling", reason="hatchling is not installed: it is in the dev extra")
    options = [option for target in targets for option in ("--target", target)]
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder), *options]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    endings = {"sdist": "*.tar.gz", "wheel": "*.whl"}
    return [path for target in targets for path in folder.glob(endings[target])]


def built(folder: Path, checkout: Path = ROOT) -> Release:
    """Both distributions of a checkout, in `folder`, which has no others."""
    gateway = build(checkout, folder / "of-gateway", "sdist", "wheel")
    agent = build(checkout / "tunnel", folder / "of-agent", "sdist", "wheel")
    moved = [path.rename(folder / path.name) for path in (*gateway, *agent)]
    return Release(folder, Distribution(*moved[:2]), Distribution(*moved[2:]))


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return built(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="session")
def installed(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment of `pip install tunnel-gateway`, with its demo extra and FastAPI; nothing of the checkout."""
    environment = Environment(tmp_path_factory.mktemp("installed"))
    environment.borrow_locked(ROOT / "requirements.txt")
    environment.borrow("fastapi")
    environment.borrow("python-socketio")
    environment.install("tunnel-gateway", "--find-links", str(release.folder))
    return environment


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def processes() -> Iterator[Processes]:
    processes = Processes()
    try:
        yield processes
    finally:
        processes.close()


@pytest.fixture
def stack(processes: Processes, tmp_path: Path) -> Stack:
    """Two services and their gateway.toml; its gateway and its agent are for the test to start."""
    stack = Stack(tmp_path, processes)
    stack.add_program("plain", "tests.services.plain")
    stack.add_program("ws", "tests.services.websocket")
    return stack
