"""What the table of costs makes of its rounds."""

import os

from tests.bench.cost import cpu_seconds, summary
from tests.system.process import Process


def test_ratios_are_those_of_a_round_and_their_median_counts():
    rounds = [
        {"nginx": (10.0, 1_000.0), "agent": (10.0, 500.0)},
        {"nginx": (20.0, 500.0), "agent": (10.0, 500.0)},
        {"nginx": (10.0, 1_000.0), "agent": (30.0, 100.0)},
    ]
    assert summary(rounds, "nginx") == [
        ["nginx", "10", "1.00", "", "1.00"],
        ["agent", "10", "1.00", "0.95", "0.50"],
    ]


def test_without_the_peer_there_are_no_ratios():
    assert summary([{"agent": (10.0, 500.0)}], "nginx") == [["agent", "10", "-", "0.95", "-"]]


def test_cpu_is_that_of_the_process():
    class Own:
        class popen:  # noqa: N801  (as Process has it)
            pid = os.getpid()

    own: Process = Own()  # type: ignore[assignment]
    before = cpu_seconds(own)
    while cpu_seconds(own) - before < 0.02:
        sum(range(10_000))
    assert cpu_seconds(own) > before > 0
