"""A link in the registry which is its own upstream: each exchange opened on it is kept for the test to answer."""

import itertools
import time

from tests.fakes.exchange import FakeExchange
from tunnel.errors import TunnelError
from tunnel.gateway.figures import Figures
from tunnel.gateway.link import LinkState
from tunnel.port import Pool, RequestHead, Sink, Target

TARGET = Target("c1", "apps", "web", 80)


class FakeLink:
    """What the registry sees of a link, and, as its own upstream, what the doors see."""

    _numbers = itertools.count(1)

    def __init__(self, agent_id: str | None = "a1", cluster: str = "c1", publisher: str = "") -> None:
        self.name = self.label = f"fake-{next(self._numbers)}"
        self.agent_id = agent_id
        self.cluster = cluster
        self.publisher = publisher
        self.available = True
        self.active = 0
        self.born = self.unavailable_since = 0.0
        self.dialect = "yamux"
        self.upgrade_allowance = 0.0
        self.passes_bytes = False
        self.node = ""
        self.suspect = False
        self.state = LinkState.READY
        self.exchanges: list[FakeExchange] = []
        self.refuses: TunnelError | ValueError | None = None
        self.token_hash = b""
        self.address = self.agent_version = ""
        self.since = self.heard_seconds = 0.0
        self.traffic = Figures()
        self.retired: list[float] = []
        self.closes: list[tuple[int, str]] = []

    @property
    def pool(self) -> Pool:
        return (self.cluster, self.publisher) if self.publisher else self.cluster

    def upstream(self, target: Target) -> "FakeLink":
        assert target == TARGET or target.pool == self.pool != TARGET.pool
        return self

    def open(self, head: RequestHead, sink: Sink, fresh: bool = False, /) -> FakeExchange:
        if self.refuses is not None:
            raise self.refuses
        exchange = FakeExchange(head, sink, fresh=fresh)
        self.exchanges.append(exchange)
        return exchange

    def tick(self) -> None: ...

    def doubt(self) -> None: ...

    def clock(self) -> float:
        return time.monotonic()

    def figures(self) -> Figures:
        return self.traffic

    def retire(self, grace_seconds: float, reason: str = "") -> None:
        self.retired.append(grace_seconds)
        self.available = False

    def close(self, code: int, reason: str) -> None:
        self.closes.append((code, reason))

    @property
    def closed(self) -> tuple[int, str] | None:
        """The first close, which counts."""
        return self.closes[0] if self.closes else None

    @property
    def only(self) -> FakeExchange:
        assert len(self.exchanges) == 1
        return self.exchanges[0]
