"""WebSockets of other nodes count for the limits of this one, as far as these tell them."""

import pytest

from app.node.admission import Admission
from app.node.shared_counts import KEPT, MOST, PARTS, Key, SharedCounts
from app.rules import problems
from tests.app.node.test_admission import admitted, handshake, route

LIMIT = 3


def shared() -> tuple[Admission, SharedCounts]:
    admission, counts = Admission(), SharedCounts()
    admission.shared = counts
    return admission, counts


@pytest.mark.parametrize(
    ("kind", "name", "problem"),
    [
        ("route", "a.test/", problems.TOO_MANY_OF_ROUTE),
        ("client", "192.0.2.1", problems.TOO_MANY_OF_CLIENT),
        ("cluster", "c1", problems.TOO_MANY_OF_CLUSTER),
    ],
)
def test_what_others_have_counts(kind: str, name: str, problem: problems.Problem):
    admission, counts = shared()
    limited = route(max_websockets=LIMIT, max_websockets_per_client=LIMIT)
    counts.heard("n2", {kind: {name: 2, "other": 5}})
    admitted(admission.admit(limited, handshake(), LIMIT))
    assert admission.admit(limited, handshake(), LIMIT) is problem
    counts.heard("n2", {kind: {name: 1}})
    admitted(admission.admit(limited, handshake(), LIMIT))
    counts.heard("n3", {kind: {name: 9}})
    counts.gone("n3")
    counts.gone("n3")
    counts.gone("n2")
    admitted(admission.admit(limited, handshake(), LIMIT))
    assert repr(counts) == "<SharedCounts of 0 other nodes: 0 names, 3 to tell>"


def test_without_a_limit_nothing_is_told_or_refused():
    admission, counts = shared()
    counts.heard("n2", {"cluster": {"c1": 1_000_000}})
    for _ in range(LIMIT):
        admitted(admission.admit(route(), handshake(), None))
    assert counts.to_tell(admission.count_of) == {}


def test_a_node_tells_what_it_has_until_it_is_over():
    admission, counts = shared()
    limited = route(b"/app", max_websockets=LIMIT, max_websockets_per_client=LIMIT)
    tickets = [admitted(admission.admit(limited, handshake(), LIMIT)) for _ in range(2)]
    told = {"route": {"a.test/app": 2}, "client": {"192.0.2.1": 2}, "cluster": {"c1": 2}}
    assert counts.to_tell(admission.count_of) == told
    other_admission, other = shared()
    other.heard("n1", told)
    admitted(other_admission.admit(limited, handshake(), LIMIT))
    assert other_admission.admit(limited, handshake(), LIMIT) is problems.TOO_MANY_OF_ROUTE
    for ticket in tickets:
        ticket.release()
    assert counts.to_tell(admission.count_of) == {}
    assert repr(counts) == "<SharedCounts of 0 other nodes: 0 names, 0 to tell>"


def test_little_of_a_large_limit_is_not_told():
    admission, counts = shared()
    for number in range(3):
        assert counts.to_tell(admission.count_of) == {}, number
        admitted(admission.admit(route(), handshake(), 3 * PARTS))
    assert counts.to_tell(admission.count_of) == {"cluster": {"c1": 3}}


def test_the_largest_are_told():
    _, counts = shared()
    for number in range(MOST + 2):
        counts.admitted(("client", f"c{number}"), number + 1, 1)
    told = counts.to_tell(lambda key: int(str(key[1])[1:]) + 1)["client"]
    assert len(told) == MOST
    assert not {"c0", "c1"} & set(told)


def test_only_so_many_are_looked_at_for_each_beat():
    """Twenty thousand clients with one WebSocket each, and a few that have more."""
    _, counts = shared()
    has = {("client", f"c{number}"): 1 for number in range(10 * KEPT)}
    looked_at = []

    def count_of(key: Key) -> int:
        looked_at.append(key)
        return has[key]

    for key in has:
        counts.admitted(key, 1, 10)
    assert len(counts.to_tell(count_of)["client"]) == MOST
    for key in has:
        counts.admitted(key, 1, 10)
    large = ("client", "c77")
    has[large] = 5
    counts.admitted(large, 5, 10)
    looked_at.clear()
    assert counts.to_tell(count_of)["client"]["c77"] == 5
    assert len(looked_at) <= KEPT + 1
    has |= dict.fromkeys(has, 0) | {large: 5}
    assert counts.to_tell(count_of) == {"client": {"c77": 5}}
    has["client", "new"] = 1
    counts.admitted(("client", "new"), 1, 10)
    assert counts.to_tell(count_of) == {"client": {"c77": 5, "new": 1}}


@pytest.mark.parametrize("name", ["x" * 256, "\N{GRINNING FACE}" * 64])
def test_a_name_that_is_too_long_is_not_told(name: str):
    _, counts = shared()
    counts.admitted(("client", name), 1, 1)
    assert counts.to_tell(lambda _: 1) == {}


def test_a_kind_that_this_release_does_not_know_is_left_out():
    _, counts = shared()
    counts.heard("n2", {"token": {"t": 1}})
    assert counts.elsewhere(("cluster", "t")) == 0
    assert repr(counts) == "<SharedCounts of 0 other nodes: 0 names, 0 to tell>"
