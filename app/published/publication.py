"""A published route, and the agent that holds it.

`HeldRoutes` are all that one agent publishes. Each route refers to it, so a new link of the agent changes whose they
are, and until when, in one place.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

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

    @property
    def key(self) -> tuple[str, str]:
        """The same for all of the agent's links."""
        return self.cluster, self.agent_id

    def __str__(self) -> str:
        return f"agent {printable(self.agent_id)} of cluster {self.cluster} ({self.link_name} from {self.address})"


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


@dataclass(slots=True, eq=False)
class HeldRoutes:
    """All that one agent publishes."""

    holder: Holder
    seed: str = ""
    """The `name_seed` of its machine."""
    hosts: Hosts = field(default_factory=dict)
    count: int = 0
    """Of its routes."""
    gone_at: float | None = None
    watch: Watch | None = None
    """Told of each exchange that has ended."""

    def is_left_to(self, holder: Holder, seed: str) -> bool:
        """Whether it has no link, and this agent, of the same machine and token, may take its hosts."""
        own = self.holder
        return self.gone_at is not None and (own.cluster, own.token_hash, self.seed) == (
            holder.cluster, holder.token_hash, seed,
        )  # fmt: skip

    def replace(self, hosts: Hosts) -> None:
        """From now on it publishes these and nothing else."""
        self.hosts = hosts
        self.count = sum(map(len, hosts.values()))

    def __iter__(self) -> Iterator[Publication]:
        for paths in self.hosts.values():
            yield from paths.values()
