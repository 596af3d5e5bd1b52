"""Beside a failed run stand the last lines of every process."""

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.soak.conftest import add_outputs
from tests.soak.holdings import WatchedProcesses

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """Where the product's processes put temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


@pytest.fixture
def processes(temporary: Path) -> Iterator[WatchedProcesses]:
    processes = WatchedProcesses(TMPDIR=str(temporary))
    try:
        yield processes
    finally:
        processes.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.CallInfo[None], None]:
    outcome = yield
    if item.path.is_relative_to(HERE):
        add_outputs(item, outcome.get_result())  # type: ignore[attr-defined]
