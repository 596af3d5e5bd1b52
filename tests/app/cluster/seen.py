"""A node with all that the operator's view of it is made of, connected to nothing; a test says what it hears."""

from typing import Any

from app.cluster.beats import Beat, Load
from app.cluster.diary import Diary
from app.cluster.differences import Differences
from app.cluster.engine import Engine, State
from app.cluster.mirror import Mirror
from app.cluster.peer.dialler import Dialler, Identity, LinkState, PeerState
from app.cluster.peer.handshake import Access
from app.cluster.peer.listener import PeerListener
from app.cluster.peer.serving import Serving
from app.cluster.presence import Way
from app.cluster.view import View
from app.cluster.wall_clock import WallClock
from app.observed.events import Event, Events
from app.settings import ClusterSettings
from tests.app.cluster.one_directory import ME, World
from tunnel.account import Account

SERVER = "nats://127.0.0.1:4222"
WAYS = {LinkState.UP: Way.UP, LinkState.LOST: Way.LOST, LinkState.REFUSED: Way.REFUSED, LinkState.DIALLING: Way.UNKNOWN}


class Links(Dialler):
    """A dialler whose links are what the test says."""

    def __init__(self) -> None:
        super().__init__(Identity(ME, "test", lambda: None), account=Account())
        self.given: dict[str, PeerState] = {}

    def states(self) -> dict[str, PeerState]:
        return self.given


class Seen(World):
    """See the module."""

    def __init__(self) -> None:
        self.events = Events(lambda: 0.0)
        self.engine = Engine(ClusterSettings((SERVER,)), name="test", clock=lambda: 0.0)
        super().__init__()
        self.diary = Diary(self.events, self.presence, self.engine)
        self.differences = Differences(self.presence, self.events)
        self.directory.on_peer_change = self.diary.peer_changed
        self.directory.on_own_change = self.diary.own_changed
        self.mirrors = {name: Mirror(f"tunnel_{name}") for name in ("nodes", "links", "routes")}
        self.dialler = Links()
        self.serving = Serving(lambda _: 1 / 0)  # type: ignore[arg-type, return-value]
        self.listener = PeerListener(
            self.serving, node=ME, build="test", host="127.0.0.1", port=1, access=Access(), account=Account()
        )
        self.own = Beat(
            name="gateway-0", peer_url="http://10.0.0.1:8082", build="1.0", started=1.0, seq=7, files="f1",
            load=Load(2, 3, 1),
        )  # fmt: skip
        self.ahead: float | None = None
        self.view = View(
            self.presence, lambda: self.own, self.engine, self.mirrors, self.dialler, self.listener, self.serving,
            self.differences, WallClock(lambda: self.ahead), clock=lambda: self.now,
        )  # fmt: skip
        self.nats("connected", server=SERVER)

    def nats(self, name: str, why: str | None = None, server: str | None = None) -> None:
        self.engine.state = State(name, 0.0, why, server)  # type: ignore[arg-type]

    def link(self, node: str, state: LinkState, why: str = "") -> None:
        """What the dialler says of the link to a node."""
        self.dialler.given[node] = PeerState(state, why)
        self.presence.way(node, WAYS[state])
        self.diary.link_changed(node, self.dialler.given[node])

    def told(self) -> list[Event]:
        """The events since the last call."""
        events = self.events.since()
        self.events = self.diary._events = self.differences._events = Events(lambda: 0.0)
        return events

    def kinds(self) -> list[str]:
        return [event.kind for event in self.told()]

    def row(self, node: str) -> Any:
        (found,) = [one for one in self.view.nodes() if one.node == node]
        return found
