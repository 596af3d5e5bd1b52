"""The nodes as the operator sees them from this one: made from what its parts know, when somebody asks.

Only reads, and nothing is decided by it. What other nodes say of themselves is cut and made printable here: whoever may
write to the buckets may write anything.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from ..node.nodes import BucketView, ClusterView, EngineView, NodeView
from ..observed.events import moment
from ..observed.metrics import BucketSnapshot, NodesSnapshot
from ..observed.record import TEXT_LIMIT, printable
from .beats import Beat
from .diary import named
from .differences import Differences
from .engine import Engine
from .mirror import Mirror
from .peer.dialler import Dialler, LinkState, PeerState
from .peer.listener import PeerListener
from .peer.serving import Serving
from .presence import OWN_SENTENCES, SENTENCES, OwnState, Peer, Presence
from .wall_clock import WallClock

ONLY_LINKS: Final = (
    "Only its links are known: it was killed and left them, or its beats cannot be read here. Nothing is sent to it. "
    "If it does not beat, they are deleted within about 70 s."
)
_LATEST_YEAR: Final = 253_402_300_800.0
"""Seconds of times that can be shown: until the year 10000."""


@dataclass(slots=True, frozen=True)
class View:
    """`Nodes` of one node that has `[cluster]`."""

    presence: Presence
    own_beat: Callable[[], Beat]
    """What this node says of itself now."""
    engine: Engine
    mirrors: Mapping[str, Mirror]
    """By what they are for: `nodes`, `links`, `routes`."""
    dialler: Dialler
    listener: PeerListener | None
    """None: no `peer_bind`."""
    serving: Serving
    differences: Differences
    wall_clock: WallClock
    clock: Callable[[], float] = time.monotonic
    """That of the presence."""

    def cluster(self) -> ClusterView:
        """See Nodes."""
        state = self.engine.state
        return ClusterView(
            node=self.presence.node,
            state=self.presence.own.value,
            about=OWN_SENTENCES[self.presence.own],
            engine=EngineView(
                state=state.name,
                since=moment(state.since),
                server=state.server,
                why=state.why,
                losses=self.engine.losses,
                forbidden=self.engine.forbidden,
            ),
            buckets=[_bucket(mirror) for mirror in self.mirrors.values()],
        )

    def nodes(self) -> list[NodeView]:
        """See Nodes."""
        links = self.dialler.states()
        others = [self._other(peer, links.get(peer.node)) for peer in sorted(self.presence, key=lambda one: one.node)]
        return [self._self(), *others]

    @property
    def trouble(self) -> str | None:
        """See Nodes."""
        if self.presence.own is OwnState.CONNECTED:
            return None
        if self.presence.own is OwnState.FROZEN:
            return "frozen: this node stood still for more than 2.5 s"
        why = {
            "connecting": "NATS was not reached yet",
            "connected": "its beats do not come back from NATS",
            "stopped": "it has left NATS",
        }.get(self.engine.state.name, "NATS is away")
        return f"cut off from the other nodes: {why}"

    def warnings(self) -> list[str]:
        """See Nodes."""
        found = []
        if self.presence.is_cut:
            found.append(f"{OWN_SENTENCES[self.presence.own]} NATS: {self.engine.state}")
        found += [mirror.problem for mirror in self.mirrors.values() if mirror.problem is not None]
        found += [f"NATS does not allow this node's user to {what}; allow it" for what in self.engine.forbidden]
        links = self.dialler.states()
        for peer in sorted(self.presence, key=lambda one: one.node):
            link = links.get(peer.node)
            if link is not None and link.state in (LinkState.LOST, LinkState.REFUSED):
                found.append(f"node {named(peer)} cannot be reached from this node: {_text(link.why)}; see /-/nodes")
        if (problem := self.wall_clock.problem) is not None:
            found.append(problem)
        found += self.differences.sentences()
        return found

    def snapshot(self) -> NodesSnapshot:
        """See Nodes."""
        serving = self.serving
        to_agents, from_agents = serving.passed_bytes
        return NodesSnapshot(
            state=self.presence.own.value,
            is_connected=self.engine.connection is not None,
            losses=self.engine.losses,
            freezes=self.presence.freezes,
            buckets={
                name: BucketSnapshot(
                    revision=mirror.revision, lag=mirror.lag, synced=mirror.synced, writes=mirror.writes,
                    failed=mirror.failed,
                )
                for name, mirror in self.mirrors.items()
            },
            nodes=Counter(peer.state.value for peer in self.presence),
            links_out=Counter(link.state.value for link in self.dialler.states().values()),
            links_in=len(self.listener.links) if self.listener is not None else 0,
            files_differ=len(self.differences.nodes),
            exchanges_out=self.dialler.counts.exchanges,
            hops_out=self.dialler.counts.answers,
            hops_in=serving.answers,
            bytes_to_agents=to_agents,
            bytes_from_agents=from_agents,
        )  # fmt: skip

    def _self(self) -> NodeView:
        beat, own = self.own_beat(), self.presence.own
        return _node(
            beat, node=self.presence.node, is_self=True, state=own.value, about=OWN_SENTENCES[own],
            heard_seconds_ago=None, link=None, link_in=False, files_differ=False,
        )  # fmt: skip

    def _other(self, peer: Peer, link: PeerState | None) -> NodeView:
        about = SENTENCES[peer.state] if peer.beat is not None else ONLY_LINKS
        return _node(
            peer.beat, node=peer.node, is_self=False, state=peer.state.value, about=about,
            heard_seconds_ago=round(max(0.0, self.clock() - peer.heard_at), 3), link=link,
            link_in=self.listener is not None and peer.node in self.listener.links,
            files_differ=peer.node in self.differences.nodes,
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"<View of {self.presence.node}>"


def _node(
    beat: Beat | None, *, node: str, is_self: bool, state: str, about: str, heard_seconds_ago: float | None,
    link: PeerState | None, link_in: bool, files_differ: bool,
) -> NodeView:  # fmt: skip
    return NodeView(
        node=node,
        name=_text(beat.name) if beat is not None else None,
        is_self=is_self,
        state=state,  # type: ignore[arg-type]  # a value of OwnState or PeerState
        about=about,
        heard_seconds_ago=heard_seconds_ago,
        draining=beat.draining if beat is not None else False,
        peer_url=_text(beat.peer_url) if beat is not None else None,
        link_out=link.state.value if link is not None else None,
        link_out_problem=_text(link.why) if link is not None and link.why else None,
        link_in=link_in,
        build=_text(beat.build) if beat is not None and beat.build else None,
        started_at=_moment(beat.started) if beat is not None else None,
        links=beat.load.links if beat is not None else None,
        exchanges=beat.load.exchanges + beat.load.websockets if beat is not None else None,
        websockets=beat.load.websockets if beat is not None else None,
        files=_text(beat.files) if beat is not None and beat.files else None,
        files_differ=files_differ,
        routes_revision=beat.routes_revision if beat is not None else None,
    )


def _bucket(mirror: Mirror) -> BucketView:
    return BucketView(
        bucket=mirror.name, entries=len(mirror), revision=mirror.revision, lag=mirror.lag, synced=mirror.synced,
        frozen=mirror.frozen, problem=mirror.problem,
    )  # fmt: skip


def _moment(seconds: float) -> str | None:
    """None for what no clock says."""
    return moment(seconds) if 0 < seconds < _LATEST_YEAR else None


def _text(text: str) -> str:
    return printable(text)[:TEXT_LIMIT]
