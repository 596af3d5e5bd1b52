"""Which worker processes a server was asked for, and which one says that there may be only one."""

import multiprocessing
import signal

import pytest

from app.server import workers


@pytest.mark.parametrize(
    ("arguments", "variable", "number"),
    [
        (["uvicorn", "app.main:app"], None, 1),
        (["uvicorn", "app.main:app", "--workers", "2"], None, 2),
        (["uvicorn", "app.main:app", "--workers=3"], None, 3),
        (["hypercorn", "-w", "4", "app.main:app"], None, 4),
        (["uvicorn", "app.main:app"], "5", 5),
        (["uvicorn", "app.main:app", "--workers", "1"], "5", 1),
        (["uvicorn", "app.main:app", "--workers"], "5", 1),
        (["uvicorn", "app.main:app", "--workers", "many"], None, 1),
        (["uvicorn", "app.main:app"], "many", 1),
    ],
)
def test_how_many_are_asked_for(arguments: list[str], variable: str | None, number: int) -> None:
    assert workers.asked_for(arguments, variable) == number


@pytest.mark.parametrize(
    ("name", "server_takes_sigterm", "speaks"),
    [
        ("SpawnProcess-1", True, True),
        ("SpawnProcess-2", True, False),
        ("SpawnProcess-3", True, False),
        ("SpawnProcess-4", True, True),  # it replaces one of the three
        ("SpawnProcess-2", False, True),  # SIGTERM may have ended the first before it spoke
        ("MainProcess", True, True),
    ],
)
def test_the_first_one_says_why(
    monkeypatch: pytest.MonkeyPatch, name: str, server_takes_sigterm: bool, speaks: bool
) -> None:
    monkeypatch.setattr(multiprocessing.current_process(), "name", name)
    handler = (lambda *_: None) if server_takes_sigterm else signal.SIG_DFL
    before = signal.signal(signal.SIGTERM, handler)
    try:
        assert workers.is_spokesman(3) is speaks
    finally:
        signal.signal(signal.SIGTERM, before)


def test_this_process_is_no_worker() -> None:
    assert not workers.is_worker()
