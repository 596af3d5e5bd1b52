"""The demonstration as a whole: what it says is true, and it ends whenever it is asked to, with all that it started.

Node and npm are stand-ins: nothing is installed.
"""

import json
import signal
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from app.demo.children import END_SECONDS
from tests.system.clients import Answer, RawClient
from tests.system.harness import LOOPBACK
from tests.system.process import ROOT, Process, Processes, wait_until
from tests.system.test_demo_processes import members

CHAT, INDEX = "Chat (Socket.IO):", "Index of what runs:"
HANGS = "[ \"$1\" = ci ] || exit 0; trap '' TERM; sleep 600"
"""An npm that reaches its registry, and then hangs and does not end at SIGTERM."""


class Demo:
    """One that runs, on a machine with a Node and this npm."""

    def __init__(self, processes: Processes, folder: Path, npm: str = HANGS, redirected: str = "") -> None:
        self.folder = folder
        self._program("node", "echo v22.1.0")
        self._program("npm", npm)
        home = folder / "home"
        home.mkdir(exist_ok=True)
        temporary = folder / "temporary"
        temporary.mkdir(exist_ok=True)
        self.temporary = temporary
        self.process: Process = processes.start(
            "demo",
            ["sh", "-c", f'exec "$0" -m app.demo {redirected}', sys.executable],
            {
                "HOME": str(home),
                "TMPDIR": str(temporary),
                "PATH": f"{folder / 'programs'}:/usr/bin:/bin",
                "GATEWAY_CLIENT_PING_INTERVAL": "often",
            },
        )

    def _program(self, name: str, script: str) -> None:
        program = self.folder / "programs" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)

    def url(self, words: str) -> str:
        """The address that is announced with these words."""
        return self.process.wait_line(words).split()[-1]

    def state(self, name: str) -> tuple[str, str]:
        """State and words of an entry, as the index has them."""
        document = json.loads(get(self.url(INDEX) + "demo.json").body)
        entries = {entry["name"]: entry for entry in document["entries"]}
        return (entries[name]["state"], entries[name]["words"]) if name in entries else ("", "")

    def has_state(self, name: str, state: str) -> str:
        """Wait for it; its words then."""
        wait_until(lambda: self.state(name)[0] == state, 30, f"{name} is {state}")
        return self.state(name)[1]

    def group(self) -> int:
        """The process group of all that it started."""
        children = psutil.Process(self.process.popen.pid).children()
        guard: int = next(child.pid for child in children if "guard.py" in str(child.cmdline()))
        return guard

    def ends(self, group: int, status: int = 0) -> None:
        """It ends in time; nothing of it is left."""
        assert self.process.wait_end(END_SECONDS + 5) == status
        wait_until(lambda: members(group) == [], 5, "the whole group has ended")
        wait_until(lambda: list(self.temporary.iterdir()) == [], 5, "its temporary folder is gone")


def get(url: str) -> Answer:
    parts = urlsplit(url)
    assert parts.port is not None
    with RawClient((LOOPBACK, parts.port)) as client:
        client.send(f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode())
        return client.answer()


