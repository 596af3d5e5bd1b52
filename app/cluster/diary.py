"""Writes down what becomes of the nodes: events for the operator, and the lines of the log that nobody else writes.

`Presence` knows states and `Dialler` links; this tells each change once, and leaves out what is meant: a node that says
goodbye ends its links, too.

| what is told | when | level |
|---|---|---|
| node_came | a node beats for the first time | info |
| node_gone | it said goodbye; or nothing is heard of it and its peer link is lost, or for 60 s | info; warning |
| node_cut | this node does not hear itself, or stood still; the latter each time | warning |
| node_back | it hears itself again | info |
| nats_away, nats_back | as the engine's state says at a tick; the log has it from the engine | warning, info |
| peer_link_lost | there is no link to a node that stays; the log has it from the dialler | warning |
| peer_link_back | there is one again | info |
"""

import logging
from typing import Final

from ..observed.events import EventKind, Events
from ..observed.record import printable
from .engine import Engine
from .peer.dialler import LinkState
from .peer.dialler import PeerState as Link
from .presence import Beats, OwnState, Peer, PeerState, Presence

logger = logging.getLogger("gateway.cluster")

_STAYS: Final = (PeerState.LIVE, PeerState.SILENT, PeerState.LOST_WAY)


class Diary:
    """Of one node."""

    def __init__(self, events: Events, presence: Presence, engine: Engine) -> None:
        self._events = events
        self._presence = presence
        self._engine = engine
        self._here: dict[str, str] = {}
        """Nodes that came, with what they are called."""
        self._lost: set[str] = set()
        """Nodes whose link is told to be lost."""
        self._is_cut = False
        self._is_away = False

    def peer_changed(self, peer: Peer) -> None:
        """`Directory.on_peer_change`."""
        if peer.state is PeerState.GONE:
            name = self._here.pop(peer.node, None)
            self._lost.discard(peer.node)
            if name is not None:
                self._tell_gone(peer, name)
        elif peer.beats is Beats.COME and peer.beat is not None and peer.node not in self._here:
            name = self._here[peer.node] = named(peer)
            logger.info("node %s has come, at %.200r", name, peer.beat.peer_url)
            self._events.emit(EventKind.NODE_CAME, f"node {name} has come", address=peer.beat.peer_url)

    def _tell_gone(self, peer: Peer, name: str) -> None:
        if peer.beat is not None and peer.beat.bye:
            logger.info("node %s has stopped", name)
            self._events.emit(EventKind.NODE_GONE, f"node {name} has stopped", code="bye")
        else:
            logger.warning("node %s is gone: nothing is heard of it, and its agents' links are forgotten", name)
            self._events.emit(
                EventKind.NODE_GONE, f"node {name} is gone: nothing is heard of it", level="warning", code="silent"
            )

    def own_changed(self, state: OwnState) -> None:
        """`Directory.on_own_change`."""
        if state is OwnState.CONNECTED:
            if self._is_cut:
                self._is_cut = False
                logger.info("this node hears itself through NATS again")
                self._events.emit(EventKind.NODE_BACK, "this node hears itself through NATS again")
            return
        self._is_cut = True
        if state is OwnState.FROZEN:
            text = "this node stood still for more than 2.5 s"
            logger.warning("this node stood still for more than 2.5 s: what it knows of other nodes may be old")
        else:
            is_there = self._engine.connection is not None
            why = "NATS does not bring its own beats" if is_there else "it has no connection to NATS"
            text = f"this node is cut off from the others: {why}"
            logger.warning("this node is cut off from the others: %s; it serves on, and forgets nobody", why)
        self._events.emit(EventKind.NODE_CUT, text, level="warning", code=state.value)

    def link_changed(self, node: str, link: Link) -> None:
        """The dialler's `on_change`; after `Presence.way`, which knows by then whether the node is gone."""
        if link.state is LinkState.UP:
            if node in self._lost:
                self._lost.discard(node)
                self._events.emit(EventKind.PEER_LINK_BACK, f"linked with node {self._called(node)} again")
            return
        peer = self._presence.peer(node)
        is_lost = link.state in (LinkState.LOST, LinkState.REFUSED)
        if is_lost and node not in self._lost and peer is not None and peer.state in _STAYS:
            self._lost.add(node)
            text = f"no link to node {self._called(node)}: {printable(link.why)}"
            self._events.emit(EventKind.PEER_LINK_LOST, text, level="warning", code=link.state.value)

    def tick(self) -> None:
        """Look at the engine. About four times a second."""
        state = self._engine.state
        if state.name == "away" and not self._is_away:
            self._is_away = True
            self._events.emit(EventKind.NATS_AWAY, f"NATS is away: {state.why}", level="warning")
        elif state.name == "connected" and self._is_away:
            self._is_away = False
            self._events.emit(EventKind.NATS_BACK, f"connected to NATS at {state.server}")

    def _called(self, node: str) -> str:
        return self._here.get(node, node)

    def __repr__(self) -> str:
        return f"<Diary, {len(self._here)} nodes are here, {len(self._lost)} links are lost>"


def named(peer: Peer) -> str:
    """A node for people: `abc (gateway-0)`."""
    return f"{peer.node} ({printable(peer.beat.name)})" if peer.beat is not None else peer.node
