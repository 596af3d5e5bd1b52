"""The way to one node's listener for its peers, which can be cut for some of them and not for others.

All nodes are on one machine and have one address, so who dials is found by the port that the connection comes from.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

import psutil

from tests.system.process import Process
from tests.system.relay import Relay
from tunnel.override import override

Running = Callable[[], Mapping[str, Process]]
"""The gateways' processes, by the names of their nodes."""


class PeerRelay(Relay):
    """See the module. `Relay.cut` has no effect here."""

    def __init__(self, target: int, running: Running) -> None:
        super().__init__(target)
        self._running = running
        self._ways: defaultdict[str, asyncio.Event] = defaultdict(_open)

    def cut_from(self, names: Iterable[str]) -> None:
        """Forward nothing for what these nodes dial, and keep every socket open."""
        self._act(lambda: [self._ways[name].clear() for name in names])

    def heal_for(self, names: Iterable[str]) -> None:
        """Forward again."""
        self._act(lambda: [self._ways[name].set() for name in names])

    @override
    def way_of(self, writer: asyncio.StreamWriter) -> asyncio.Event:
        return self._ways[owner_of(writer.get_extra_info("peername")[1], self._running())]


def _open() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


def owner_of(port: int, running: Mapping[str, Process]) -> str:
    """The node whose connection comes from this port; empty: nobody's, or no longer."""
    for name, process in running.items():
        try:
            connections = psutil.Process(process.popen.pid).net_connections("tcp")
        except psutil.NoSuchProcess:
            continue
        if any(one.laddr.port == port and one.status != psutil.CONN_LISTEN for one in connections):
            return name
    return ""
