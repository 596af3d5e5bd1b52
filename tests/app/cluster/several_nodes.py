"""Several nodes with their directories, one engine in memory, and agents that move between them."""

from contextlib import suppress
from dataclasses import dataclass, field

from app.cluster import announcement as announcement_value
from app.cluster import beats
from app.cluster.beats import Beat
from app.cluster.bucket import AwayError, BucketError, ConflictError
from app.cluster.directory import Directory
from app.cluster.keys import cluster_and_node
from app.cluster.links import Claim
from app.cluster.own_links import OwnLink
from app.cluster.presence import Presence
from tests.fakes.bucket import Bucket, Shelf

CLUSTERS = ("c1", "c2")
AGENTS = ("a", "b", "")


@dataclass
class Engine:
    """The two shelves, the subject beside them, and the order in which links were named."""

    nodes: Shelf = field(default_factory=Shelf)
    links: Shelf = field(default_factory=Shelf)
    now: float = 1_000.0
    order: dict[str, int] = field(default_factory=dict)
    """By the name of a link: the last put that named it without a stamp."""
    puts: int = 0
    names: int = 0
    has_leader: bool = True
    """False: nothing is written, and announcements go on."""
    listeners: list["Node"] = field(default_factory=list)

    def lose_leader(self) -> None:
        self.has_leader = False
        self.nodes.away = self.links.away = True

    def find_leader(self) -> None:
        self.has_leader = True
        self.nodes.away = self.links.away = False

    def say(self, message: bytes) -> None:
        for node in self.listeners:
            node.hear(message)

    def new_name(self) -> str:
        self.names += 1
        return f"{self.names:04}"


class Node:
    """One node. `ahead`: its clock, compared with the others'."""

    def __init__(self, engine: Engine, ahead: float) -> None:
        self.engine = engine
        self.ahead = ahead
        self.id = f"n{engine.new_name()}"
        self.presence = Presence(self.id, self.now)
        self.directory = Directory(self.presence)
        self.directory.on_outranked = self.doubt
        self.links: dict[str, bool] = {}
        """By name: whether an agent is at its other end still."""
        self.doubted: set[str] = set()
        self.seq = 0
        self.sees_engine = True
        self.runs = True
        self.due = self.now
        self.listing = True
        self.nodes = engine.nodes.mirror()
        self.nodes.on_change = lambda entry: self.presence.changed(entry, self.now, is_listed=self.listing)
        self.of_links = engine.links.mirror()
        self.of_links.on_change = lambda entry: self.directory.changed(entry, self.now)
        self.of_links.on_anew = self.directory.anew
        for mirror in self.mirrors:
            for entry in list(mirror.items()):
                mirror.on_change(entry)
        self.listing = False
        self.waiting: list[bytes] = []
        """Announcements that came while this node did not run."""
        engine.listeners.append(self)
        self.presence.back(self.now)
        self.beat()

    @property
    def now(self) -> float:
        return self.engine.now + self.ahead

    @property
    def mirrors(self) -> tuple[Bucket, Bucket]:
        return self.nodes, self.of_links

    @property
    def own(self) -> list[OwnLink]:
        return list(self.directory.own)

    def doubt(self, link: OwnLink) -> None:
        self.doubted.add(link.name)

    # --- links

    def came(self, cluster: str, agent_id: str) -> str:
        name = self.engine.new_name()
        for link in self.own:  # what a registry does with an agent's older link
            if (link.cluster, link.agent_id) == (cluster, agent_id):
                self.went(link.name)
        self.links[name] = True
        self.directory.own.came(name, cluster, agent_id or None, "yamux")
        return name

    def went(self, name: str) -> None:
        self.links.pop(name, None)
        self.doubted.discard(name)
        self.directory.own.went(name)

    def ping(self) -> None:
        """What the doubted links answer."""
        for name in sorted(self.doubted):
            if self.links[name]:
                self.directory.proved(name)
            else:
                self.went(name)
        self.doubted.clear()

    def takes(self, cluster: str, agent_id: str) -> bool:
        return any((link.cluster, link.agent_id) == (cluster, agent_id) for link in self.own)

    # --- announcements

    def announce(self, *, lost: bool = False) -> None:
        """Say all that is due."""
        while (announcement := self.directory.own.take_announcement()) is not None:
            if self.sees_engine and not lost:
                self.engine.say(announcement_value.encoded(announcement))

    def hear(self, message: bytes) -> None:
        if not self.runs:
            self.waiting.append(message)
        elif self.sees_engine:
            announcement = announcement_value.read(message)
            if announcement.node != self.id:
                self.directory.heard(announcement)

    def wake(self) -> None:
        """It runs again, and finds what came meanwhile."""
        self.runs = True
        waiting, self.waiting = self.waiting, []
        for message in waiting:
            self.hear(message)

    # --- the engine

    def write(self, *, meanwhile: str = "") -> bool:
        """Do one write that is due. False: there is none, or it was not confirmed.

        `meanwhile`: this agent comes to the same cluster before the end of the write is known.
        """
        due = self.directory.own.take()
        if due is None:
            return False
        unstamped = self.directory.own._keys[due.key].unstamped
        before = self.engine.links.writes
        if not self.sees_engine:
            self.directory.own.failed(due)
            return False
        try:
            self.of_links._write(due.key, due.value, None)
        except BucketError:
            self.directory.own.failed(due)
            return False
        else:
            if meanwhile:
                self.came(cluster_and_node(due.key)[0], meanwhile)
            self.directory.own.ended(due)
            return True
        finally:
            if self.engine.links.writes > before:
                self.engine.puts += 1
                self.engine.order.update(dict.fromkeys((link.name for link in unstamped), self.engine.puts))

    def beat(self, *, draining: bool = False, bye: bool = False) -> None:
        self.seq += 1
        self.presence.sent(self.seq)
        if self.sees_engine:
            beat = Beat(name=self.id, peer_url=f"http://{self.id}", seq=self.seq, draining=draining, bye=bye)
            with suppress(AwayError):
                self.nodes._write(self.id, beats.encoded(beat), None)

    def cut_off(self) -> None:
        self.sees_engine = False
        for mirror in self.mirrors:
            mirror.hold()
        self.presence.away(self.now)

    def connect(self) -> None:
        """The connection is back: both buckets are listed."""
        if not self.sees_engine:
            self.sees_engine = True
            self.presence.back(self.now)
        self.listing = True
        for mirror in self.mirrors:
            mirror.deliver()
        self.listing = False

    def tick(self) -> None:
        self.directory.tick(self.now, self.due)
        self.due = self.now + 1.0
        self.beat()

    def clear_up(self) -> None:
        if self.presence.is_keeper:
            for bucket, key, revision in list(self.directory.left_over()):
                mirror = self.nodes if bucket == "nodes" else self.of_links
                with suppress(ConflictError, AwayError):  # a mirror that lags
                    mirror._write(key, None, revision)

    def choose(self, cluster: str, *, local: bool = True, sticky: str = "") -> Claim | None:
        own = {link.agent_id for link in self.own if link.cluster == cluster}
        return self.directory.choose(
            cluster, local=own if local else (), sticky=lambda agent_id: int(agent_id == sticky)
        )

    def stop(self) -> None:
        for shelf, mirror in ((self.engine.nodes, self.nodes), (self.engine.links, self.of_links)):
            shelf.mirrors.remove(mirror)
        self.engine.listeners.remove(self)

    def __repr__(self) -> str:
        return f"<{self.id} {self.presence.own}>"
