"""An upstream that the registry knows is always the one that it would choose anew."""

from collections.abc import Callable
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.examples import examples
from tests.fakes.sink import FakeSink
from tests.tunnel.gateway.peer import Line
from tests.tunnel.gateway.test_registry import Cluster
from tunnel.errors import NoAgentError
from tunnel.gateway import registry as registry_module
from tunnel.gateway.link import Link, LinkState
from tunnel.gateway.registry import Registry
from tunnel.port import RequestHead, Target, Upstream

WEB = Target("c1", "apps", "web", 80)
TARGETS = [WEB, replace(WEB), replace(WEB, port=81), replace(WEB, cluster="c2")]
"""The second is equal to the first, and another object."""


def chosen(registry: Registry, target: Target, avoid: str | None = None) -> Upstream | None:
    """As the gateway asks for one; None: nobody is there."""
    known = registry.known_upstream(target)
    if known is not None:
        return known
    try:
        return registry.upstream(target, avoid=avoid)
    except NoAgentError:
        assert registry.known_upstream(target) is None
        return None


def anew(registry: Registry, target: Target, avoid: str | None = None) -> Upstream | None:
    try:
        return registry.select(target.pool, avoid=avoid).upstream(target)
    except NoAgentError:
        return None


def takes_exchanges(link: Link) -> bool:
    carrier = link.carrier
    return link.state is LinkState.READY and not link.suspect and carrier is not None and not carrier.going_away


def pass_time(line: Line, registry: Registry) -> None:
    """Long enough that the carrier drops an upstream that nobody uses."""
    for _ in range(10):
        line.pass_time(0.5, answering=True)
        registry.forget()


def busier(line: Line, registry: Registry) -> None:
    if line.link.carrier is not None:
        line.link.carrier.active += 3


EVENTS: dict[str, Callable[[Line, Registry], object]] = {
    "joined": lambda line, registry: line.acknowledge_hello(),
    "named": lambda line, registry: line.beat("a1"),
    "named otherwise": lambda line, registry: line.beat("a2"),
    "doubted": lambda line, registry: line.link.doubt(),
    "heard": lambda line, registry: line.run(),
    "says that it leaves": lambda line, registry: line.say("going_away"),
    "ends its session": lambda line, registry: (line.peer.session.go_away(0), line.run()),
    "closed": lambda line, registry: line.link.close(1012, "over"),
    "lost": lambda line, registry: line.link.lost("gone"),
    "time": pass_time,
    "busier": busier,
}
"""What may happen to a link."""

dials = st.tuples(st.sampled_from(["c1", "c2"]), st.sampled_from([None, "a1", "a2"]), st.booleans())
events = st.tuples(st.integers(0, 3), st.sampled_from(sorted(EVENTS)))


@examples(200)
@given(st.lists(st.one_of(dials, events), max_size=14))
def test_what_is_known_is_what_would_be_chosen(steps: list[tuple[str, str | None, bool] | tuple[int, str]]) -> None:
    cluster = Cluster()
    registry = cluster.registry
    for step in steps:
        if len(step) == 3:
            name, agent_id, ready = step
            cluster.dial(agent_id, cluster=name, ready=ready)
        elif cluster.lines:
            line = cluster.lines[step[0] % len(cluster.lines)]
            if step[1] != "joined" or line.link.state is LinkState.JOINING:
                EVENTS[step[1]](line, registry)
        for line in cluster.lines:
            assert line.link.available == takes_exchanges(line.link)
        for target in TARGETS:
            for avoid in (None, cluster.lines[-1].link.name if cluster.lines else None):
                assert chosen(registry, target, avoid) is anew(registry, target, avoid)


def ready(cluster: Cluster) -> Line:
    line = cluster.dial("a1")
    assert cluster.registry.known_upstream(WEB) is None
    assert cluster.registry.upstream(WEB) is line.link.upstream(WEB)
    return line


def test_only_the_very_target_is_known() -> None:
    cluster = Cluster()
    line = ready(cluster)
    assert cluster.registry.known_upstream(WEB) is line.link.upstream(WEB)
    assert cluster.registry.known_upstream(replace(WEB)) is None


def test_with_a_second_link_nothing_is_known_and_the_load_is_shared() -> None:
    cluster = Cluster()
    first = ready(cluster)
    second = cluster.dial("a2")
    assert cluster.registry.known_upstream(WEB) is None
    labels = []
    for _ in range(4):
        upstream = chosen(cluster.registry, WEB)
        assert upstream is not None
        labels.append(upstream.label)
        upstream.open(RequestHead(b"GET", b"/", []), FakeSink())
    assert sorted(labels) == sorted([first.link.name, second.link.name] * 2)
    second.link.lost("gone")
    assert chosen(cluster.registry, WEB) is cluster.registry.known_upstream(WEB) is first.link.upstream(WEB)


def test_a_link_that_is_gone_is_not_kept() -> None:
    cluster = Cluster()
    line = ready(cluster)
    line.link.lost("gone")
    assert not cluster.registry._known


def test_what_is_known_is_bounded() -> None:
    cluster = Cluster()
    ready(cluster)
    targets = [replace(WEB, port=1 + number) for number in range(registry_module._KNOWN + 10)]
    for target in targets:
        cluster.registry.upstream(target)
    assert len(cluster.registry._known) == registry_module._KNOWN
    cluster.registry.forget()
    assert cluster.registry.known_upstream(targets[0]) is None
