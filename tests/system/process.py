"""Real processes under test: started, waited for by what they print, measured, and always ended.

`Processes` owns every process that it starts; its `close` ends them all, stopped ones too. Its `leave` asks them to end
and lets other tests run meanwhile: a gateway takes half a second. Each process's standard error is kept, and a failing
test shows its tail. Waiting is for a line or for the end, with a deadline; never a sleep.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

ROOT = Path(__file__).parents[2]
START_SECONDS = 30.0
END_SECONDS = 15.0
LINES_KEPT = 20_000
SAMPLE_SECONDS = 0.02


class Process:
    """One running program, and the lines of its standard error."""

    def __init__(self, name: str, arguments: list[str], environment: Mapping[str, str], cwd: Path) -> None:
        self.name = name
        self.test = os.environ.get("PYTEST_CURRENT_TEST", "no test")
        """That started it."""
        self._lines: deque[str] = deque(maxlen=LINES_KEPT)
        self._changed = threading.Condition()
        self._ended = False
        self.popen = subprocess.Popen(
            arguments,
            cwd=cwd,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, name=f"output of {name}", daemon=True)
        self._reader.start()

    def __repr__(self) -> str:
        code = self.popen.poll()
        return f"<{self.name} pid {self.popen.pid} {'running' if code is None else f'ended with {code}'}>"

    def _read(self) -> None:
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            with self._changed:
                self._lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def output(self) -> list[str]:
        """What it printed so far (the last LINES_KEPT lines)."""
        with self._changed:
            return list(self._lines)

    def wait_line(self, *needles: str, seconds: float = START_SECONDS) -> str:
        """The first line that contains any of `needles`, waiting for it."""

        def found() -> str | None:
            return next((line for line in self._lines if any(needle in line for needle in needles)), None)

        with self._changed:
            self._changed.wait_for(lambda: found() is not None or self._ended, seconds)
            if (line := found()) is None:
                tail = "\n".join(self._lines)
                raise AssertionError(f"{self!r} printed none of {needles} within {seconds} s:\n{tail}")
            return line

    def wait_port(self, port: int, seconds: float = START_SECONDS, *, host: str = "127.0.0.1") -> None:
        """Until it accepts connections there, for a program whose line comes earlier than that."""

        def open_now() -> bool:
            assert self.popen.poll() is None, f"{self!r} ended:\n" + "\n".join(self.output())
            with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
                return probe.connect_ex((host, port)) == 0

        wait_until(open_now, seconds, f"{self.name} listens on {port}")

    def signal(self, number: signal.Signals) -> None:
        """Signal it and all its children."""
        os.killpg(self.popen.pid, number)

    def ask_to_stop(self) -> None:
        """SIGTERM, after SIGCONT: a frozen process takes no other signal."""
        if self.popen.poll() is None:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)

    def stop(self) -> int:
        """Ask it to stop; its exit status. SIGKILL and a failure after a deadline."""
        self.ask_to_stop()
        return self.wait_end()

    def kill(self) -> None:
        if self.popen.poll() is None:
            self.signal(signal.SIGKILL)
        self.wait_end()

    def wait_end(self, seconds: float = END_SECONDS) -> int:
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
            self.popen.wait()
            raise AssertionError(f"{self.name} had not ended after {seconds} s") from None
        finally:
            self._reader.join(1)
            if self.popen.stdout is not None and not self._reader.is_alive():
                self.popen.stdout.close()

    def rss_bytes(self) -> int:
        """Resident memory, with its children's."""
        process = psutil.Process(self.popen.pid)
        total = process.memory_info().rss
        for child in process.children(recursive=True):
            try:
                total += child.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        return int(total)


class Leaving:
    """Processes that were asked to end, and do so while other tests run.

    One that does not fails a later test; the failure names the test that started it.
    """

    def __init__(self) -> None:
        self._until: dict[Process, float] = {}

    def add(self, process: Process) -> None:
        """It was asked to end, and has `END_SECONDS` for it."""
        self._until[process] = time.monotonic() + END_SECONDS

    def look(self) -> None:
        """Forget those that have ended. Raises AssertionError for one that is late, and ends it."""
        now = time.monotonic()
        for process, until in list(self._until.items()):
            if process.popen.poll() is not None or now >= until:
                self._end(process, 0)

    def wait(self) -> None:
        """Until all have ended. Raises AssertionError for one that is late, and ends it."""
        while self._until:
            process, until = next(iter(self._until.items()))
            self._end(process, until - time.monotonic())

    def _end(self, process: Process, seconds: float) -> None:
        del self._until[process]
        try:
            process.wait_end(max(0.0, seconds))
        except AssertionError:
            lines = "\n".join(process.output())
            raise AssertionError(f"{process.name} of {process.test} did not end in {END_SECONDS} s:\n{lines}") from None


LEAVING = Leaving()


class Processes:
    """Starts processes and ends every one of them."""

    def __init__(self) -> None:
        self.all: list[Process] = []

    def start(
        self, name: str, arguments: list[str], environment: Mapping[str, str] | None = None, cwd: Path = ROOT
    ) -> Process:
        process = Process(name, arguments, environment or {}, cwd)
        self.all.append(process)
        return process

    def python(self, name: str, module: str, *arguments: str, cwd: Path = ROOT, **environment: str) -> Process:
        """`python -m module arguments`, with the interpreter of the tests; a module in `cwd` comes first."""
        return self.start(name, [sys.executable, "-m", module, *arguments], environment, cwd)

    def leave(self) -> None:
        """Ask all to end, and wait for none: `LEAVING` does. Idempotent."""
        for process in self.all:
            process.ask_to_stop()
            LEAVING.add(process)
        self.all.clear()
        LEAVING.look()

    def close(self) -> None:
        """End all at once: none waits for another. Idempotent."""
        for process in self.all:
            process.ask_to_stop()
        failures: list[AssertionError] = []
        for process in self.all:
            try:
                process.wait_end()
            except AssertionError as error:
                failures.append(error)
        self.all.clear()
        if failures:
            raise failures[0]


class Memory:
    """The most that some processes grew by, over a `with` block: `Memory(gateway, agent)`."""

    def __init__(self, *processes: Process) -> None:
        self._processes = processes
        self._before = {process.name: process.rss_bytes() for process in processes}
        self._most = dict(self._before)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory", daemon=True)

    def _sample(self) -> None:
        for process in self._processes:
            self._most[process.name] = max(self._most[process.name], process.rss_bytes())

    def _watch(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            self._sample()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if error is None:
            self._sample()

    def growth_mib(self) -> dict[str, float]:
        """By process: its peak over its beginning, in MiB."""
        return {name: round((self._most[name] - before) / 2**20, 1) for name, before in self._before.items()}

    def assert_below(self, limit_mib: float) -> None:
        grown = self.growth_mib()
        print(f"grown by {grown} MiB")  # with -rA: what there is to spare
        assert all(size < limit_mib for size in grown.values()), f"limit {limit_mib} MiB, grown by {grown}"


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> float:
    """Ask until `condition()` is true, for things that send no event; the seconds it took."""
    begun = time.monotonic()
    pause = threading.Event()
    while not condition():
        if time.monotonic() - begun > seconds:
            raise AssertionError(f"not within {seconds} s: {what}")
        pause.wait(SAMPLE_SECONDS)
    return time.monotonic() - begun