@contextmanager
def watching(url: str) -> Iterator[RawClient]:
    """A client that has the index open, as a browser has."""
    parts = urlsplit(url)
    assert parts.port is not None
    with RawClient((LOOPBACK, parts.port)) as client:
        client.send(f"GET /events HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
        yield client


def seconds_of(demo: Demo) -> float:
    """How long its end took, as it says."""
    return float(demo.process.wait_line("everything has stopped, after ").split()[-2])


def test_all_its_states_while_npm_hangs_then_ctrl_c(processes: Processes, tmp_path: Path) -> None:
    demo = Demo(processes, tmp_path)
    demo.process.wait_line("GATEWAY_CLIENT_PING_INTERVAL: not used, the demonstration has settings of its own")
    chat = demo.url(CHAT)
    assert get(chat).body == (ROOT / "app" / "demo" / "chat.html").read_bytes()
    page = get(demo.url(INDEX)).body.decode()
    assert f'<a href="{chat}">Chat (Socket.IO)</a><td class="ready">ready' in page
    assert demo.has_state("page kuma", "starting").startswith("npm is downloading and compiling it")

    with watching(demo.url(INDEX)) as events:
        events.read_until(b'class=\\"ready\\">ready')
        pid = int(demo.has_state("chat", "running").split()[-1])
        psutil.Process(pid).kill()
        events.read_until(b'class=\\"down\\">down')
        demo.process.wait_line("chat was ended by SIGKILL: starting it again")
        demo.process.wait_line(
            f"Chat (Socket.IO) is down: chat was ended by SIGKILL. A line will follow when {chat} works again"
        )
        assert demo.url("Chat (Socket.IO) works again: ") == chat
        assert get(chat).status == 200

        group = demo.group()
        demo.process.popen.send_signal(signal.SIGINT)
        demo.ends(group)
    demo.process.wait_line("Ctrl-C: stopping everything")
    killed = [line for line in demo.process.output() if "did not end by itself" in line]
    assert len(killed) <= 1  # npm, with what it started
    assert all("npm did not end" in line for line in killed)
    assert seconds_of(demo) <= END_SECONDS + 2  # the system may be busy


@pytest.mark.slow
def test_the_gateway_is_started_again_at_the_same_address(processes: Processes, tmp_path: Path) -> None:
    demo = Demo(processes, tmp_path, "exit 1")
    chat = demo.url(CHAT)
    psutil.Process(int(demo.has_state("gateway", "running").split()[-1])).kill()
    assert demo.url("Chat (Socket.IO) works again: ") == chat
    assert demo.url("Index of what runs works again: ") == demo.url(INDEX)
    assert demo.has_state("page kuma", "skipped").startswith("npm failed with status 1")
    group = demo.group()
    demo.process.popen.send_signal(signal.SIGTERM)
    demo.ends(group)


def test_a_second_demo_names_the_first_whose_kill_9_leaves_nothing(processes: Processes, tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    first = Demo(processes, tmp_path / "first", "exit 1")
    first_url = first.url(INDEX)
    second = Demo(processes, tmp_path / "second", "exit 1")
    second.process.wait_line("are starting")
    if first_url == "http://demo.localhost:8080/":
        second.process.wait_line(f"another demo is running: {first_url}; this one uses port ")
    group = first.group()
    first.process.popen.kill()
    first.ends(group, -signal.SIGKILL)
    group = second.group()
    second.process.popen.send_signal(signal.SIGHUP)
    second.ends(group)
    second.process.wait_line("the terminal was closed: stopping everything")


@pytest.mark.slow
def test_two_at_the_same_moment_show_each_its_own_pages(processes: Processes, tmp_path: Path) -> None:
    demos = []
    for name in ("first", "second", "third"):
        (tmp_path / name).mkdir()
        demos.append(Demo(processes, tmp_path / name, "exit 1"))
    urls = [demo.url(INDEX) for demo in demos]
    assert len(set(urls)) == 3
    runs = {json.loads(get(url + "demo.json").body)["run"] for url in urls}
    assert len(runs) == 3
    for demo in demos:
        assert get(demo.url(CHAT)).status == 200
        demo.process.popen.send_signal(signal.SIGINT)
    assert [demo.process.wait_end() for demo in demos] == [0, 0, 0]


@pytest.mark.parametrize(
    ("line", "signals"),
    [
        ("are starting", [signal.SIGINT]),
        ("are starting", [signal.SIGTERM, signal.SIGINT]),
        ("ready: http", [signal.SIGINT, signal.SIGINT]),
        ("npm is downloading and compiling it", [signal.SIGINT, signal.SIGINT, signal.SIGINT]),
    ],
    ids=["starting", "starting, twice", "gateway, twice", "npm, three times"],
)
def test_ctrl_c_at_any_moment(processes: Processes, tmp_path: Path, line: str, signals: list[signal.Signals]) -> None:
    demo = Demo(processes, tmp_path)
    demo.process.wait_line(line)
    group = demo.group()
    for number in signals:
        demo.process.popen.send_signal(number)
    demo.ends(group)
    assert "everything has stopped, after " in demo.process.output()[-1]
    assert not any("Traceback" in each for each in demo.process.output())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_before_anything_was_started(processes: Processes, tmp_path: Path, number: signal.Signals) -> None:
    demo = Demo(processes, tmp_path)
    caught = 1 << (signal.SIGTERM - 1)
    status = Path(f"/proc/{demo.process.popen.pid}/status")
    wait_until(
        lambda: bool(int(status.read_text().partition("SigCgt:")[2].split()[0], 16) & caught), 10, "it is Python"
    )
    demo.process.popen.send_signal(number)
    assert demo.process.wait_end() == 0
    assert "stopped" in demo.process.output()[-1]
    assert not any("Traceback" in each for each in demo.process.output())


def test_closed_standard_streams_make_no_difference(processes: Processes, tmp_path: Path) -> None:
    demo = Demo(processes, tmp_path, redirected=">&- 2>&-")
    wait_until(lambda: list(demo.temporary.glob("*/token")) != [], 30, "its gateway has started")
    group = demo.group()
    demo.process.popen.send_signal(signal.SIGINT)
    demo.ends(group)


def test_a_disk_that_takes_nothing(processes: Processes) -> None:
    """A limit of nothing for every file stands for it."""
    demo = processes.start("demo", ["sh", "-c", f'ulimit -f 0; exec "{sys.executable}" -m app.demo'])
    demo.wait_line("no temporary folder can be used (")
    assert demo.wait_end() == 1
    assert demo.output()[-1].endswith("make room, or set TMPDIR to a folder elsewhere")


def test_without_its_guard_it_does_not_go_on(processes: Processes, tmp_path: Path) -> None:
    demo = Demo(processes, tmp_path)
    demo.process.wait_line("npm is downloading and compiling it")
    group = demo.group()
    psutil.Process(group).kill()
    demo.ends(group, 1)
    demo.process.wait_line("the guard process was killed: stopping everything")


@pytest.mark.slow
def test_a_chat_that_ends_again_and_again_is_announced_no_more(processes: Processes, tmp_path: Path) -> None:
    demo = Demo(processes, tmp_path, "exit 1")
    chat = demo.url(CHAT)
    ended: set[int] = set()
    for _ in range(3):
        wait_until(lambda: demo.state("chat")[1] not in {f"process {pid}" for pid in ended}, 30, "another chat")
        pid = int(demo.has_state("chat", "running").split()[-1])
        ended.add(pid)
        psutil.Process(pid).kill()
        wait_until(lambda: demo.state("chat")[0] != "running", 30, "its end is known")
    assert demo.has_state("page chat", "failed") == "chat was ended by SIGKILL"
    demo.process.wait_line("Chat (Socket.IO) is not available: chat was ended by SIGKILL")
    assert get(chat).status == 502
    assert "<td>Chat (Socket.IO)<td" in get(demo.url(INDEX)).body.decode()
    demo.process.popen.send_signal(signal.SIGINT)
    assert demo.process.wait_end() == 0


@pytest.mark.slow
def test_without_python_socketio_the_rest_is_shown(processes: Processes) -> None:
    """As after `pip install tunnel-gateway`, without its extra."""
    run = "from app.demo.__main__ import main; raise SystemExit(main())"
    script = f"import sys; sys.modules['socketio'] = None; {run}"
    demo = processes.start("demo", [sys.executable, "-c", script], {"PATH": ""})
    demo.wait_line(
        "Chat (Socket.IO) is skipped: python-socketio is not installed; `pip install 'tunnel-gateway[demo]'`"
    )
    demo.wait_line("Uptime Kuma is skipped: node and npm not found; Uptime Kuma needs Node.js")
    page = get(demo.wait_line(INDEX).split()[-1]).body.decode()
    assert '<td>Chat (Socket.IO)<td class="skipped">skipped' in page
    demo.popen.send_signal(signal.SIGINT)
    assert demo.wait_end() == 0
