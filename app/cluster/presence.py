"""Which nodes there are, and what this one may believe of them.

A node hears its own beats through the engine. As long as it does, silence of another node means something; without them
it is cut off itself, and forgets nobody. All clocks are this node's own, monotonic, in seconds, and passed in.

What is known of another node is three facts, and its state follows from them:

| beats | the way to it | it drains | state | ranks |
|---|---|---|---|---|
| come | unknown or up | no | live | 0 |
| come | lost or refused | no | lost_way | 2 |
| come | any | yes | draining | 3 |
| silent | unknown or up | no | silent | 1 |
| silent | unknown or up | yes | draining | 3 |
| silent | lost or refused | any | gone; while this node is cut: lost_way | -; 2 |
| over | any | any | gone | - |

| event | what it changes |
|---|---|
| a beat | beats come, and it drains or not; says it goodbye, they are over |
| a beat in a list of the bucket | the same for a node that is known; one that is new is silent until its next beat |
| no beat for 3 s | beats are silent; not while this node is cut |
| no beat for 60 s | beats are over; not while this node is cut |
| its key was deleted | beats are over; without a word, as of a bucket made anew: nothing |
| peer link up, lost, refused | the way |

What this node knows of itself is in `_OWN`: connected, cut, or frozen. After the first own echo since it was cut or
frozen the 3 s and the 60 s begin anew for everybody. An echo counts only if that beat was put since then: a node that
wakes finds its old ones waiting.

A node of another release whose beats cannot be read is known to live, and is not used.
"""

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Final

from . import beats
from .beats import Beat
from .bucket import Entry
from .keys import NotAKeyError, is_node
from .values import Complaints, ValueIgnoredError

BEAT_SECONDS: Final = 1.0
SILENCE_SECONDS: Final = 3.0
ECHO_SECONDS: Final = 2.5
FORGET_SECONDS: Final = 60.0


class PeerState(StrEnum):
    """Of another node."""

    LIVE = "live"
    SILENT = "silent"
    LOST_WAY = "lost_way"
    DRAINING = "draining"
    GONE = "gone"


class Beats(StrEnum):
    """What is heard of a node."""

    COME = "come"
    SILENT = "silent"
    OVER = "over"


class Way(StrEnum):
    """The peer link from this node to another."""

    UNKNOWN = "unknown"
    UP = "up"
    LOST = "lost"
    REFUSED = "refused"


class OwnState(StrEnum):
    """Of this node."""

    CONNECTED = "connected"
    CUT = "cut"
    FROZEN = "frozen"
    """It did not run for a while, and what it knows may be old."""


class OwnEvent(StrEnum):
    """What happens to this node."""

    ECHO = "echo"
    QUIET = "quiet"
    """No echo for 2.5 s."""
    AWAY = "away"
    """The connection to the engine was lost."""
    LATE = "late"
    """A tick came more than 2.5 s late."""


_OWN: Final = {
    (OwnState.CONNECTED, OwnEvent.ECHO): OwnState.CONNECTED,
    (OwnState.CONNECTED, OwnEvent.QUIET): OwnState.CUT,
    (OwnState.CONNECTED, OwnEvent.AWAY): OwnState.CUT,
    (OwnState.CONNECTED, OwnEvent.LATE): OwnState.FROZEN,
    (OwnState.CUT, OwnEvent.ECHO): OwnState.CONNECTED,
    (OwnState.CUT, OwnEvent.QUIET): OwnState.CUT,
    (OwnState.CUT, OwnEvent.AWAY): OwnState.CUT,
    (OwnState.CUT, OwnEvent.LATE): OwnState.FROZEN,
    (OwnState.FROZEN, OwnEvent.ECHO): OwnState.CONNECTED,
    (OwnState.FROZEN, OwnEvent.QUIET): OwnState.CUT,
    (OwnState.FROZEN, OwnEvent.AWAY): OwnState.CUT,
    (OwnState.FROZEN, OwnEvent.LATE): OwnState.FROZEN,
}

