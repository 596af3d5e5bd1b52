"""Who stalls, and who is ended first: tables over plain values and times."""

import pytest

from app.node.stalls import NO_LAGS, STALLED_SECONDS, Lag, Lags, Sight, Stalled, in_order
from tests.fakes.growth import calls_of

SOON = STALLED_SECONDS / 2


def seen(*looks: tuple[float, Lags]) -> list[float | None]:
    sight = Sight()
    return [sight.look(lags, now) for now, lags in looks]


def client(mark: int, since: float | None = 3.0) -> Lags:
    return (Lag(since, mark), None)


def service(mark: int, since: float | None = 3.0) -> Lags:
    return (None, Lag(since, mark))


@pytest.mark.parametrize(
    ("looks", "seconds"),
    [
        ([(10.0, client(9))], [None]),  # one look tells nothing, however long it may have been
        ([(10.0, client(9)), (10.0 + SOON, client(9))], [None, None]),
        ([(10.0, client(9)), (10.5, client(9)), (11.0, client(9))], [None, 7.5, 8.0]),
        ([(10.0, service(9)), (11.0, service(9)), (11.5, service(9))], [None, None, 8.5]),  # shows later
        ([(10.0, client(9)), (10.5, client(8)), (11.0, client(8))], [None, None, 0.5]),  # slow: it takes some
        ([(10.0, client(9)), (10.5, client(9, 10.2)), (11.0, client(9, 10.2))], [None, None, 0.5]),  # it took all
        ([(10.0, client(9, None)), (10.5, client(9, None)), (12.0, client(9, None))], [None, 0.5, 2.0]),
        ([(10.0, client(9)), (10.5, NO_LAGS), (11.0, client(9)), (11.5, client(9))], [None, None, None, 8.5]),
        ([(10.0, NO_LAGS), (20.0, NO_LAGS)], [None, None]),
        (  # one side moves, and the other does not
            [(10.0, (Lag(9.0, 1), Lag(8.0, 1))), (11.5, (Lag(9.0, 1), Lag(11.4, 1))), (12.0, (Lag(9.0, 1), None))],
            [None, 2.5, 3.0],
        ),
        ([(10.0, (Lag(9.0, 1), Lag(8.0, 1))), (11.5, (Lag(9.0, 1), Lag(8.0, 1)))], [None, 3.5]),  # the longer one
    ],
)
def test_whoever_takes_nothing_between_two_looks_stalls(looks: list[tuple[float, Lags]], seconds: list[float | None]):
    assert seen(*looks) == seconds


def order_of(*stalled: tuple[str, str, int, float]) -> str:
    return "".join(each.item for each in in_order([Stalled(*values) for values in stalled]))


@pytest.mark.parametrize(
    ("stalled", "order"),
    [
        ([], ""),
        ([("a", "x", 5, 1.0)], "a"),
        ([("a", "x", 5, 1.0), ("b", "x", 5, 3.0), ("c", "x", 9, 2.0)], "bca"),  # of one client: the longest first
        ([("a", "x", 5, 9.0), ("b", "y", 6, 1.0)], "ba"),  # whoever holds most, however short
        ([("a", "x", 5, 1.0), ("b", "y", 5, 2.0)], "ba"),  # as much: the longest first
        (  # one with many goes down to one with few, not further
            [("a", "x", 4, 9.0), ("b", "y", 4, 3.0), ("c", "y", 4, 2.0), ("d", "y", 4, 1.0)],
            "bcad",
        ),
        (  # two with many, turn by turn
            [("a", "x", 4, 4.0), ("b", "x", 4, 2.0), ("c", "y", 4, 3.0), ("d", "y", 4, 1.0)],
            "acbd",
        ),
    ],
)
def test_of_the_client_that_holds_most_the_one_that_stalled_longest(
    stalled: list[tuple[str, str, int, float]], order: str
):
    assert order_of(*stalled) == order


def test_the_order_costs_the_same_for_each_of_many():
    def cost_each(number: int) -> float:
        many = [Stalled(each, f"{each % (number // 2)}", each % 97, float(each % 89)) for each in range(number)]
        return calls_of(lambda: list(in_order(many))) / number

    assert cost_each(2_000) < 1.5 * cost_each(200)
