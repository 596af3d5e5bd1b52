"""Applications that people publish from their machine, used in a real browser (Debian's Chromium, headless).

A gateway without a file, `tunnel-agent http` with nothing but a port and a host, and the application as it is: with no
setting that says that it is published. Skipped, with the reason, where Chromium, Node or the packages cannot be had.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.applications import from_npm, node
from tests.system.conftest import add_outputs, all_ended, owned
from tests.system.harness import LOOPBACK, free_port
from tests.system.process import Process, Processes
from tests.system.publishing import address

__all__ = ["all_ended"]  # the fixture

HERE = Path(__file__).parent
DOMAIN = "dev.example.test"

Publish = Callable[[str, int], str]
Visit = Callable[..., Process]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder starts real processes, and takes seconds."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("system")
            item.add_marker("slow")
            item.add_marker(pytest.mark.timeout(600))  # npm may have to install


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Beside a failure stand the last lines of every process."""
    outcome = yield
    if item.path.is_relative_to(HERE):
        add_outputs(outcome.get_result())  # type: ignore[attr-defined]


@pytest.fixture
def processes(all_ended: None) -> Iterator[Processes]:
    yield from owned()


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of the browser."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("Chromium is not installed: no such program on PATH (on Debian: apt-get install chromium)")
    return program


@pytest.fixture(scope="session")
def pages() -> Path:
    """The folder of the scripts, with their packages."""
    node()
    return from_npm(HERE / "pages")


@pytest.fixture
def publish(processes: Processes, tmp_path: Path) -> Publish:
    """Publishes a port of this machine below `DOMAIN`; returns its address."""
    port = free_port()
    token, home = tmp_path / "token", tmp_path / "home"
    home.mkdir()
    grant = ("--agent-token-file", str(token), "--publish-host", f"*.{DOMAIN}")
    processes.python("gateway", "app", "--port", str(port), *grant).wait_line(" ready: ")

    def go(name: str, service: int) -> str:
        command = ("http", str(service), "--host", f"{name}.{DOMAIN}", "--gateway", f"http://{LOOPBACK}:{port}")
        agent = processes.python(
            "publisher", "tunnel.agent", *command, "--token-file", str(token), HOME=str(home), XDG_CONFIG_HOME=str(home)
        )
        return address(agent, service)

    return go


@pytest.fixture
def visit(processes: Processes, chromium: str, pages: Path) -> Visit:
    """Starts a script of `pages/` on an address."""

    def go(script: str, url: str) -> Process:
        return processes.start(script, [node(), str(pages / script), url], {"CHROMIUM": chromium})

    return go


@pytest.fixture
def serve(processes: Processes, pages: Path) -> Callable[[str], int]:
    """Starts a server of `pages/`; returns its port."""

    def go(script: str) -> int:
        port = free_port()
        processes.start(script, [node(), str(pages / script), str(port)]).wait_port(port)
        return port

    return go
