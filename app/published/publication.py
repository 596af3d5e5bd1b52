"""A published route, and the agent that holds it.

`HeldRoutes` are all that one agent publishes. Each route refers to it, so a new link of the agent changes whose they
are, and until when, in one place. Those of other nodes are told by these (`app/cluster/published.py`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256

from tunnel.port import Target

from ..observed.record import Record, printable
from ..rules.rewrite import Rewrite


@dataclass(frozen=True, slots=True)
class Holder:
    """An agent that publishes, and the link that it publishes over."""

    cluster: str
    agent_id: str
    token_hash: bytes
    link_name: str
    address: str
    node: str = ""
    """The node that has the link. Empty: this one."""

    @property
    def key(self) -> tuple[str, str, str]:
        """The same for all of the agent's links with one node."""
        return self.cluster, self.agent_id, self.node

    def is_same_agent(self, other: "Holder") -> bool:
        """Whether both are the same agent, whatever its links."""
        return (self.cluster, self.agent_id) == (other.cluster, other.agent_id)

    def __str__(self) -> str:
        where = f"{self.link_name} from {self.address}" + (f", node {self.node}" if self.node else "")
        return f"agent {printable(self.agent_id)} of cluster {self.cluster} ({where})"


def machine_of(cluster: str, seed: str) -> str:
    """What is kept of a `name_seed`: the same for the same machine, and the seed cannot be told from it."""
    return sha256(f"machine\0{cluster}\0{seed}".encode()).hexdigest()[:32]


@dataclass(slots=True, eq=False)
class Publication:
    """One published route. Times are those of the gateway's clock."""

    holding: "HeldRoutes"
    host: str
    path: str
    target: Target
    key: str
    """The publisher's own name for it."""
    rewrite: Rewrite | None
    published_at: float

    @property
    def holder(self) -> Holder:
        """Who holds it now."""
        return self.holding.holder

    @property
    def token_hash(self) -> bytes:
        """The token that has to cover it."""
        return self.holding.holder.token_hash

    @property
    def gone_at(self) -> float | None:
        """When its link ended. None: it has one."""
        return self.holding.gone_at

    def seen(self, record: Record) -> None:
        """An exchange on this route has ended."""
        watch = self.holding.watch
        if watch is not None:
            watch(self, record)

    def is_same(self, other: "Publication") -> bool:
        """Whether both are the same route, whoever's link carries it."""
        return (self.target, self.key, self.rewrite) == (other.target, other.key, other.rewrite)

    def __repr__(self) -> str:
        return f"<Publication {self.host}{self.path} of {self.holder.agent_id}>"


Hosts = dict[str, dict[str, Publication]]
"""Routes by host, then by path. A host that is there has at least one."""
Watch = Callable[[Publication, Record], object]
Lost = Callable[[str], object]


@dataclass(slots=True, eq=False)
class HeldRoutes:
    """All that one agent publishes."""

    holder: Holder
    machine: str = ""
    """As `machine_of` has it."""
    hosts: Hosts = field(default_factory=dict)
    count: int = 0
    """Of its routes."""
    gone_at: float | None = None
    watch: Watch | None = None
    """Told of each exchange that has ended."""
    lost: Lost | None = None
    """Told of each host that an agent of another node has, after all."""

    def is_left_to(self, holder: Holder, machine: str) -> bool:
        """Whether this agent may take its hosts: the same one, by a link with another node, or one of the same machine
        and token, when it has no link."""
        own = self.holder
        if own.node != holder.node and own.is_same_agent(holder):
            return True
        return self.gone_at is not None and (own.cluster, own.token_hash, self.machine) == (
            holder.cluster, holder.token_hash, machine,
        )  # fmt: skip

    def replace(self, hosts: Hosts) -> None:
        """From now on it publishes these and nothing else."""
        self.hosts = hosts
        self.count = sum(map(len, hosts.values()))

    def __iter__(self) -> Iterator[Publication]:
        for paths in self.hosts.values():
            yield from paths.values()


@dataclass(frozen=True, slots=True)
class Told:
    """What another node says of one host."""

    holder: Holder
    machine: str
    is_away: bool
    """Its link has ended, and its routes linger."""
    routes: dict[str, tuple[Target, str, Rewrite | None]]
    """By path: the target, the publisher's own name for it, and what changes on the way."""
