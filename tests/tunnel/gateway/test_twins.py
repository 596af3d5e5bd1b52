"""How often links of one agent may replace each other, and when newcomers are held off."""

import pytest

from tunnel.gateway.twins import Twins


@pytest.mark.parametrize(
    ("newcomers", "allowed"),
    [
        ([0.0], [True]),
        ([0.0, 0.7, 1.4, 2.1, 2.8], [True, True, True, False, False]),
        ([0.0, 15.0, 30.0, 31.0], [True, True, True, False]),
        ([0.0, 16.0, 32.0, 48.0, 64.0], [True] * 5),  # an agent that roams
        ([0.0, 0.7, 1.4, 40.0, 115.0], [True, True, True, False, False]),  # it dials at least every 75 s
        ([0.0, 0.7, 1.4, 91.5, 92.0], [True, True, True, True, True]),  # the twin was gone for 90 s
    ],
)
def test_newcomers(newcomers: list[float], allowed: list[bool]):
    twins = Twins()
    assert [twins.may_replace("c1", "a1", now) for now in newcomers] == allowed


def test_newcomers_without_a_name_are_held_off_after_the_third_replacement():
    twins = Twins()
    held = []
    for now in (0.0, 1.0, 2.0):
        twins.may_replace("c1", "a1", now)
        held.append(twins.hold_off("c1", now))
    assert held == [False, False, True]
    assert not twins.hold_off("c2", 2.0)
    assert [twins.hold_off("c1", now) for now in (31.9, 32.0)] == [True, False]
    assert not twins.may_replace("c1", "a1", 33.0)
    assert twins.hold_off("c1", 62.0)


def test_an_agent_without_a_link_is_let_in_at_once():
    twins = Twins()
    for now in (0.0, 1.0, 2.0):
        twins.may_replace("c1", "a1", now)
    for _ in range(2):
        twins.gone("c1", "a1")
    assert not twins.hold_off("c1", 3.0)
    assert twins.may_replace("c1", "a1", 3.0)
    assert repr(twins) == "<Twins [('c1', 'a1')]>"
