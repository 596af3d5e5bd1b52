"""Whatever agents do in whatever order: what is published equals a model that keeps one list of routes."""

from dataclasses import dataclass, replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from app.published import LINGER_SECONDS
from app.published.names import names_below
from app.settings import Grant
from tests.app.published.world import HOLDERS, World, file_routes, wanted
from tests.fakes.examples import examples
from tests.fakes.growth import FACTOR, calls_of, grows_linearly

AGENTS = st.sampled_from(sorted(HOLDERS))
ROUTES = st.lists(
    st.tuples(
        st.sampled_from(["", "1.both.test", "2.both.test", "x.a.test", "x.b.test"]), st.sampled_from(["/", "/app"])
    ),
    unique=True, max_size=4,
)  # fmt: skip
GRANTS = {
    b"a": Grant(("a",), hosts=("*.a.test", "*.both.test"), max_published=5),
    b"b": Grant(("b",), hosts=("*.b.test", "*.both.test"), max_published=3),
}
CHANGES = {
    "as at first": {},
    "a lost a host": {b"a": replace(GRANTS[b"a"], hosts=("*.a.test",))},
    "b is revoked": {b"b": replace(GRANTS[b"b"], revoked=True)},
    "a has one route": {b"a": replace(GRANTS[b"a"], max_published=1)},
}


@dataclass
class Row:
    host: str
    path: str
    agent: str


class Machine(RuleBasedStateMachine):
    """The model: `rows`, and since when an agent is gone."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(grants=GRANTS)
        self.grants = dict(GRANTS)
        self.of_file: tuple[str, ...] = ()
        self.rows: list[Row] = []
        self.gone: dict[str, float] = {}

    def covered(self, agent: str, host: str) -> bool:
        grant = self.grants[agent[0].encode()]
        return not grant.revoked and any(host.endswith(pattern[1:]) for pattern in grant.hosts)

    def is_free(self, agent: str, host: str) -> bool:
        others = [row.agent for row in self.rows if row.host == host and row.agent != agent]
        held = any(self.covered(other, host) and not self.is_left(other, agent) for other in others)
        return not held and not any(host.endswith(rule.removeprefix("*")) for rule in self.of_file)

    def is_left(self, agent: str, other: str) -> bool:
        """Everybody's machine is the same, so only the tokens differ."""
        return agent in self.gone and agent[0] == other[0]

    @rule(agent=AGENTS, routes=ROUTES)
    def publish(self, agent: str, routes: list[tuple[str, str]]) -> None:
        token = agent[0]
        if self.grants[token.encode()].revoked:
            return  # such a link is closed, and a message of it is not worked off
        answers = self.world.publish(agent, *(wanted(host, path) for host, path in routes), seed="same")
        new: list[Row] = []
        for (host, path), answer in zip(routes, answers, strict=True):
            name: str | None = host
            if not host:
                below = self.grants[token.encode()].hosts[0][1:]
                tries = names_below(below, cluster=token, seed="same", key=f"{host}{path}")
                name = next((name for name in tries if self.is_free(agent, name)), None)
            taken = {row.host for row in new} | {name}
            others = sum(row.agent != agent and row.agent[0] == token and row.host not in taken for row in self.rows)
            if name is None:
                code = "no_free_name"
            elif not self.covered(agent, name):
                code = "host_not_allowed"
            elif not self.is_free(agent, name):
                code = "host_taken"
            elif others + len(new) >= self.grants[token.encode()].max_published:
                code = "too_many_published"
            else:
                code = ""
                new.append(Row(name, path, agent))
            assert (answer.code, answer.host if not code else name or "") == (code, name or "")
        taken = {row.host for row in new}
        self.rows = [row for row in self.rows if row.agent != agent and row.host not in taken] + new
        self.gone.pop(agent, None)

    @rule(agent=AGENTS)
    def lose(self, agent: str) -> None:
        self.world.lose(agent)
        self.gone.setdefault(agent, self.world.now)

    @rule(agent=AGENTS)
    def reconnect(self, agent: str) -> None:
        self.world.lose(agent)
        self.gone.setdefault(agent, self.world.now)
        self.world.reconnect(agent)

    @rule(seconds=st.sampled_from([1.0, 30.0, LINGER_SECONDS]))
    def passes(self, seconds: float) -> None:
        self.world.passes(seconds)
        gone = {agent for agent, since in self.gone.items() if self.world.now >= since + LINGER_SECONDS}
        self.rows = [row for row in self.rows if row.agent not in gone]

    @rule(change=st.sampled_from(sorted(CHANGES)), of_file=st.sampled_from([(), ("1.both.test",), ("*.a.test",)]))
    def reload(self, change: str, of_file: tuple[str, ...]) -> None:
        self.grants, self.of_file = GRANTS | CHANGES[change], of_file
        self.world.apply(grants=self.grants, routes=file_routes(*of_file))

    @invariant()
    def it_equals_the_model(self) -> None:
        rows = sorted((row.host, row.path, row.agent) for row in self.rows)
        assert [(one.host, one.path, one.holder.agent_id) for one in self.world.set] == rows
        assert (len(self.world.set), self.world.set.clusters) == (len(rows), {row.agent[0] for row in self.rows})
        for host in {row.host for row in self.rows} | {"1.both.test", "x.a.test"}:
            served = [row for row in self.rows if row.host == host and self.covered(row.agent, host)]
            assert self.world.serves(host) == [
                f"{row.path} {row.agent}" for row in sorted(served, key=lambda row: -len(row.path))
            ]
            holder = self.world.set.holder_of(host)
            assert (holder.agent_id if holder is not None else None) == (served[0].agent if served else None)

    @invariant()
    def one_agent_holds_a_host(self) -> None:
        holders: dict[str, set[str]] = {}
        for one in self.world.set:
            holders.setdefault(one.host, set()).add(one.holder.agent_id)
        assert all(len(agents) == 1 for agents in holders.values())

    def teardown(self) -> None:
        """Nothing is left when everybody is gone."""
        for agent in HOLDERS:
            self.world.lose(agent)
        self.world.passes(LINGER_SECONDS)
        left = self.world.set
        tables = (
            left._holdings, left._hosts, left._gone, left._per_token, left._per_cluster, left._served, left._stale,
        )  # fmt: skip
        assert ([len(table) for table in tables], left.count) == ([0] * len(tables), 0)


