"""This node as the owner of its links: what the directory is told, and which link carries a peer's stream."""

import pytest

from app.cluster.bucket import Entry
from app.cluster.owner import Owner
from app.cluster.peer.preamble import Preamble
from app.cluster.peer.serving import Bare
from app.cluster.peer.splice import Raw
from tests.app.cluster.one_directory import CREATED, World
from tests.tunnel.gateway.test_registry import Cluster
from tunnel.errors import LinkBusyError, NodeDrainingError, NotHereError


class Door:
    """The door for links that carry no bytes."""

    def __init__(self) -> None:
        self.left: list[str] = []
        self.finished = 0
        self.connections: list[object] = []

    def link_left(self, label: str) -> None:
        self.left.append(label)

    def finish(self) -> None:
        self.finished += 1


class Stage:
    """The registry and directory of one node, wired."""

    def __init__(self) -> None:
        self.w = World()
        self.w.nodes("n1")
        self.cluster = Cluster()
        self.door = Door()
        self.due = 0
        self.owner = Owner(self.cluster.registry, self.w.directory, self.door, on_due=self.note)  # type: ignore[arg-type]
        self.cluster.registry.watcher = self.owner

    def note(self) -> None:
        self.due += 1

    def ids(self) -> list[str]:
        return [link.agent_id for link in self.w.directory.own]

    def way(self, agent_id: str = "", cluster: str = "c1", publisher: str = "") -> Raw | Bare:
        return self.owner.links(Preamble(cluster, "apps", "web", 80, publisher, agent_id))

    def put(self, revision: int) -> None:
        """The bucket has this node's links."""
        write = self.w.directory.own.take()
        assert write is not None
        self.w.directory.changed(Entry(write.key, write.value, revision, CREATED), self.w.now)
        self.w.directory.own.ended(write)


@pytest.fixture
def s() -> Stage:
    return Stage()


def test_links_are_told_as_they_come_are_named_and_go(s: Stage):
    joining = s.cluster.dial("a1", ready=False)
    assert (s.ids(), s.due) == ([], 0)
    joining.acknowledge_hello()
    assert (s.ids(), s.due) == (["a1"], 1)
    unnamed = s.cluster.dial()
    assert s.ids() == ["a1", ""]
    unnamed.beat("a2")
    assert s.ids() == ["a1", "a2"]
    joining.link.lost("gone")
    assert s.door.left == [joining.link.name]
    assert s.ids() == ["a2"]


def test_a_link_that_was_never_ready_is_never_told(s: Stage):
    line = s.cluster.dial("a1", ready=False)
    line.link.lost("gone")
    assert (s.ids(), s.due) == ([], 0)


def test_a_stream_goes_over_the_agent_that_was_chosen(s: Stage):
    one, two = s.cluster.dial("a1"), s.cluster.dial("a2")
    assert s.way("a1") == Raw(one.link.carrier, "a1")  # type: ignore[arg-type]
    assert s.way("a2") == Raw(two.link.carrier, "a2")  # type: ignore[arg-type]
    assert s.way() == Raw(two.link.carrier, "a2")  # type: ignore[arg-type]


def test_no_link(s: Stage):
    s.cluster.dial("a1")
    for wanted in ({"agent_id": "a9"}, {"cluster": "c2"}, {"publisher": "p1"}):
        with pytest.raises(NotHereError):
            s.way(**wanted)


def test_a_publishers_link_is_a_pool_of_its_own(s: Stage):
    line = s.cluster.dial("p1", publisher="p1")
    assert s.way(publisher="p1") == Raw(line.link.carrier, "p1")  # type: ignore[arg-type]
    with pytest.raises(NotHereError):
        s.way()


def test_a_link_that_is_in_doubt_is_busy_and_not_away(s: Stage):
    line = s.cluster.dial("a1")
    s.put(5)
    s.w.put("n1", 6, "a1")  # a newer one elsewhere
    assert line.link.suspect
    with pytest.raises(LinkBusyError):
        s.way("a1")
    line.run()  # it answers the ping
    line.peer.session.ping(1.0)
    line.run()
    assert not line.link.suspect
    assert s.way("a1") == Raw(line.link.carrier, "a1")  # type: ignore[arg-type]
    assert not s.w.directory.is_outranked(next(iter(s.w.directory.own)))


def test_a_node_that_leaves_declines(s: Stage):
    s.cluster.dial("a1")
    s.owner.leave()
    assert s.door.finished == 1
    with pytest.raises(NodeDrainingError):
        s.way("a1")
    with pytest.raises(NotHereError):
        s.way("a9")
