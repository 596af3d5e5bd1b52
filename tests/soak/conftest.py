"""Beside a failure stand the last lines of every process."""

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.soak.holdings import WatchedProcesses
from tests.soak.watched import MARK

HERE = Path(__file__).parent
TAIL_LINES = 40
AGENT_DEAD_AFTER = "8"
"""Seconds of silence until an agent gives up its gateway: a half-open agent must end within the round."""


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[WatchedProcesses]:
    """Each with a folder of its own for temporary files, which `test_soak` looks into."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    processes = WatchedProcesses(TMPDIR=str(folder), AGENT_DEAD_AFTER=AGENT_DEAD_AFTER)
    try:
        yield processes
    finally:
        processes.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.CallInfo[None], None]:
    outcome = yield
    if item.path.is_relative_to(HERE):
        add_outputs(item, outcome.get_result())  # type: ignore[attr-defined]


def add_outputs(item: pytest.Item, report: pytest.TestReport) -> None:
    """To the report of a failure: what the processes of the test wrote last, but for what they hold."""
    processes = getattr(item, "funcargs", {}).get("processes")
    for process in processes.all if report.failed and processes else ():
        lines = [line for line in process.output() if not line.startswith(MARK)]
        report.sections.append((f"output of {process!r}", "\n".join(lines[-TAIL_LINES:])))
