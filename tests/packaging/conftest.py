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
class Distributions:
    """What a release consists of."""

    sdist: Path
    wheel: Path


def build(source: Path, folder: Path, *targets: str) -> list[Path]:
    """Build from the source tree into `folder`; the files, in the order of `targets`."""
    pytest.importorskip("hatchling", reason="hatchling is not installed: it is in the dev extra")
    options = [option for target in targets for option in ("--target", target)]
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder), *options]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    endings = {"sdist": "*.tar.gz", "wheel": "*.whl"}
    return [path for target in targets for path in folder.glob(endings[target])]


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    return Distributions(*build(ROOT, tmp_path_factory.mktemp("dist"), "sdist", "wheel"))


@pytest.fixture(scope="session")
def installed(distributions: Distributions, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with the wheel, its locked requirements, its demo extra, and FastAPI; nothing of the checkout."""
    environment = Environment(tmp_path_factory.mktemp("installed"))
    environment.borrow_locked(ROOT / "requirements.txt")
    environment.borrow("fastapi")
    environment.borrow("python-socketio")
    environment.install(str(distributions.wheel))
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
