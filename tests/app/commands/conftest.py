"""A scripted gateway for the clients, and how to run them."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from app.commands import run
from tests.app.commands.scripted import Script, serving


@dataclass(frozen=True, slots=True)
class Ran:
    status: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GATEWAY_URL", "GATEWAY_CONFIG", "GATEWAY_ADMIN_TOKEN", "GATEWAY_ADMIN_TOKEN_FILE", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    with serving() as script:
        monkeypatch.setenv("GATEWAY_URL", script.url)
        yield script


@pytest.fixture
def ran(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command line."""

    def go(*arguments: str) -> Ran:
        status = run(arguments)
        out, err = capsys.readouterr()
        return Ran(status, out, err)

    return go


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes standard output a terminal of so many columns."""

    def make(columns: int) -> None:
        monkeypatch.setattr("app.commands.terminal.is_terminal", lambda: True)
        monkeypatch.setattr("app.commands.terminal.shutil.get_terminal_size", lambda: os.terminal_size((columns, 10)))

    return make
