"""The demonstration of several nodes: real ones with a real NATS server, ended and frozen as people would."""

import json
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from app.demo.children import END_SECONDS
from tests.system.process import ROOT, Process, Processes, wait_until
from tests.system.test_demo import get
from tests.system.test_demo_processes import members

NODES = ("node-1", "node-2", "node-3")


class ClusterDemo:
    """One that runs."""

    def __init__(self, processes: Processes, folder: Path) -> None:
        self.temporary = folder
        command = [sys.executable, "-m", "app.demo", "--cluster"]
        self.process: Process = processes.start("demo", command, {"TMPDIR": str(folder)})

    def url(self, page: str, node: str) -> str:
        """The address that is announced."""
        return self.process.wait_line(f"{page} through {node}: ").split()[-1]

    def pid(self, name: str) -> int:
        """As the line says that ends it."""
        line = next(line for line in self.process.output() if "kill -9 " in line and line.split()[-1] == name)
        return int(line.split()[-2])

    def group(self) -> int:
        """The process group of all that it started."""
        children = psutil.Process(self.process.popen.pid).children()
        guard: int = next(child.pid for child in children if "guard.py" in str(child.cmdline()))
        return guard

    def ends(self, group: int) -> None:
        """It ends in time; nothing of it is left."""
        assert self.process.wait_end(END_SECONDS + 5) == 0
        wait_until(lambda: members(group) == [], 5, "the whole group has ended")
        wait_until(lambda: list(self.temporary.iterdir()) == [], 5, "its temporary folder is gone")
        assert not any("Traceback" in line for line in self.process.output())


def test_every_node_serves_every_page_and_goes_on_without_another(processes: Processes, tmp_path: Path) -> None:
    demo = ClusterDemo(processes, tmp_path)
    chats = {node: demo.url("Chat", node) for node in NODES}
    indexes = {node: demo.url("Index", node) for node in NODES}
    assert len({urlsplit(url).port for url in (*chats.values(), *indexes.values())}) == 3
    page = (ROOT / "app" / "demo" / "chat.html").read_bytes()
    assert all(get(url).body == page for url in chats.values())
    follow = demo.process.wait_line(" nodes --follow ").partition("in the folder of the demo: ")[2]
    words = [word for word in shlex.split(follow) if word != "--follow"]

    def nodes() -> set[tuple[str, str, int]]:
        asked = subprocess.run([*words, "--json"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        return {(row["name"], row["state"], row["links"]) for row in json.loads(asked)["nodes"]}

    known = {("node-1", "live", 1), ("node-2", "live", 1), ("node-3", "connected", 0)}
    wait_until(lambda: nodes() == known, 30, "both agents are there, and known at node 3")
    document = json.loads(get(indexes["node-3"] + "demo.json").body)
    assert {entry["state"] for entry in document["entries"]} == {"running", "ready"}

    psutil.Process(demo.pid("node-1")).kill()
    demo.process.wait_line("node-1 was ended by SIGKILL: starting it again in 20 s")
    demo.process.wait_line("every page works through node-2 and node-3")
    assert get(chats["node-3"]).body == page
    psutil.Process(demo.pid("nats")).kill()
    demo.process.wait_line("nats was ended by SIGKILL: starting it again in 20 s")
    assert get(chats["node-3"]).body == page
    demo.process.popen.send_signal(signal.SIGINT)
    demo.ends(demo.group())
    assert not any("did not end by itself" in line for line in demo.process.output())


@pytest.mark.slow
def test_a_frozen_node_is_seen_and_so_is_its_return(processes: Processes, tmp_path: Path) -> None:
    demo = ClusterDemo(processes, tmp_path)
    demo.process.wait_line(" nodes --follow ")
    frozen = psutil.Process(demo.pid("node-2"))
    frozen.suspend()
    demo.process.wait_line("Chat through node-2 is down: no answer within 2 s")
    assert get(demo.url("Chat", "node-3")).status == 200
    frozen.resume()
    demo.process.wait_line("Chat through node-2 works again: ")
    frozen.suspend()
    group = demo.group()
    demo.process.popen.send_signal(signal.SIGINT)
    demo.ends(group)
    demo.process.wait_line("node-2 did not end by itself and was killed")


@pytest.mark.slow
def test_what_ended_is_started_again(processes: Processes, tmp_path: Path) -> None:
    demo = ClusterDemo(processes, tmp_path)
    demo.process.wait_line(" nodes --follow ")
    for name in ("node-1", "nats"):
        psutil.Process(demo.pid(name)).kill()
    demo.process.wait_line("nats runs again: kill -9 ", seconds=60)
    demo.process.wait_line("Index through node-1 works again: ", seconds=60)
    group = demo.group()
    demo.process.popen.send_signal(signal.SIGTERM)
    demo.ends(group)


@pytest.mark.slow
@pytest.mark.parametrize("line", ["are starting", "ready: http", "Index through "])
def test_ctrl_c_at_any_moment(processes: Processes, tmp_path: Path, line: str) -> None:
    demo = ClusterDemo(processes, tmp_path)
    demo.process.wait_line(line)
    group = demo.group()
    demo.process.popen.send_signal(signal.SIGINT)
    demo.ends(group)


def test_without_nats_it_says_what_to_install(processes: Processes, tmp_path: Path) -> None:
    run = "from app.demo.__main__ import main; raise SystemExit(main())"
    script = f"import sys; sys.modules['nats'] = None; sys.argv.append('--cluster'); {run}"
    demo = processes.start("demo", [sys.executable, "-c", script], {"TMPDIR": str(tmp_path)})
    demo.wait_line("nats-py is not installed; `pip install 'tunnel-gateway[cluster,demo]'` brings it")
    assert demo.wait_end() == 1


def test_an_option_that_it_does_not_have_is_refused(processes: Processes) -> None:
    demo = processes.start("demo", [sys.executable, "-m", "app.demo", "--nodes"])
    demo.wait_line("unrecognized arguments: --nodes")
    assert demo.wait_end() == 2
