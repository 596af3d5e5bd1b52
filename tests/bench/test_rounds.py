"""What a comparison makes of its rounds: medians, ratios, and what is derived."""

import pytest

from tests.bench import comparison, peers
from tests.bench.comparison import AGENT, DERIVED
from tests.bench.figures import FIGURES
from tests.bench.gateways import APP, UVICORN
from tests.bench.rounds import CHISEL, Sample, back, both, front, p50, rate, ratio, typical

ROUNDS = [
    {"nginx": Sample(10.0, rate=1_000.0), APP: Sample(40.0, 9.0, rate=500.0)},
    {"nginx": Sample(20.0, rate=500.0), APP: Sample(40.0, 9.0, rate=500.0)},
    {"nginx": Sample(10.0, rate=1_000.0), APP: Sample(60.0, 12.0, rate=100.0)},
]
ALONE = [{UVICORN: Sample(40.0, 9.0, 500.0, 250.0)}]


def test_a_ratio_is_that_of_a_round_and_their_median_counts():
    assert typical(ROUNDS, "nginx", front) == 10.0
    assert typical(ROUNDS, APP, front) == 40.0
    assert ratio(ROUNDS, APP, "nginx", front) == 4.0  # of 4, 2 and 6
    assert ratio(ROUNDS, APP, "nginx", both) == pytest.approx(4.9)  # of 4.9, 2.45 and 7.2
    assert ratio(ROUNDS, APP, "nginx", rate) == 0.5  # of 0.5, 1 and 0.1


def test_an_agent_is_compared_with_the_whole_of_the_peer():
    assert ratio(ROUNDS, APP, "nginx", back, base_value=front) == pytest.approx(0.9)  # of 0.9, 0.45 and 1.2


def test_one_bad_round_does_not_move_the_ratio():
    bad = [*ROUNDS[:1], *ROUNDS[:1], {"nginx": Sample(90.0), APP: Sample(40.0)}]
    assert ratio(bad, APP, "nginx", front) == 4.0


def test_without_the_peer_in_a_round_there_is_no_ratio():
    with pytest.raises(KeyError):
        ratio(ALONE, UVICORN, "nginx", front)


def test_requests_stand_beside_their_limits_and_chisel_follows_from_nginx():
    table = comparison.requests(ROUNDS, derive=True, note="left out")
    assert table.rows == [
        ["nginx", "10.0", "1.00", "", "", "", "1.00"],
        [APP, "40.0", "4.00", "4.5", "3.3", "met", "0.50"],
        [AGENT, "9.0", "0.90", "0.95", "0.7", "met", ""],
        [DERIVED, "14.7", "1.47", "", "", "", "0.48"],
        [AGENT, "15.3", "1.53", "", "", "", ""],
    ]
    assert table.note == "left out"


def test_a_limit_that_is_exceeded_is_said():
    dear = [{"nginx": Sample(10.0, rate=1.0), UVICORN: Sample(45.1, 9.6, rate=1.0)}]
    rows = comparison.requests(dear, derive=False).rows
    assert [row[-2] for row in rows] == ["", "NOT MET", "NOT MET"]


def test_without_nginx_figures_stand_alone():
    assert comparison.requests(ALONE, derive=False).rows == [
        [UVICORN, "40.0", "-", "4.5", "3.6", "", "-"],
        [AGENT, "9.0", "-", "0.95", "0.7", "", ""],
    ]
    table = comparison.others({"one connection": ALONE}, derive=False)
    assert table.head == ["", UVICORN]
    assert [row[1] for row in table.rows] == ["250", "40.0", "49.0"]


def test_other_figures_have_a_column_for_each_contender_in_their_unit():
    rounds = [{"nginx": Sample(1_000.0), APP: Sample(3_000.0, 500.0)}]
    table = comparison.others({"keep-alive": ROUNDS, "download": rounds, "echo 64": rounds}, derive=True)
    assert table.head == ["", "nginx", APP, DERIVED]
    assert table.rows == [
        ["download: CPU, ms/MB", "1.00 (1.00)", "3.00 (3.00)", "2.90 (2.90)"],
        ["  with agent", "-", "3.50 (3.50)", "-"],
        ["WebSocket echo, 64 B: CPU, us", "1000 (1.00)", "3000 (3.00)", "1700 (1.70)"],
        ["  with agent", "-", "3500 (3.50)", "3500 (3.50)"],
    ]


def test_latency_of_one_connection_is_a_line_of_its_own():
    rounds = [{"nginx": Sample(10.0, p50_us=100.0), APP: Sample(40.0, 10.0, p50_us=250.0)}]
    first = comparison.others({"one connection": rounds}, derive=True).rows[0]
    assert first == ["small GET, one connection: p50, us", "100 (1.00)", "250 (2.50)", "180 (1.80)"]
    assert p50(rounds[0][APP]) == 250.0


def test_every_derived_figure_is_one_that_is_measured():
    assert set(CHISEL) <= set(FIGURES)


def held_rows(**samples: dict[str, Sample]) -> dict[str, list[str]]:
    """Of the door's table, by title; every figure that is not given is the peer's own."""
    usual = {"nginx": Sample(10.0, rate=100.0, p50_us=10.0, p99_us=10.0)}
    usual[APP] = usual["nginx"]
    measured = {held.figure: [samples.get(held.figure.replace(" ", "_"), usual)] for held in comparison.HELD}
    return {row[0]: row[1:] for row in comparison.door(measured).rows}


def test_the_door_is_held_to_multiples_of_the_peer():
    nginx = Sample(10.0, rate=100.0, p50_us=10.0, p99_us=10.0)
    rows = held_rows(
        close={"nginx": nginx, APP: Sample(28.0)},
        handshake={"nginx": nginx, APP: Sample(32.1, 30.0)},
        newcomers={"nginx": nginx, APP: Sample(1.0, p99_us=5.1)},
    )
    assert len(rows) == len(comparison.HELD)
    assert rows["small GET, Connection: close: CPU"] == ["2.80", "2.8", "2.2", "met"]
    assert rows["WebSocket opened and closed: CPU"] == ["3.21", "3.2", "2", "NOT MET"]
    assert rows["WebSocket opened and closed: CPU with agent"] == ["6.21", "6.3", "4.2", "met"]
    assert rows["new clients beside 500 busy ones: p99"] == ["0.51", "0.5", "0.3", "NOT MET"]


@pytest.mark.parametrize(("rate_of_ours", "verdict"), [(43.0, "met"), (42.0, "NOT MET")])
def test_of_requests_per_second_more_is_better(rate_of_ours: float, verdict: str):
    nginx = Sample(10.0, rate=100.0, p50_us=10.0, p99_us=10.0)
    rows = held_rows(**{"keep-alive": {"nginx": nginx, APP: Sample(10.0, rate=rate_of_ours)}})
    assert rows["small GET, 50 connections: requests/s"][-1] == verdict


def test_without_the_peer_the_door_is_held_to_nothing():
    assert comparison.door({held.figure: ALONE for held in comparison.HELD}).rows == []


def test_what_is_held_and_what_is_quick_are_figures():
    assert {held.figure for held in comparison.HELD} <= set(FIGURES)
    assert set(peers.QUICK.figures) <= set(FIGURES)
    assert comparison.REQUESTS in peers.QUICK.figures
    assert set(peers.QUICK.contenders) <= set(peers.ALL.contenders)


def test_what_was_not_measured_is_not_held():
    found = {comparison.REQUESTS: ROUNDS}
    assert {row[0].partition(":")[0] for row in comparison.door(found).rows} == {FIGURES[comparison.REQUESTS].title}