SENTENCES: Final = {
    PeerState.LIVE: "It is there.",
    PeerState.SILENT: "No beat of it for 3 s. It is used last, and forgotten after 60 s or when its peer link is lost. "
    "Check whether it runs and reaches NATS.",
    PeerState.LOST_WAY: "It beats, but its peer link from here is down, so it is used last. "
    "Check the network between the two nodes, peer_url, and the peers' secret or certificates.",
    PeerState.DRAINING: "It is stopping. New exchanges go to it only if nobody else has the cluster.",
    PeerState.GONE: "It has stopped, or nothing was heard of it for too long. Nothing is sent to it.",
}
"""What the operator is told of another node."""

OWN_SENTENCES: Final = {
    OwnState.CONNECTED: "This node hears itself through NATS.",
    OwnState.CUT: "This node does not hear itself through NATS. It serves its own agents and the nodes it knows, and "
    "forgets nobody. Check NATS, and the way to it.",
    OwnState.FROZEN: "This node did not run for more than 2.5 s. Check its CPU limits and the machine's load.",
}
"""What the operator is told of this node."""

RANKS: Final = {PeerState.LIVE: 0, PeerState.SILENT: 1, PeerState.LOST_WAY: 2, PeerState.DRAINING: 3}
"""The lowest is used first. A state that is missing here is not used."""

_LOST: Final = (Way.LOST, Way.REFUSED)


def state_of(heard: Beats, way: Way, *, drains: bool, is_cut: bool) -> PeerState:
    """The first table of the module."""
    if heard is Beats.OVER:
        return PeerState.GONE
    if heard is Beats.SILENT and way in _LOST:
        return PeerState.LOST_WAY if is_cut else PeerState.GONE
    if drains:
        return PeerState.DRAINING
    if heard is Beats.SILENT:
        return PeerState.SILENT
    return PeerState.LOST_WAY if way in _LOST else PeerState.LIVE


class Peer:
    """Another node."""

    __slots__ = ("beat", "beats", "given", "heard_at", "node", "revision", "state", "way")

    def __init__(self, node: str, now: float) -> None:
        self.node = node
        self.beat: Beat | None = None
        """Its last one. None: only its links are known, so nobody knows where it is."""
        self.revision: int | None = None
        """Of its key. None: it has none."""
        self.beats = Beats.SILENT
        self.heard_at = now
        self.way = Way.UNKNOWN
        self.state = PeerState.SILENT
        self.given = 0
        """Exchanges that this node gave it since its last beat: its load does not have them yet."""

    @property
    def load(self) -> int:
        """What it carries, as far as known."""
        return self.given + (self.beat.load.exchanges + self.beat.load.websockets if self.beat is not None else 0)

    @property
    def rank(self) -> int | None:
        """The lowest is used first. None: it cannot be used."""
        return RANKS.get(self.state) if self.beat is not None else None

    def __repr__(self) -> str:
        return f"<Peer {self.node} {self.state}: beats {self.beats}, way {self.way}>"


