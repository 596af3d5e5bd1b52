"""The processes of the demonstration end as one, whatever they do and whatever kills whom: real ones, by themselves."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from app.demo.children import END_SECONDS, Children, Needs
from tests.system.process import ROOT, Processes, wait_until

pytestmark = pytest.mark.anyio

GUARD = ROOT / "app" / "demo" / "guard.py"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
STUBBORN = (
    "import subprocess, sys, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    f"subprocess.Popen([sys.executable, '-c', {DEAF!r}])\n"
    "time.sleep(600)"
)
"""Neither it nor its child ends at SIGTERM."""
PARENT = (
    f"import subprocess, sys\nchild = subprocess.Popen([sys.executable, '-c', {DEAF!r}])\nchild.stdout, sys.exit(0)"
)
"""Ends at once; its child stays, and holds its standard output."""

ENDS_SLOWLY = """
import signal, time
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
print("up", flush=True)
signal.sigwait([signal.SIGTERM])
time.sleep({seconds})
with open({file!r}, "a") as ends:
    ends.write("{name} ")
"""
"""Notes its end in a file."""


def members(group: int) -> list[psutil.Process]:
    """What runs in a process group; zombies have ended."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found


def python(source: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", source]


class Lines(list[str]):
    """What a process printed. `more` is set by each line."""

    def __init__(self) -> None:
        super().__init__()
        self.more = asyncio.Event()

    def __call__(self, line: str) -> None:
        self.append(line)
        self.more.set()
        self.more = asyncio.Event()


@pytest.fixture
async def children(tmp_path: Path) -> AsyncIterator[Children]:
    children = Children()
    await children.open(tmp_path)
    try:
        yield children
    finally:
        await children.end()


def guard_of(children: Children) -> int:
    assert children._guard is not None
    return children._guard.pid


async def test_what_ignores_sigterm_ends_too_and_what_it_started(children: Children) -> None:
    lines = Lines()
    await children.start("npm", python(STUBBORN), lines)
    while "deaf" not in lines:
        await lines.more.wait()
    assert len(members(guard_of(children))) == 3
    assert await children.end() == ["npm did not end by itself and was killed"]
    wait_until(lambda: members(guard_of(children)) == [], 5, "the group has ended")
    assert END_SECONDS < 2


async def test_after_a_second_signal_nothing_is_waited_for(children: Children) -> None:
    lines = Lines()
    npm = await children.start("npm", python(DEAF), lines)
    while "deaf" not in lines:
        await lines.more.wait()
    children.hurry()
    assert await children.end() == ["npm did not end by itself and was killed"]
    assert npm.status == -signal.SIGKILL


async def test_an_end_in_order_says_nothing_and_nothing_starts_after_it(children: Children) -> None:
    child = await children.start("chat", python("import time; time.sleep(600)"), Lines())
    assert await children.end() == []
    assert child.status == -signal.SIGTERM
    with pytest.raises(OSError, match="chat is not started"):
        await children.start("chat", python(""), Lines())


async def test_one_that_others_need_ends_after_them(children: Children, tmp_path: Path) -> None:
    ends, lines = tmp_path / "ends", Lines()
    for name, seconds in (("needed", 0.0), ("other", 0.3)):
        source = ENDS_SLOWLY.format(file=str(ends), name=name, seconds=seconds)
        await children.start(name, python(source), lines, Needs(is_last=name == "needed"))
    while lines != ["up", "up"]:
        await lines.more.wait()
    assert await children.end() == []
    assert ends.read_text().split() == ["other", "needed"]


async def test_the_end_of_a_process_is_seen_while_its_child_holds_its_output(children: Children) -> None:
    child = await children.start("npm", python(PARENT), Lines())
    assert await child.wait() == 0
    wait_until(lambda: len(members(guard_of(children))) == 2, 5, "the guard and what npm left")
    await children.end()
    wait_until(lambda: members(guard_of(children)) == [], 5, "the group has ended")


async def test_any_output_is_taken_in_bounded_lines(children: Children) -> None:
    lines = Lines()
    source = "import os; os.write(1, b'\\xff\\0\\x1b[2J' * 100_000 + b'\\nlast')"
    child = await children.start("npm", python(source), lines)
    assert await child.wait() == 0
    assert lines[-1] == "last"
    assert len(lines) > 10
    assert max(map(len, lines)) <= 500
    assert all(line.isprintable() for line in lines)


async def test_a_program_that_is_not_there(children: Children) -> None:
    with pytest.raises(FileNotFoundError):
        await children.start("node", ["/nowhere/node"], Lines())


DEMO = """
import asyncio, sys
from pathlib import Path
from app.demo.children import Children

async def main():
    children = Children()
    guard = await children.open(Path(sys.argv[1]))
    lines = asyncio.Queue()
    await children.start("npm", [sys.executable, "-c", sys.argv[2]], lines.put_nowait)
    await lines.get()
    print("guard", guard.pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def test_after_kill_9_of_the_demo_nothing_is_left(processes: Processes, tmp_path: Path) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    (folder / "token").write_text("secret")
    demo = processes.start("demo", [sys.executable, "-c", DEMO, str(folder), STUBBORN])
    group = int(demo.wait_line("guard ").split()[1])
    assert len(members(group)) == 3
    demo.popen.kill()
    wait_until(lambda: members(group) == [], 10, "the group has ended")
    wait_until(lambda: not folder.exists(), 10, "its folder is gone")


def test_the_guard_ends_no_group_that_is_not_its_own(tmp_path: Path) -> None:
    # If it were wrong, it would end the group of the shell, which is not ours.
    script = f'"{sys.executable}" -I -S "{GUARD}" "{tmp_path}"; echo "status $?"'
    done = subprocess.run(
        ["sh", "-c", script], stdin=subprocess.DEVNULL, capture_output=True, text=True, process_group=0, check=True
    )
    assert done.stdout == "status 2\n"
    assert tmp_path.exists()
