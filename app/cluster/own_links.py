"""What this node puts into the bucket `links`: which keys are due, and the stamps that its links got.

Decides only: the caller takes a `Write`, has it done, and says how it ended. One write of a key is under way at a time,
so what changes meanwhile goes together into the next. Links come and go by identity: the cleanup of an old link never
takes away its successor.

| what happens | what is put |
|---|---|
| an agent's link comes, or replaces an older one | its cluster's key, this link without a stamp |
| a link goes | the key again, the others with their stamps; the last one: a delete |
| a link is named late | the key again, with the stamp that it got without a name |
| the bucket is made anew | every key, with the old stamps |
| somebody else wrote or deleted a key of ours | that key, with the old stamps |
| a write was not done, or nobody knows | that key, as it is by then |

A stamp is learned from our own entry as the mirror shows it, never from the answer to a write: what the others read is
what counts, also when a write without an answer was done after all.
"""

import logging
from collections.abc import Collection, Iterator

import msgspec

from tunnel.port import Pool

from .announcement import AnnouncedLink, Announcement
from .bucket import Entry, key_problem
from .keys import link_key
from .links import NEWEST, OLDEST, UNNAMED, Claim, Linked, Stamp, encoded, pool_of

logger = logging.getLogger("gateway.cluster")


class Write(msgspec.Struct, frozen=True):
    """To be put under this key; a value of None: to be deleted."""

    key: str
    value: bytes | None


class OwnLink:
    """One link of this node."""

    __slots__ = ("agent_id", "came", "cluster", "dialect", "name", "proved", "publisher", "stamp")

    def __init__(self, name: str, cluster: str, agent_id: str, dialect: str, publisher: str, came: int) -> None:
        self.name = name
        self.came = came
        """The greater, the later: it is a number of this node."""
        self.cluster = cluster
        self.agent_id = agent_id
        self.dialect = dialect
        self.publisher = publisher
        self.stamp: Stamp | None = None
        """None: no put has named it yet, so it is newer than whatever is known."""
        self.proved: Stamp = OLDEST
        """The newest link elsewhere that was known when this one answered a ping."""

    @property
    def pool(self) -> Pool:
        """Whose exchanges it carries."""
        return pool_of(self.cluster, self.publisher)

    @property
    def rank(self) -> Stamp:
        """Its stamp in comparisons with links elsewhere: what has proved to live is as new as its rivals were then."""
        return max(self.stamp or NEWEST, self.proved)

    def __repr__(self) -> str:
        return f"<OwnLink {self.name} of {self.agent_id!r}, {self.stamp}>"


class _Key:
    """One key: the links that it is about, and what was last put."""

    __slots__ = ("links", "sent", "unstamped")

    def __init__(self) -> None:
        self.links: dict[str, OwnLink] = {}  # by name, in the order in which they came
        self.sent: bytes | None = None
        self.unstamped: tuple[OwnLink, ...] = ()  # in `sent`

    def newest(self) -> dict[tuple[str, str], OwnLink]:
        """The newest link of each agent, by publisher (or "") and agent id."""
        return {(link.publisher, link.agent_id): link for link in self.links.values()}


