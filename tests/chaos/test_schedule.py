"""The schedule of a chaos run follows from its seed alone."""

from itertools import pairwise

import pytest

from tests.chaos.schedule import AGENTS, CLUSTERS, NODES, Fault, Kind, draw

SEEDS = (1, 2, 3, 77_001_234)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_same_seed_gives_the_same_faults(seed: int):
    assert draw(seed, 600) == draw(seed, 600)


def test_it_is_the_same_everywhere():
    """A seed that found something must find it again on another machine."""
    assert [lane[0] for lane in draw(1, 60)] == [
        Fault(3.84, Kind.GATEWAY_FREEZE, "b", 2.41),
        Fault(3.66, Kind.AGENT_DRAIN, "a1", 1.41),
        Fault(2.07, Kind.WAY_PEERS_CUT, "a", 1.2),
    ]


def test_another_seed_gives_others():
    assert len({draw(seed, 600) for seed in SEEDS}) == len(SEEDS)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_longer_run_begins_like_a_shorter_one(seed: int):
    for shorter, longer in zip(draw(seed, 60), draw(seed, 600), strict=True):
        assert longer[: len(shorter)] == shorter


@pytest.mark.parametrize("seed", SEEDS)
def test_faults_of_a_lane_follow_each_other_and_end_in_time(seed: int):
    run_length = 600
    for lane in draw(seed, run_length):
        assert len(lane) > 40
        assert all(one.at + one.seconds + 1 < other.at for one, other in pairwise(lane))
        end_of_the_last = lane[-1].at + lane[-1].seconds  # on the drawn schedule, not on a clock
        assert end_of_the_last <= run_length


@pytest.mark.parametrize("seed", SEEDS)
def test_every_kind_comes_up_in_ten_minutes_and_often(seed: int):
    kinds = [fault.kind for lane in draw(seed, 600) for fault in lane]
    assert min(kinds.count(kind) for kind in Kind) >= 4


@pytest.mark.parametrize("seed", SEEDS)
def test_a_fault_meets_what_it_can(seed: int):
    gateways, others, ways = draw(seed, 600)
    assert {fault.subject for fault in gateways} == {fault.subject for fault in ways} == set(NODES)
    assert {fault.subject for fault in others} == {*AGENTS, *CLUSTERS}
    for fault in others:
        assert fault.subject in (CLUSTERS if fault.kind.name.startswith("SERVICE") else AGENTS)


def test_a_run_too_short_for_a_fault_has_none():
    assert draw(1, 1) == ((), (), ())
