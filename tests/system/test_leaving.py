"""The tests' own processes: one that does not end when it is asked to fails the run, though no test waited for it."""

import sys

import pytest

from tests.system import process
from tests.system.process import Leaving, Process, Processes

WAITS = "import time; print('ready', flush=True); time.sleep(600)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {WAITS}"


def started(processes: Processes, source: str) -> Process:
    program = processes.start("program", [sys.executable, "-c", source])
    program.wait_line("ready")
    return program


def test_one_that_ends_is_forgotten(processes: Processes) -> None:
    leaving, program = Leaving(), started(processes, WAITS)
    program.ask_to_stop()
    leaving.add(program)
    leaving.wait()
    leaving.look()
    assert program.popen.returncode is not None


@pytest.mark.parametrize("ask", [Leaving.look, Leaving.wait])
def test_one_that_does_not_is_told_of_and_ended(processes: Processes, monkeypatch: pytest.MonkeyPatch, ask) -> None:
    leaving, program = Leaving(), started(processes, STUBBORN)
    program.ask_to_stop()
    leaving.add(program)
    leaving.look()  # it has time
    monkeypatch.setattr(process, "END_SECONDS", 0.0)
    leaving.add(program)
    with pytest.raises(AssertionError, match=r"^program of tests/system/test_leaving.py::.* did not end"):
        ask(leaving)
    assert program.popen.returncode is not None
    leaving.wait()
