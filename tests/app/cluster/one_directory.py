"""One node's directory, and a test that plays the buckets and all other nodes."""

from app.cluster import beats, links
from app.cluster.announcement import AnnouncedLink, Announcement
from app.cluster.beats import Beat
from app.cluster.bucket import Entry
from app.cluster.directory import Directory
from app.cluster.keys import link_key
from app.cluster.links import Linked, Stamp
from app.cluster.presence import Presence
from tunnel.port import Pool

ME = "me"
CREATED = "2026-01-01T00:00:01.000000000Z"


class World:
    """The directory of the node `me`, connected, and a bucket whose revisions the test gives."""

    def __init__(self) -> None:
        self.now = 100.0
        self.presence = Presence(ME, self.now)
        self.directory = Directory(self.presence)
        self.woken: list[Pool] = []
        self.lost: list[Pool] = []
        self.outranked: list[str] = []
        self.directory.on_claim = self.woken.append
        self.directory.on_unclaimed = self.lost.append
        self.directory.on_outranked = lambda link: self.outranked.append(link.name)
        self.seq = 0
        self.hears_itself = True
        self.beating: dict[str, dict[str, object]] = {}
        self.run(1)

    def beat(self, node: str, **said: object) -> None:
        self.seq += 1
        if node == ME:
            self.presence.sent(self.seq)
        value = beats.encoded(Beat(name=node, peer_url=f"http://{node}", seq=self.seq, **said))
        self.presence.changed(Entry(node, value, self.seq, CREATED), self.now, is_listed=False)

    def nodes(self, *names: str, **said: object) -> None:
        for name in names:
            self.beating[name] = said
            self.beat(name, **said)

    def run(self, seconds: float) -> None:
        for step in range(int(seconds * 4)):
            if step % 4 == 0:
                for node, said in self.beating.items():
                    self.beat(node, **said)
                if self.hears_itself:
                    self.beat(ME)
            self.now += 0.25
            self.directory.tick(self.now, self.now)

    def put(self, node: str, revision: int, *agents: str, cluster: str = "c1", publisher: str = "", **at: int) -> None:
        """An entry in which the agents have no stamp, and those in `at` have one of this revision."""
        linked = {(publisher, agent): Linked(None, "yamux") for agent in agents}
        linked |= {(publisher, agent): Linked(Stamp(CREATED, old), "yamux") for agent, old in at.items()}
        value = links.encoded(linked) if linked else None
        self.directory.changed(Entry(link_key(cluster, node), value, revision, CREATED), self.now)

    def announce(
        self, node: str, *, cluster: str = "c1", publisher: str = "", seq: int | None = None, **came: int | None
    ) -> None:
        """All links of the node with the cluster, by agent id, and when they came; None: it has a stamp."""
        self.seq += 1
        links = {agent: AnnouncedLink(number, "yamux") for agent, number in came.items()}
        of = {"publishers": links} if publisher else {"agents": links}
        self.directory.heard(Announcement(node=node, seq=seq or self.seq, cluster=cluster, **of))

    def own(self, agent: str | None, revision: int | None = None, *, cluster: str = "c1", publisher: str = "") -> str:
        """A link of this node, put with this revision."""
        name = f"{agent}@{revision}"
        self.directory.own.came(name, cluster, agent, "yamux", publisher=publisher)
        due = self.directory.own.take()
        assert due is not None
        if revision is None:
            self.directory.own.failed(due)
        else:
            self.directory.changed(Entry(due.key, due.value, revision, CREATED), self.now)
            self.directory.own.ended(due)
        return name

    def chosen(self, pool: Pool = "c1", **how: object) -> str | None:
        claim = self.directory.choose(pool, **how)
        return f"{claim.agent_id}@{claim.node}" if claim is not None else None
