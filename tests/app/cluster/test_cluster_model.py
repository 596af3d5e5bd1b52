"""Whatever nodes, agents and the engine do in whatever order: in the end all nodes agree, and on the right thing.

Agents move between nodes and leave half-open links behind; mirrors lag; nodes lose the engine, freeze, die and say
goodbye; answers to writes are lost; JetStream has no leader; announcements are lost or late; the buckets are made anew;
clocks are 5 s apart.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from app.cluster.directory import KEEP_SECONDS
from app.cluster.presence import FORGET_SECONDS
from tests.app.cluster.several_nodes import AGENTS, CLUSTERS, Engine, Node
from tests.fakes.examples import examples

CLOCKS = st.sampled_from([0.0, 5.0, -5.0])
NODES = st.integers(0, 3)
MOST_NODES = 4


class Machine(RuleBasedStateMachine):
    """The truth is in the nodes' own links and in `Engine.order`."""

    def __init__(self) -> None:
        super().__init__()
        self.engine = Engine()
        self.alive: list[Node] = []

    def __getitem__(self, which: int) -> Node:
        return self.alive[which % len(self.alive)]

    @initialize()
    def three_nodes_with_an_agent_each(self) -> None:
        self.alive = [Node(self.engine, ahead) for ahead in (0.0, 5.0, -5.0)]
        for node, agent in zip(self.alive, AGENTS, strict=True):
            node.came("c1", agent)
            node.write()
        self.pass_time(1)

    @rule(ahead=CLOCKS)
    def start(self, ahead: float) -> None:
        if len(self.alive) < MOST_NODES:
            self.alive.append(Node(self.engine, ahead))

    @rule(which=NODES, says_goodbye=st.booleans())
    def end(self, which: int, says_goodbye: bool) -> None:
        node = self[which]
        if len(self.alive) > 1:
            if says_goodbye and node.sees_engine:
                node.beat(bye=True)
            node.stop()
            self.alive.remove(node)

    # --- agents

    @rule(which=NODES, cluster=st.sampled_from(CLUSTERS), agent=st.sampled_from(AGENTS), half_open=st.booleans())
    def move(self, which: int, cluster: str, agent: str, half_open: bool) -> None:
        """The agent has a link to this node now, and the others are over, or nobody is at their other end."""
        node = self[which]
        for other in self.alive:
            for link in other.own:
                if agent and other is not node and (link.cluster, link.agent_id) == (cluster, agent):
                    if half_open:
                        other.links[link.name] = False
                    else:
                        other.went(link.name)
        node.came(cluster, agent)

    @rule(which=NODES, cluster=st.sampled_from(CLUSTERS), agent=st.sampled_from(AGENTS))
    def another_link(self, which: int, cluster: str, agent: str) -> None:
        """The agent keeps links to several nodes."""
        node = self[which]
        node.came(cluster, agent)

    @rule(which=NODES, link=st.integers(0, 9))
    def hang_up(self, which: int, link: int) -> None:
        node = self[which]
        if own := node.own:
            node.went(own[link % len(own)].name)

    @rule(which=NODES, link=st.integers(0, 9), agent=st.sampled_from(["a", "b"]))
    def name(self, which: int, link: int, agent: str) -> None:
        node = self[which]
        nameless = [link for link in node.own if not link.agent_id]
        if nameless:
            named = nameless[link % len(nameless)]
            for other in node.own:
                if (other.cluster, other.agent_id) == (named.cluster, agent):
                    node.went(other.name)
            node.directory.named(named.name, agent)

    @rule(which=NODES)
    def ping(self, which: int) -> None:
        node = self[which]
        node.ping()

    # --- the engine

    @rule(which=NODES, meanwhile=st.sampled_from(["", "a", "b"]))
    def write(self, which: int, meanwhile: str) -> None:
        """All that is due; an agent may come during the first of them."""
        node = self[which]
        node.write(meanwhile=meanwhile)
        while node.write():
            pass

    @rule(which=NODES)
    def write_without_an_answer(self, which: int) -> None:
        node = self[which]
        self.engine.links.lose_answers = 1
        node.write()
        self.engine.links.lose_answers = 0

    @rule(which=NODES, of_links=st.booleans())
    def lag(self, which: int, of_links: bool) -> None:
        node = self[which]
        node.mirrors[of_links].hold()

    @rule(which=NODES, of_links=st.booleans())
    def catch_up(self, which: int, of_links: bool) -> None:
        node = self[which]
        if node.sees_engine:
            node.mirrors[of_links].deliver()

    @rule(which=NODES)
    def cut_off(self, which: int) -> None:
        node = self[which]
        node.cut_off()

    @rule(which=NODES)
    def connect(self, which: int) -> None:
        node = self[which]
        node.connect()

    @rule(of_links=st.booleans())
    def make_anew(self, of_links: bool) -> None:
        (self.engine.links if of_links else self.engine.nodes).make_anew()

    @rule()
    def lose_leader(self) -> None:
        self.engine.lose_leader()

    @rule()
    def find_leader(self) -> None:
        self.engine.find_leader()

    # --- announcements

    @rule(which=NODES, lost=st.booleans())
    def announce(self, which: int, lost: bool) -> None:
        node = self[which]
        node.announce(lost=lost)

    @rule(which=NODES)
    def announce_again(self, which: int) -> None:
        node = self[which]
        node.directory.own.announce_again()
        node.announce()

    # --- time

    @rule(which=NODES)
    def freeze(self, which: int) -> None:
        node = self[which]
        node.runs = False
        for mirror in node.mirrors:
            mirror.hold()

    @rule(which=NODES)
    def wake(self, which: int) -> None:
        node = self[which]
        node.wake()
        node.tick()
        for mirror in node.mirrors:
            if node.sees_engine:
                mirror.deliver()

    @rule(seconds=st.sampled_from([1, 2, 5, 70]))
    def pass_time(self, seconds: int) -> None:
        for _ in range(seconds):
            self.engine.now += 1.0
            for node in self.alive:
                if node.runs:
                    node.tick()

    @rule(which=NODES)
    def clear_up(self, which: int) -> None:
        node = self[which]
        if node.sees_engine and node.runs:
            node.clear_up()

    @rule(which=NODES, cluster=st.sampled_from(CLUSTERS), agent=st.sampled_from(AGENTS))
    def ask(self, which: int, cluster: str, agent: str) -> None:
        """An exchange goes to where the directory says, and that node answers what is true: each claim at most once."""
        node, asked = self[which], set()
        while (claim := node.choose(cluster, sticky=agent)) is not None:
            owner = next((other for other in self.alive if other.id == claim.node), None)
            if owner is None or owner is node or not owner.runs or owner.takes(cluster, claim.agent_id):
                break
            assert claim not in asked
            asked.add(claim)
            node.directory.not_here(claim)

    # --- what always holds

    @invariant()
    def nothing_leads_to_a_node_that_was_heard_to_say_goodbye(self) -> None:
        for node in self.alive:
            for cluster in CLUSTERS:
                claim = node.choose(cluster)
                if claim is not None and claim.node != node.id:
                    peer = node.presence.peer(claim.node)
                    assert peer is not None
                    assert peer.beat is not None
                    assert not peer.beat.bye

    @invariant()
    def the_index_is_what_the_entries_say(self) -> None:
        for node in self.alive:
            directory = node.directory
            indexed = {claim for claims in directory._pools.values() for claim in claims.values()}
            held = {claim for entry in directory._held.values() for claim in entry.claims}
            missed = {claim for entry in directory._held.values() for claim in entry.missed}
            assert indexed == held - missed
            announced = directory.announced
            of_nodes = [which for node_ in announced._nodes.values() for of in node_.clusters.values() for which in of]
            assert sorted(map(str, of_nodes)) == sorted(map(str, announced._held))
            assert {which for claims in announced._pools.values() for which in claims} <= set(announced._held)
            assert sum(one.count for one in announced._nodes.values()) == len(announced)
            assert set(announced._nodes) <= directory._usable
            assert all(announced._pools.values())
            assert {key for keys in directory._of_node.values() for key in keys} == set(directory._held)
            assert all(directory._pools.values())

    @invariant()
    def an_announcement_is_followed_only_where_no_entry_leads_anywhere(self) -> None:
        for node in self.alive:
            for cluster in CLUSTERS:
                claim = node.choose(cluster, local=False)
                if claim is not None and claim in node.directory.announced.of_pool(cluster):
                    entries = node.directory._pools.get(cluster, {}).values()
                    assert not any(one.node in node.directory._usable for one in entries)

    # --- the end

    def teardown(self) -> None:
        self.settle()
        for node in self.alive:
            self.check(node)

    def settle(self) -> None:
        """Everybody runs and sees the engine; what the dead left is forgotten, and deleted by somebody."""
        self.engine.find_leader()
        for node in self.alive:
            node.wake()
            node.connect()
        for _ in range(int(FORGET_SECONDS + KEEP_SECONDS) + 5):
            self.engine.now += 1.0
            for node in self.alive:
                node.tick()
                node.ping()
                node.announce()
                while node.write():
                    pass
                node.clear_up()

    def check(self, node: Node) -> None:
        others = {other.id: other for other in self.alive if other is not node}
        assert node.presence.own == "connected"
        assert {peer.node for peer in node.presence} == set(others)
        assert all(peer.state == "live" for peer in node.presence)
        for cluster in CLUSTERS:
            links = [(other, link) for other in self.alive for link in other.own if link.cluster == cluster]
            claims = node.directory.claims(cluster)
            assert {(claim.node, claim.agent_id, claim.stamp) for claim in claims} == {
                (other.id, link.agent_id, link.stamp) for other, link in links
            }
            self.check_choice(node, cluster)
        assert set(node.directory._held) == {
            key for key, entry in self.engine.links.entries.items()
            if entry.value is not None and not key.endswith(f".{node.id}")
        }  # fmt: skip
        assert not any(held.missed for held in node.directory._held.values())
        assert (node.directory._adrift, node.directory._usable) == (set(), set(others))
        assert len(node.directory.announced) == 0
        own = node.directory.own
        assert {link.cluster for link in node.own} == {key.partition(".")[0] for key in own._keys}
        assert (own._due, own._under_way) == ({}, {})

    def check_choice(self, node: Node, cluster: str) -> None:
        """The newest link of an agent, by the engine's order, where this node has none of its own."""
        others = [
            (self.engine.order[link.name], other, link)
            for other in self.alive for link in other.own if other is not node and link.cluster == cluster
        ]  # fmt: skip
        chosen = node.choose(cluster, local=False)
        assert (chosen is None) == (not others)
        if chosen is not None:
            _, other, link = max(one for one in others if one[2].agent_id == chosen.agent_id)
            assert (chosen.node, chosen.stamp) == (other.id, link.stamp)


Machine.TestCase.settings = settings(examples(100), stateful_step_count=50)
TestCluster = Machine.TestCase
