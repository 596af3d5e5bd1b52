"""Whether all nodes have the same routes in their files, as the hashes in their beats say.

Each node serves the routes of its own file, so a difference means that a request gets another answer on another node.
While a file is rolled out nodes differ for a moment: it is told once it has lasted, once for each change, and once when
it is over. Hashes of other builds are not compared, since another release may read more of a file than this one.
Gets the time with each call.
"""

import hashlib
import logging
from collections.abc import Iterable
from typing import Final

import msgspec

from ..observed.events import EventKind, Events
from ..observed.record import printable
from ..rules.routes import Route
from .beats import Beat
from .presence import Beats, Presence

logger = logging.getLogger("gateway.cluster")

LASTING_SECONDS: Final = 10.0


class Differences:
    """Those of one node from all others."""

    def __init__(self, presence: Presence, events: Events) -> None:
        self.nodes: dict[str, str] = {}
        """The nodes that differ, and their names for people."""
        self._presence = presence
        self._events = events
        self._seen: dict[str, tuple[str, str]] = {}  # by node: both hashes
        self._since = 0.0
        self._told: dict[str, tuple[str, str]] = {}

    def look(self, own: Beat, now: float) -> None:
        """Compare what this node says of itself with what the others have said. About once a second."""
        found = {}
        self.nodes = {}
        for peer in self._presence:
            beat = peer.beat
            if beat is None or peer.beats is not Beats.COME or not beat.files or beat.build != own.build:
                continue
            if beat.files != own.files:
                found[peer.node] = (own.files, beat.files)
                self.nodes[peer.node] = printable(beat.name)
        if found != self._seen:
            self._seen, self._since = found, now
        elif found != self._told and now - self._since >= LASTING_SECONDS:
            self._tell(found)

    def sentences(self) -> list[str]:
        """One for each node that differs."""
        return [
            f"the file routes of node {node} ({name}) are not those of this node; give all nodes the same gateway.toml"
            for node, name in sorted(self.nodes.items())
        ]

    def _tell(self, found: dict[str, tuple[str, str]]) -> None:
        self._told = found
        if not found:
            logger.info("all nodes have the same routes in their files again")
            self._events.emit(EventKind.FILES_AGREE, "all nodes have the same routes in their files again")
            return
        names = ", ".join(f"{node} ({name})" for node, name in sorted(self.nodes.items()))
        text = f"the routes in this node's file are not those of other nodes: {names}"
        logger.warning("the routes in this node's file are not those of other nodes: %.500s; give all nodes the same "
                       "gateway.toml", names)  # fmt: skip
        self._events.emit(EventKind.FILES_DIFFER, text, level="warning")

    def __repr__(self) -> str:
        return f"<Differences, {len(self.nodes)} nodes>"


def files_hash(routes: Iterable[Route]) -> str:
    """A short hash of routes, whatever their order: equal where nodes of one build serve the same."""
    total = 0
    for route in routes:
        told = msgspec.json.encode((route.host, route.path, route.target, route.policy), order="deterministic")
        total += int.from_bytes(hashlib.blake2b(told, digest_size=8).digest())
    return f"{total % 2**64:016x}"
