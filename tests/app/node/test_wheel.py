"""The wheel of deadlines: what is due comes, once and in time, and what is not costs nothing."""

import random
from math import inf

from app.node.wheel import SLOT_SECONDS, Wheel
from tests.fakes.growth import FACTOR, calls_of, grows_linearly


def test_what_is_due_comes_once_and_never_late():
    wheel: Wheel[str] = Wheel()
    wheel.put("a", 10.2)
    wheel.put("b", 12.0)
    wheel.put("never", inf)
    assert (len(wheel), repr(wheel)) == (2, "<Wheel 2 in 2 slots>")
    assert wheel.due(9.9) == []
    assert wheel.due(10.3) == ["a"]
    assert wheel.due(11.9) == []
    assert wheel.due(12.0) == ["b"]
    assert (wheel.due(1e9), len(wheel)) == ([], 0)


def test_a_deadline_that_is_past_is_due_with_the_next_slot():
    wheel: Wheel[str] = Wheel()
    assert wheel.due(100.0) == []
    wheel.put("late", 3.0)
    assert wheel.due(100.4) == []
    assert wheel.due(100.5) == ["late"]


def test_an_item_has_one_deadline_and_may_be_forgotten_twice():
    wheel: Wheel[str] = Wheel()
    wheel.put("a", 10.0)
    wheel.put("a", 20.0)
    wheel.put("b", 10.0)
    wheel.remove("b")
    wheel.remove("b")
    assert wheel.due(15.0) == []
    wheel.put("a", 16.0)
    assert wheel.due(16.0) == ["a"]
    wheel.put("a", inf)
    assert wheel.due(1e6) == []


def test_at_random_nothing_is_lost_late_or_early_by_a_slot():
    chance = random.Random(4)
    wheel: Wheel[int] = Wheel()
    wanted: dict[int, float] = {}
    now = 1_000.0
    wheel.due(now)
    for _ in range(3_000):
        item = chance.randrange(50)
        if chance.random() < 0.2:
            wheel.remove(item)
            wanted.pop(item, None)
        else:
            wanted[item] = now + chance.choice([0.1, 1.0, 30.0, 3_000.0]) * chance.random()
            wheel.put(item, wanted[item])
        now += chance.choice([0.0, 0.1, 0.5, 0.6, 40.0]) * chance.random()
        for found in wheel.due(now):
            assert wanted.pop(found) < now + SLOT_SECONDS
        assert all(at // SLOT_SECONDS >= now // SLOT_SECONDS for at in wanted.values())
        assert len(wheel) == len(wanted)


def test_items_that_are_not_due_cost_nothing():
    def cost_of_a_minute(items: int) -> int:
        wheel: Wheel[int] = Wheel()
        wheel.due(0.0)
        for item in range(items):
            wheel.put(item, 1_000.0 + item / 7)
        return calls_of(lambda: [wheel.due(number / 2) for number in range(120)])

    assert cost_of_a_minute(1_000) == cost_of_a_minute(10)


def test_putting_and_taking_out_cost_the_same_for_each_item():
    def cost(items: int) -> int:
        wheel: Wheel[int] = Wheel()

        def all_of_them() -> None:
            for item in range(items):
                wheel.put(item, item / 3)
                wheel.put(item, item / 2)
            for number in range(items):
                wheel.due(number / 2)

        return calls_of(all_of_them)

    assert grows_linearly(cost(200), cost(200 * FACTOR))
