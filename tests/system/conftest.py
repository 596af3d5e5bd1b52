"""Every test here starts real processes: marked `system`, and their output is shown when a test fails."""

import os
import signal
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from functools import partial
from pathlib import Path

import aiohttp
import pytest
import trustme

from tests.system import clients
from tests.system.harness import DIALECT, DIRECT, DOMAIN, UNDER_UVICORN, Service, Stack, free_port
from tests.system.nodes.stack import NodesStack
from tests.system.process import LEAVING, Processes

TAIL_LINES = 60
NODES = int(os.environ.get("SYSTEM_NODES") or "1")
KIND: type[Stack] = Stack if NODES == 1 else type("NodesStack", (NodesStack,), {"count": NODES})
"""Of the stacks that the tests share."""
HERE = Path(__file__).parent
PROCESSES: list[Processes] = []


def pytest_configure() -> None:
    """SIGTERM ends the run as Ctrl-C does: with every process under test ended.

    A run in the background or under nohup ignores some signals. The processes that it tests would inherit that, but not
    a handler.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    hang_up = getattr(signal, "SIGHUP", None)  # Windows has none
    if hang_up is not None and signal.getsignal(hang_up) is signal.SIG_IGN:
        signal.signal(hang_up, lambda _number, _frame: None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder is a system test."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("system")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.CallInfo[None], None]:
    """Beside a failure stand the last lines of every process that the test could have used."""
    outcome = yield
    if item.path.is_relative_to(HERE):
        add_outputs(outcome.get_result())  # type: ignore[attr-defined]


def add_outputs(report: pytest.TestReport) -> None:
    """To the report of a failure: the last lines of every process that is `owned`."""
    for process in (process for processes in PROCESSES if report.failed for process in processes.all):
        if lines := process.output()[-TAIL_LINES:]:
            report.sections.append((f"output of {process!r}", "\n".join(lines)))


def owned() -> Iterator[Processes]:
    """Processes that end with the fixture, whatever happens."""
    processes = Processes()
    PROCESSES.append(processes)
    try:
        yield processes
    finally:
        PROCESSES.remove(processes)
        processes.leave()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def all_ended() -> Iterator[None]:
    """Below every fixture that owns processes."""
    yield
    LEAVING.wait()


@pytest.fixture(scope="session")
def session_processes(all_ended: None) -> Iterator[Processes]:
    yield from owned()


@pytest.fixture(scope="module")
def module_processes(all_ended: None) -> Iterator[Processes]:
    yield from owned()


@pytest.fixture
def processes(all_ended: None) -> Iterator[Processes]:
    yield from owned()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificate of the test's own authority; beside it `service.pem`, for any service of the tests."""
    folder = tmp_path_factory.mktemp("authority")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    authority.issue_cert(f"*.{DOMAIN}", "inside.test").private_key_and_cert_chain_pem.write_to_path(
        folder / "service.pem"
    )
    return folder / "ca.pem"


def add_services(stack: Stack, authority: Path) -> None:
    """The services most tests need, and routes that lead nowhere in every way."""
    pem = str(authority.with_name("service.pem"))
    inside = {"scheme": "https", "ca_file": str(authority), "server_name": "inside.test"}
    stack.add_program("plain", "tests.services.plain")
    stack.add_program("ws", "tests.services.websocket")
    secure = stack.add_program("secure", "tests.services.plain", "--tls", pem, **inside)
    stack.add_program("wss", "tests.services.websocket", "--tls", pem, **inside)
    stack.add(Service("unverified", secure.port, 443, route={"scheme": "https", "verify": False}))
    stack.add(Service("misnamed", secure.port, 443, route={**inside, "server_name": "other.test"}))
    stack.add(Service("unknown-ca", secure.port, 443, route={"scheme": "https", "server_name": "inside.test"}))
    stack.add(Service("agentless", 1, cluster="c2"))
    stack.add(Service("closed", free_port()))


@pytest.fixture(scope="session")
def stack(session_processes: Processes, authority: Path, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """The stack that is shared by all tests which break nothing."""
    stack = KIND(tmp_path_factory.mktemp("stack"), session_processes)
    add_services(stack, authority)
    return stack.start()


def small_stack(folder: Path, processes: Processes, **settings: str | bool | float) -> Stack:
    """A gateway with these settings, an agent and two services; not yet started."""
    stack = KIND(folder, processes, settings)
    stack.add_program("plain", "tests.services.plain")
    stack.add_program("ws", "tests.services.websocket")
    return stack


@pytest.fixture
def own_stack(processes: Processes, tmp_path: Path) -> Callable[..., Stack]:
    """Makes a stack of the test's own, for tests that break things; not yet started."""
    return partial(small_stack, tmp_path, processes)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with clients.http_client() as session:
        yield session


tunnel_only = pytest.mark.skipif(DIRECT, reason="needs the tunnel itself, not only its services")


def not_over(*dialects: str, because: str) -> pytest.MarkDecorator:
    """For what these dialects' wires cannot do; `test_dialect_limits.py` states what happens instead."""
    return pytest.mark.skipif(DIALECT in dialects, reason=f"not over {DIALECT}: {because}")


def app_only(because: str) -> pytest.MarkDecorator:
    """For what `python -m app` has, and plain uvicorn has not; `docs/operation.md` has the list."""
    return pytest.mark.skipif(UNDER_UVICORN, reason=f"not under plain uvicorn: {because}")
