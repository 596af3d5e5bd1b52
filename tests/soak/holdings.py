"""What processes hold, seen from outside: descriptors by kind, memory, tasks and objects, the gateway's own gauges.

Compared as multisets, so that a failure names what is left over and not only how much.
"""

import json
import os
import signal
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

import psutil

from tests.soak.watched import MARK
from tests.system.process import ROOT, Process, Processes

MODULES = ("app", "tunnel.agent")
GAUGES = ("websocket_connections_active", "gateway_streams_active", "gateway_held_bytes")
NOTHING_OPEN = dict.fromkeys(GAUGES, 0.0)


class WatchedProcesses(Processes):
    """The product's processes are started so that they can be asked what they hold."""

    def __init__(self, **environment: str) -> None:
        super().__init__()
        self._environment = environment

    def python(self, name: str, module: str, *arguments: str, cwd: Path = ROOT, **environment: str) -> Process:
        if module in MODULES:
            arguments = (module, *arguments)
            module, environment = "tests.soak.watched", {**self._environment, **environment}
        return super().python(name, module, *arguments, cwd=cwd, **environment)


@dataclass
class Holdings:
    """Of one process at one moment."""

    descriptors: Counter[str] = field(default_factory=Counter)
    tasks: Counter[str] = field(default_factory=Counter)
    objects: Counter[str] = field(default_factory=Counter)
    threads: int = 0
    rss_bytes: int = 0

    def beyond(self, earlier: "Holdings") -> dict[str, Mapping[str, int]]:
        """What is held now and was not then; memory apart."""
        more: dict[str, Mapping[str, int]] = {
            "descriptors": self.descriptors - earlier.descriptors,
            "tasks": self.tasks - earlier.tasks,
            "objects": self.objects - earlier.objects,
            "threads": Counter(threads=self.threads) - Counter(threads=earlier.threads),
        }
        return {kind: dict(items) for kind, items in more.items() if items}


def descriptors(process: Process) -> Counter[str]:
    """By kind: `socket`, `pipe`, `anon_inode`, or the path of a file."""
    found: Counter[str] = Counter()
    folder = Path(f"/proc/{process.popen.pid}/fd")
    if not folder.is_dir():  # not Linux: the number has to do
        return Counter(any=psutil.Process(process.popen.pid).num_fds())
    for entry in folder.iterdir():
        try:
            name = str(entry.readlink())
        except FileNotFoundError:  # closed meanwhile
            continue
        if name != os.devnull:  # libuv keeps one in reserve for accept(), from its first stream on
            found[name.partition(":")[0]] += 1
    return found


class Watch:
    """Asks one process again and again."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self._asked = 0

    def look(self) -> Holdings:
        self._asked += 1
        self.process.signal(signal.SIGUSR1)
        line = self.process.wait_line(f"{MARK} {self._asked} ")
        said = json.loads(line.split(" ", 2)[2])
        return Holdings(
            descriptors(self.process),
            Counter(said["tasks"]),
            Counter(said["objects"]),
            said["threads"],
            self.process.rss_bytes(),
        )


def gauges(port: int) -> dict[str, float]:
    """The gateway's: open WebSockets, streams, held bytes, `links` and those that are `ready`."""
    with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    values = {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}
    links = {name: value for name, value in values.items() if name.startswith("gateway_links{")}
    ready = sum(value for name, value in links.items() if '"ready"' in name)
    return {**{name: values[name] for name in GAUGES}, "links": sum(links.values()), "ready": ready}


def peers(process: Process) -> int:
    """Connections of others to this service that are still established."""
    connections = psutil.Process(process.popen.pid).net_connections("tcp")
    return sum(connection.status == psutil.CONN_ESTABLISHED for connection in connections)
