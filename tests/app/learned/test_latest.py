"""A bounded number of the latest: which are kept, in which order, and what is forgotten."""

from app.learned.latest import Latest


def test_the_latest_are_kept_from_the_earliest_to_the_latest():
    latest: Latest[str, int] = Latest(2)
    for number, key in enumerate(("x", "y", "x", "z")):
        latest.put(key, number)
    assert list(latest) == [2, 3]
    assert [latest.of(key) for key in ("x", "y", "z")] == [2, None, 3]
    assert repr(latest) == "<Latest 2 of at most 2>"


def test_what_no_longer_holds_is_forgotten():
    latest: Latest[str, int] = Latest(2)
    latest.put("x", 1)
    for _ in range(2):
        latest.forget("x")
    assert (latest.of("x"), len(latest)) == (None, 0)


def test_it_may_change_while_somebody_goes_through_it():
    latest: Latest[str, int] = Latest(2)
    latest.put("x", 1)
    for value in latest:
        latest.put("y", value + 1)
    assert list(latest) == [1, 2]
