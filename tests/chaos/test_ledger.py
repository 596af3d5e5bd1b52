"""Every kind of broken promise is found, and nothing else."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.chaos.entries import Request, Talk, Trouble
from tests.chaos.ledger import AFTERMATH_SECONDS, Ledger, table

FREEZE = Trouble("frozen", 10.0, 14.0)
DEATH = Trouble("killed", 10.0, 30.0, node="a", dead_until=12.0)


def request(**facts: Any) -> Request:
    """A POST to c1 that was answered in order."""
    usual = {"status": 200, "answered_by": "c1", "node": "a", "ended": 11.5}
    return Request(**{"key": "r", "cluster": "c1", "began": 11.0, "is_repeatable": False, **usual, **facts})


def refused(status: int | None, **facts: Any) -> Request:
    return request(status=status, answered_by="", **{"has_page": True, **facts})


def talk(**facts: Any) -> Talk:
    usual = {"sent": 9, "received": 9, "ending": "closed", "code": 1000, "answered_by": "c1", "node": "a"}
    return Talk(**{"key": "t", "cluster": "c1", "began": 5.0, "ended": 12.0, **usual, **facts})


def books(
    *entries: Request | Talk,
    trouble: Trouble | None = FREEZE,
    more: Trouble | None = None,
    arrivals: tuple[str, ...] = ("c1",),
    at: str = "",
) -> Ledger:
    """`arrivals`: the clusters at which each entry arrived."""
    ledger = Ledger()
    ledger.troubles += filter(None, (trouble, more))
    for entry in entries:
        if isinstance(entry, Request):
            ledger.begin(entry)
        else:
            ledger.talks.append(entry)
        for cluster in arrivals:
            ledger.arrived(at or entry.key, cluster)
    return ledger


GOOD: dict[str, Callable[[], Ledger]] = {
    "nothing": Ledger,
    "a POST": lambda: books(request()),
    "a GET that was repeated": lambda: books(request(is_repeatable=True), arrivals=("c1", "c1")),
    "refused, never arrived": lambda: books(refused(503, told_to_retry=True), arrivals=()),
    "failed, may have been carried out": lambda: books(refused(502)),
    "a GET told to try again": lambda: books(refused(503, told_to_retry=True, is_repeatable=True)),
    "broken off after its head": lambda: books(request(is_whole=False)),
    "no answer from a killed gateway": lambda: books(refused(None, node=""), trouble=DEATH),
    "the balancer answers for a killed gateway": lambda: books(refused(502, node=""), trouble=DEATH),
    "a WebSocket": lambda: books(talk()),
    "a lost WebSocket, its last messages on their way": lambda: books(talk(ending="lost", code=1012, sent=12)),
    "a WebSocket of a killed gateway": lambda: books(talk(ending="lost", code=None), trouble=DEATH),
    "noticed late": lambda: books(refused(504, began=30.0, ended=33.0)),
}  # fmt: skip

BAD: dict[str, tuple[Callable[[], Ledger], str]] = {
    "no outcome": (lambda: books(request(ended=None)), "r: no outcome"),
    "a POST twice": (lambda: books(request(), arrivals=("c1", "c1")), "r: arrived 2 times"),
    "a failed POST twice": (lambda: books(refused(502), arrivals=("c1", "c1")), "r: arrived 2 times"),
    "a GET three times": (
        lambda: books(request(is_repeatable=True), arrivals=("c1",) * 3), "r: arrived 3 times"
    ),
    "answered by nobody": (lambda: books(request(), arrivals=()), "r: answered, and no service saw it"),
    "somebody else's answer": (lambda: books(request(is_right=False)), "r: a wrong answer"),
    "a wrong beginning": (lambda: books(request(is_right=False, is_whole=False)), "r: a wrong answer"),
    "the other cluster's answer": (
        lambda: books(request(answered_by="c2")), "r: meant for c1, answered by c2"
    ),
    "in the other cluster": (lambda: books(refused(502), arrivals=("c2",)), "r: meant for c1, arrived in c2"),
    "made up": (
        lambda: books(refused(502), at="x"), "x: a service saw it, and no client sent it"
    ),
    "told to try again what was carried out": (
        lambda: books(refused(503, told_to_retry=True)),
        "r: told 503 with Retry-After, but it was carried out",
    ),
    "failed out of the blue": (
        lambda: books(refused(502), trouble=None), "r: failed without a fault: 502"
    ),
    "failed by what happened in another cluster": (
        lambda: books(refused(502), trouble=Trouble("killed", 10.0, 14.0, "c2")), "r: failed without a fault: 502"
    ),
    "failed by what happened at the other gateway": (
        lambda: books(refused(502), trouble=Trouble("frozen", 10.0, 14.0, node="b")), "r: failed without a fault: 502"
    ),
    "not a word, long after the killed gateway answers again": (
        lambda: books(refused(None, node="", began=15.0, ended=16.0), trouble=DEATH), "r: not told why: no answer"
    ),
    "a WebSocket without a code, at the gateway that lives": (
        lambda: books(talk(ending="lost", code=1006, node="b"), trouble=DEATH, more=FREEZE),
        "t: not told why: close code 1006",
    ),
    "failed long after": (
        lambda: books(refused(502, began=15.0 + AFTERMATH_SECONDS, ended=50.0)), "r: failed without a fault: 502"
    ),
    "failed before": (lambda: books(refused(502, began=1.0, ended=9.0)), "r: failed without a fault: 502"),
    "not a word": (
        lambda: books(refused(None, error="ServerDisconnectedError")), "r: not told why: ServerDisconnectedError"
    ),
    "left hanging": (lambda: books(refused(None, is_hung=True), trouble=DEATH), "r: left hanging"),
    "left hanging within its answer": (
        lambda: books(request(is_whole=False, is_hung=True), trouble=DEATH), "r: left hanging"
    ),
    "a strange status": (lambda: books(refused(500)), "r: told 500"),
    "refused without a page": (lambda: books(refused(503, has_page=False)), "r: told 503 without a page"),
    "the balancer's word, the gateways alive": (
        lambda: books(refused(504, node="")),
        "r: told 504 by the balancer, with both gateways alive",
    ),
    "a lost message": (lambda: books(talk(received=8)), "t: lost 1 messages of a WebSocket that survived"),
    "a message too many": (
        lambda: books(talk(ending="lost", code=1012, received=10)), "t: sent 9 messages, got 10"
    ),
    "out of order": (lambda: books(talk(ending="wrong: 'b' instead of 'a'")), "t: wrong: 'b' instead of 'a'"),
    "a WebSocket left hanging": (
        lambda: books(talk(ending="left hanging after 3 messages")), "t: left hanging after 3 messages"
    ),
    "an end without a code": (
        lambda: books(talk(ending="lost", code=1006)), "t: not told why: close code 1006"
    ),
    "an end that blames the client": (
        lambda: books(talk(ending="lost", code=1002)), "t: not told why: close code 1002"
    ),
    "an end out of the blue": (
        lambda: books(talk(ending="lost", code=1012), trouble=None), "t: lost without a fault: 1012"
    ),
    "another code than the client's own": (
        lambda: books(talk(code=1011)), "t: closed in order with 1000, told 1011"
    ),
    "the other cluster's WebSocket": (
        lambda: books(talk(answered_by="c2")), "t: meant for c1, answered by c2"
    ),
    "a WebSocket in the other cluster": (
        lambda: books(talk(), arrivals=("c2",)), "t: meant for c1, arrived in c2"
    ),
    "accepted by nobody": (lambda: books(talk(), arrivals=()), "t: accepted, and no service saw it"),
}  # fmt: skip


@pytest.mark.parametrize("make", GOOD.values(), ids=GOOD)
def test_what_is_right_is_no_violation(make: Callable[[], Ledger]):
    assert make().violations() == []


@pytest.mark.parametrize(("make", "violation"), BAD.values(), ids=BAD)
def test_what_is_wrong_is_found(make: Callable[[], Ledger], violation: str):
    assert make().violations() == [violation]


def test_what_does_not_come_back_is_a_violation():
    ledger = books(request())
    ledger.unhealed.append("agent killed, a1: not within 60 s")
    assert ledger.violations() == ["agent killed, a1: not within 60 s"]


def test_an_id_is_used_once():
    with pytest.raises(AssertionError, match="used twice"):
        books(request(), request())


@pytest.mark.parametrize(
    ("other", "cause"),
    [
        (Trouble("later", 11.2, 14.0), "later"),
        (Trouble("later, of another cluster", 11.2, 14.0, "c2"), "frozen"),
        (Trouble("earlier, of its cluster", 10.5, 14.0, "c1"), "earlier, of its cluster"),
        (Trouble("over, of its cluster", 9.0, 9.5, "c1"), "frozen"),
    ],
    ids=lambda value: value.kind if isinstance(value, Trouble) else "",
)
def test_a_failure_is_ascribed_to_one_fault(other: Trouble, cause: str):
    ledger = books(refused(502))
    ledger.troubles.append(other)
    assert [kind for kind, one in ledger.consequences().items() if one.outcomes] == [cause]


def test_the_table_tells_what_came_of_each_kind():
    ledger = books(
        refused(502), refused(None, key="r2", node="", ended=13.0), talk(ending="lost", code=1012), request(key="r3")
    )
    ledger.troubles.append(Trouble("killed", 12.5, 13.0, dead_until=13.0))
    ledger.troubles.append(Trouble("reloaded", 900.0, 901.0))
    assert table(("frozen", "killed", "reloaded", "never"), ledger.consequences()).splitlines()[2:] == [
        "| frozen | 1 | 1 x 502, 1 x WebSocket 1012 | 2.0 s |",
        "| killed | 1 | 1 x no answer | 0.5 s |",
        "| reloaded | 1 | nothing failed | - |",
    ]
