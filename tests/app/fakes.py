"""A tunnel of which the test is the far end: a link in the registry whose upstream writes down what the doors do."""

import dataclasses
import itertools
from typing import Any, Self

from app.main import create_app
from app.node.gateway import Gateway
from app.rules.policy import Policy
from app.rules.routes import Route, RouteTable
from app.settings import Settings
from tests.app.asgi_server import App
from tunnel.account import Account
from tunnel.errors import TunnelError
from tunnel.gateway.link import LinkState
from tunnel.port import Headers, RequestHead, ResponseHead, Sink, Target

TARGET = Target("c1", "apps", "web", 80)
HOST = "app.example.test"


class FakeExchange:
    """One exchange; the sink is told through it, so that calls after its end are caught."""

    def __init__(self, head: RequestHead, sink: Sink, *, fresh: bool) -> None:
        self.head = head
        self.fresh = fresh
        self.data: list[bytes] = []
        self.welcome = True
        self.ended = 0
        self.resets = 0
        self.paused = False
        self.log: list[str] = []
        self.held_bytes = 0
        self.account: Account | None = None
        self._sink = sink
        self._told_end = False

    # --- told by the door

    def send_data(self, data: bytes, /) -> bool:
        assert self.resets == 0
        assert self.ended == 0
        self.data.append(data)
        return self.welcome

    def end(self) -> None:
        self.ended += 1

    def reset(self) -> None:
        self.resets += 1
        self.hold(0)

    def pause(self) -> None:
        self.paused = True
        self.log.append("pause")

    def resume(self) -> None:
        if self.paused:
            self.log.append("resume")
        self.paused = False

    @property
    def body(self) -> bytes:
        return b"".join(self.data)

    def hold(self, size: int, account: Account | None = None) -> None:
        """So many bytes are held for it from now on; a reset lets go of them, as a stream's does."""
        self.account = account or self.account
        delta, self.held_bytes = size - self.held_bytes, size
        if self.account is not None:
            self.account.adjust(delta)

    # --- told to the door

    @property
    def sink(self) -> Sink:
        assert not self.resets, "the sink of a reset exchange is never called"
        assert not self._told_end, "the sink is never called after the end"
        return self._sink

    def answer(self, status: int = 200, headers: Headers | None = None) -> None:
        self.sink.head(ResponseHead(status, headers or []))

    def bring(self, *pieces: bytes) -> None:
        for data in pieces:
            self.sink.data(data)

    def finish(self) -> None:
        sink = self.sink
        self._told_end = True
        sink.end()

    def fail(self, error: TunnelError) -> None:
        sink = self.sink
        self._told_end = True
        sink.failed(error)

    def drained(self) -> None:
        self.welcome = True
        self.sink.writable()


class FakeLink:
    """What the registry sees of a link, and, as its own upstream, what the doors see."""

    _numbers = itertools.count(1)

    def __init__(self, agent_id: str | None = "a1", cluster: str = "c1") -> None:
        self.name = self.label = f"fake-{next(self._numbers)}"
        self.agent_id = agent_id
        self.cluster = cluster
        self.available = True
        self.active = 0
        self.born = self.unavailable_since = 0.0
        self.dialect = "yamux"
        self.upgrade_allowance = 0.0
        self.suspect = False
        self.state = LinkState.READY
        self.exchanges: list[FakeExchange] = []
        self.refuses: TunnelError | ValueError | None = None
        self.closed: tuple[int, str] | None = None

    def upstream(self, target: Target) -> "FakeLink":
        assert target == TARGET
        return self

    def open(self, head: RequestHead, sink: Sink, /, *, fresh: bool = False) -> FakeExchange:
        if self.refuses is not None:
            raise self.refuses
        exchange = FakeExchange(head, sink, fresh=fresh)
        self.exchanges.append(exchange)
        return exchange

    def tick(self) -> None: ...

    def doubt(self) -> None: ...

    def close(self, code: int, reason: str) -> None:
        self.closed = self.closed or (code, reason)

    @property
    def only(self) -> FakeExchange:
        assert len(self.exchanges) == 1
        return self.exchanges[0]


class Stage:
    """An application with one routed host, and fake links."""

    def __init__(self, links: int = 1, **settings: Any) -> None:
        settings.setdefault("reconnect_grace", 0.0)
        names = {field.name for field in dataclasses.fields(Policy)}
        policy = Policy(**{name: settings.pop(name) for name in list(settings) if name in names})
        settings.setdefault("routes", RouteTable([Route(HOST, b"/", TARGET, policy)]))
        self.app: App = create_app(Settings(**settings))
        self.gateway: Gateway = self.app.state.gateway  # type: ignore[attr-defined]
        self.links = [FakeLink(f"a{number}") for number in range(links)]
        for link in self.links:
            self.gateway.registry.add(link)  # type: ignore[arg-type]

    @property
    def link(self) -> FakeLink:
        return self.links[0]

    @property
    def exchange(self) -> FakeExchange:
        return self.link.only

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        await self.gateway.aclose()
        if kind is None:
            assert not self.gateway.exchanges
            assert repr(self.gateway.admission) == "<Admission 0 WebSockets: 0 routes, 0 clients, 0 clusters>"
            assert self.gateway.account.held_bytes == 0