TestModel = Machine.TestCase
TestModel.settings = settings(examples(150), stateful_step_count=20)


def test_a_message_costs_in_proportion_to_its_routes():
    def cost(routes: int) -> int:
        world = World()
        others = [wanted(f"y{number}.a.test") for number in range(100 - routes)]
        world.publish("anna", *others)
        wants = [wanted(f"x{number}.a.test", host_header="localhost:5173") for number in range(routes)]
        return calls_of(lambda: world.publish("alice", *wants))

    assert grows_linearly(cost(20), cost(20 * FACTOR))


def test_a_message_costs_the_same_however_many_others_publish():
    def cost(agents: int) -> int:
        world = World()
        holder = world.links["alice"]
        for number in range(agents):
            world.links["other"] = replace(holder, agent_id=f"other-{number}", link_name=f"link-{number}")
            world.publish("other", wanted(f"y{number}.a.test"))
        return calls_of(lambda: world.publish("alice", wanted("x.a.test")))

    assert cost(10) == cost(40)


def test_a_tick_costs_nothing_while_all_links_live():
    def cost(agents: int) -> int:
        world = World()
        holder = world.links["alice"]
        for number in range(agents):
            world.links["other"] = replace(holder, agent_id=f"other-{number}", link_name=f"link-{number}")
            world.publish("other", wanted(f"y{number}.a.test"))
        return calls_of(lambda: world.passes(1))

    assert cost(10) == cost(40)
