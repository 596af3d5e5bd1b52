"""The processes of an upgrade, and the source of the recorded version out of the repository's own history."""

import io
import shutil
import subprocess
import zipfile
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.system.conftest import TAIL_LINES, all_ended, owned
from tests.system.process import ROOT, Processes

__all__ = ["all_ended"]  # the fixture

COMMIT = "2fb60dadb4e85e176d55cfe20e373e2f013a2e76"
HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def processes(all_ended: None) -> Iterator[Processes]:
    yield from owned()


@dataclass(frozen=True)
class OldSource:
    """A folder with `app` and `tunnel` of the recorded commit; None where it cannot be had, and why."""

    folder: Path | None
    reason: str = ""

    def needed(self) -> Path:
        """The folder. Skips the test without one."""
        if self.folder is None:
            pytest.skip(self.reason)
        return self.folder


@pytest.fixture(scope="session")
def old_source(tmp_path_factory: pytest.TempPathFactory) -> OldSource:
    git = shutil.which("git")
    if git is None:
        return OldSource(None, "git is not installed, so the recorded version's source cannot be had")
    command = [git, "archive", "--format=zip", COMMIT, "app", "tunnel"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if done.returncode != 0:
        reason = done.stderr.decode(errors="replace").strip()
        return OldSource(None, f"this checkout's history does not hold commit {COMMIT[:7]}: {reason}")
    folder = tmp_path_factory.mktemp("old-source")
    zipfile.ZipFile(io.BytesIO(done.stdout)).extractall(folder)
    return OldSource(folder)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.CallInfo[None], None]:
    """Beside a failure stand the last lines of its stack's processes."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    stack = getattr(item, "funcargs", {}).get("stack")
    if report.failed and item.path.is_relative_to(HERE) and stack is not None:
        for process in (stack.gateway, stack.agent):
            report.sections.append((f"output of {process!r}", "\n".join(process.output()[-TAIL_LINES:])))