class OwnLinks:
    """The links of one node, all clusters."""

    def __init__(self, node: str) -> None:
        self.node = node
        self._keys: dict[str, _Key] = {}
        self._of: dict[str, OwnLink] = {}
        self._pools: dict[Pool, dict[str, OwnLink]] = {}  # the newest of each agent
        self._same: dict[tuple[Pool, str], dict[str, OwnLink]] = {}  # all of each agent, by name
        self._due: dict[str, None] = {}
        self._under_way: dict[str, bool] = {}  # and whether the key is due again
        self._news: dict[str, None] = {}  # clusters that are to be announced
        self._count = 0  # of links
        self._seq = 0

    # --- links

    def came(self, name: str, cluster: str, agent_id: str | None, dialect: str, *, publisher: str = "") -> None:
        """A link is there; idempotent by its name. No agent id: it has not named itself yet."""
        if name in self._of:
            return
        self._count += 1
        link = OwnLink(name, cluster, agent_id or UNNAMED, dialect, publisher, self._count)
        key = link_key(cluster, self.node)
        if (problem := key_problem(key)) is not None:
            logger.warning("cluster %.80r is known on this node only: %.200s. Give it a shorter name", cluster, problem)
        self._of[name] = link
        self._keys.setdefault(key, _Key()).links[name] = link
        self._put_in(link)
        self._news[cluster] = None
        self._want(key)

    def named(self, name: str, agent_id: str) -> None:
        """The link's agent has said who it is."""
        link = self._of.get(name)
        if link is not None and link.agent_id != agent_id:
            self._take_out(link)
            link.agent_id = agent_id
            self._put_in(link)
            self._news[link.cluster] = None
            self._want(link_key(link.cluster, self.node))

    def went(self, name: str) -> None:
        """Exactly this link is over; idempotent."""
        link = self._of.pop(name, None)
        if link is not None:
            key = link_key(link.cluster, self.node)
            del self._keys[key].links[name]
            self._take_out(link)
            self._news[link.cluster] = None
            self._want(key)

    def link(self, name: str) -> OwnLink | None:
        """The link of this name."""
        return self._of.get(name)

    def of_pool(self, pool: Pool) -> Collection[OwnLink]:
        """The newest link of each agent of a pool."""
        agents = self._pools.get(pool)
        return agents.values() if agents is not None else ()

    def of_agent(self, pool: Pool, agent_id: str) -> OwnLink | None:
        """The newest link of one agent."""
        agents = self._pools.get(pool)
        return agents.get(agent_id) if agents is not None else None

    def claims(self, pool: Pool) -> list[Claim]:
        """What this node claims. The stamp of a link that no put has named yet is `NEWEST`."""
        return [self.claim(link) for link in self.of_pool(pool)]

    def claim(self, link: OwnLink) -> Claim:
        """One of them."""
        return Claim(self.node, link.agent_id, link.stamp or NEWEST, link.dialect, link.pool)

    def __iter__(self) -> Iterator[OwnLink]:
        return iter(list(self._of.values()))

    # --- writes

    @property
    def is_told(self) -> bool:
        """Nothing is due or under way."""
        return not self._due and not self._under_way

    def take(self) -> Write | None:
        """The next write that is due. Say `ended` or `failed` once its end is known, whatever it is."""
        if not self._due:
            return None
        key = next(iter(self._due))
        del self._due[key]
        self._under_way[key] = False
        known = self._keys[key]
        newest = known.newest()
        known.unstamped = tuple(link for link in newest.values() if link.stamp is None)
        linked = {who: Linked(link.stamp, link.dialect) for who, link in newest.items()}
        known.sent = encoded(linked) if linked else None
        return Write(key, known.sent)

    def ended(self, write: Write) -> None:
        """The engine has confirmed it."""
        if self._under_way.pop(write.key, False):
            self._want(write.key)
        self._forget(write.key)

    def failed(self, write: Write) -> None:
        """It was not done, or nobody knows: it is due again."""
        self._under_way.pop(write.key, None)
        self._want(write.key)

    def seen(self, entry: Entry) -> tuple[OwnLink, ...]:
        """The mirror shows this entry under a key of ours. Returns the links that have got another stamp from it."""
        known = self._keys.get(entry.key)
        if entry.value == (known.sent if known is not None else None):
            stamped = known.unstamped if known is not None and entry.value is not None else ()
            for link in stamped:
                link.stamp = Stamp(entry.created, entry.revision)
            return stamped
        self._keys.setdefault(entry.key, _Key())
        self._want(entry.key)
        return ()

    def anew(self) -> None:
        """The bucket was made anew, or has lost writes."""
        for key in list(self._keys):
            self._want(key)

    # --- announcements

    def take_announcement(self) -> Announcement | None:
        """What the others should hear at once of one cluster. None: nothing."""
        if not self._news:
            return None
        cluster = next(iter(self._news))
        del self._news[cluster]
        known = self._keys.get(link_key(cluster, self.node))
        agents: dict[str, AnnouncedLink] = {}
        publishers: dict[str, AnnouncedLink] = {}
        for (publisher, agent_id), link in (known.newest() if known is not None else {}).items():
            came = link.came if link.stamp is None else None
            (publishers if publisher else agents)[agent_id] = AnnouncedLink(came, link.dialect)
        self._seq += 1
        return Announcement(node=self.node, seq=self._seq, cluster=cluster, agents=agents, publishers=publishers)

    def announce_again(self) -> None:
        """Announce once more what no put has named yet."""
        for key in (*self._due, *self._under_way):
            for link in self._keys[key].links.values():
                if link.stamp is None:
                    self._news[link.cluster] = None

    # --- what is due

    def _put_in(self, link: OwnLink) -> None:
        self._same.setdefault((link.pool, link.agent_id), {})[link.name] = link
        agents = self._pools.setdefault(link.pool, {})
        newest = agents.get(link.agent_id)
        if newest is None or newest.came < link.came:
            agents[link.agent_id] = link

    def _take_out(self, link: OwnLink) -> None:
        same, agents = self._same[link.pool, link.agent_id], self._pools[link.pool]
        del same[link.name]
        if same and agents[link.agent_id] is link:
            agents[link.agent_id] = max(same.values(), key=lambda one: one.came)
        elif not same:
            del self._same[link.pool, link.agent_id]
            del agents[link.agent_id]
            if not agents:
                del self._pools[link.pool]

    def _want(self, key: str) -> None:
        if key in self._under_way:
            self._under_way[key] = True
        elif key_problem(key) is None:
            self._due[key] = None
        else:
            self._forget(key)

    def _forget(self, key: str) -> None:
        known = self._keys.get(key)
        if known is not None and not known.links and key not in self._due and key not in self._under_way:
            del self._keys[key]

    def __repr__(self) -> str:
        return f"<OwnLinks {len(self._of)} links, {len(self._due)} writes due, {len(self._under_way)} under way>"