class Presence:
    """The nodes, as one of them knows them. `on_change`: told of a peer whose state, or use, has changed."""

    def __init__(self, node: str, now: float) -> None:
        self.node = node
        self.own = OwnState.CUT
        self.freezes = 0
        """Times that this node did not run for a while. For the metrics."""
        self.on_change: Callable[[Peer], object] = _nobody
        self.on_own_change: Callable[[OwnState], object] = _nobody
        """Told of this node's new state. Frozen: also when it was, and is again."""
        self._peers: dict[str, Peer] = {}
        self._complaints = Complaints("nodes")
        self._echo_at = now
        self._seq = 0
        self._counts_from = 0  # the first own beat whose echo counts

    # --- this node

    @property
    def is_cut(self) -> bool:
        """Whether what is not heard may be this node's own fault."""
        return self.own is not OwnState.CONNECTED

    @property
    def is_keeper(self) -> bool:
        """Whether this node is the one that clears what gone nodes left: the lowest id of those that beat."""
        beating = (peer.node for peer in self._peers.values() if peer.beats is Beats.COME)
        return not self.is_cut and all(self.node < node for node in beating)

    def sent(self, seq: int) -> None:
        """This node is about to put this beat: say so first, for the echo comes before the answer."""
        self._seq = seq

    def back(self, now: float) -> None:
        """The connection to the engine is there again."""
        self._echo_at = now
        self._counts_from = self._seq + 1

    def away(self, now: float) -> None:
        """The connection to the engine was lost."""
        self._own_event(OwnEvent.AWAY, now)

    def tick(self, now: float, due: float) -> None:
        """Look at the clock. `due`: when this call should have come. About four times a second."""
        if now - due > ECHO_SECONDS:
            self._own_event(OwnEvent.LATE, now)
        elif now - self._echo_at >= ECHO_SECONDS:
            self._own_event(OwnEvent.QUIET, now)
        if self.is_cut:
            return
        for peer in self._peers.values():
            silent_for = now - peer.heard_at
            if silent_for >= FORGET_SECONDS:
                self._set(peer, Beats.OVER)
            elif silent_for >= SILENCE_SECONDS and peer.beats is Beats.COME:
                self._set(peer, Beats.SILENT)

    def _own_event(self, event: OwnEvent, now: float) -> None:
        before, self.own = self.own, _OWN[self.own, event]
        if event is OwnEvent.LATE:
            self.freezes += 1
            self._counts_from = self._seq + 1
            self._echo_at = now
        elif event is OwnEvent.ECHO:
            self._echo_at = now
            if before is not OwnState.CONNECTED:
                for peer in self._peers.values():
                    peer.heard_at = now
        if self.own is not before or event is OwnEvent.LATE:
            self.on_own_change(self.own)
            for peer in list(self._peers.values()):
                self._set(peer, peer.beats)

    # --- the bucket `nodes`

    def changed(self, entry: Entry, now: float, *, is_listed: bool) -> None:
        """The mirror shows this entry. `is_listed`: the bucket is being listed, so it may be old."""
        if entry.key == self.node:
            self._heard_myself(entry, now)
            return
        if not is_node(entry.key):
            self._complaints.tell(entry.key, NotAKeyError("it is not the id of a node"))
            return
        if entry.value is None:
            self._key_is_gone(entry)
            return
        try:
            beat = beats.read(entry.value)
        except ValueIgnoredError as error:
            self._complaints.tell(entry.key, error)
            if error.version is not None:
                peer = self.met(entry.key, now)
                peer.heard_at, peer.revision = now, entry.revision
                self._set(peer, Beats.COME)
            return
        peer = self.met(entry.key, now)
        is_new = peer.beat is None
        peer.beat, peer.revision = beat, entry.revision
        if is_listed and is_new:
            heard = Beats.SILENT
        else:
            heard, peer.heard_at, peer.given = Beats.COME, now, 0
        self._set(peer, Beats.OVER if beat.bye else heard, tell=is_new)

    def _heard_myself(self, entry: Entry, now: float) -> None:
        try:
            seq = beats.read(entry.value or b"").seq
        except ValueIgnoredError:
            return  # somebody deleted it, or wrote it: the next beat mends that
        if self._counts_from <= seq <= self._seq:
            self._own_event(OwnEvent.ECHO, now)

    def _key_is_gone(self, entry: Entry) -> None:
        peer = self._peers.get(entry.key)
        if peer is not None:
            peer.revision = None
            if entry.revision:
                self._set(peer, Beats.OVER)

    # --- other nodes

    def way(self, node: str, way: Way) -> None:
        """What became of the peer link to a node."""
        peer = self._peers.get(node)
        if peer is not None:
            peer.way = way
            self._set(peer, peer.beats)

    def peer(self, node: str) -> Peer | None:
        """What is known of a node."""
        return self._peers.get(node)

    def beats(self, node: str) -> bool:
        """Whether beats of another node come."""
        peer = self._peers.get(node)
        return peer is not None and peer.beats is Beats.COME

    def met(self, node: str, now: float) -> Peer:
        """A node that somebody speaks of; it need not beat."""
        peer = self._peers.get(node)
        if peer is None:
            peer = self._peers[node] = Peer(node, now)
        return peer

    def drop(self, node: str) -> None:
        """Nothing is left of this node; idempotent."""
        self._peers.pop(node, None)

    def __iter__(self) -> Iterator[Peer]:
        return iter(list(self._peers.values()))

    def _set(self, peer: Peer, heard: Beats, *, tell: bool = False) -> None:
        before = peer.state
        peer.beats = heard
        drains = peer.beat is not None and peer.beat.draining
        peer.state = state_of(heard, peer.way, drains=drains, is_cut=self.is_cut)
        if tell or peer.state is not before:
            self.on_change(peer)

    def __repr__(self) -> str:
        return f"<Presence of {self.node}, {self.own}: {len(self._peers)} others>"


def _nobody(_what: object) -> None: ...
