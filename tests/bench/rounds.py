"""Rounds of a comparison: in each, every contender is measured once, one after the other.

What the machine does besides changes from one round to the next, so a ratio is taken within a round, and the median
of the rounds' ratios counts. Knows no sockets and no processes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Sample:
    """One contender in one round."""

    front_us: float
    """CPU for each operation of what the client talks to: a proxy, a gateway, a tunnel's server."""
    back_us: float = 0.0
    """The same of its agent; 0 where there is none."""
    rate: float = 0.0
    """Operations per second."""
    p50_us: float = 0.0
    """Median latency of an operation."""
    p99_us: float = 0.0


Round = dict[str, Sample]
Value = Callable[[Sample], float]


def front(sample: Sample) -> float:
    return sample.front_us


def back(sample: Sample) -> float:
    return sample.back_us


def both(sample: Sample) -> float:
    return sample.front_us + sample.back_us


def rate(sample: Sample) -> float:
    return sample.rate


def p50(sample: Sample) -> float:
    return sample.p50_us


def p99(sample: Sample) -> float:
    return sample.p99_us


def typical(rounds: Sequence[Round], name: str, value: Value) -> float:
    """The median over the rounds."""
    return median(value(found[name]) for found in rounds)


def ratio(rounds: Sequence[Round], name: str, base: str, value: Value, *, base_value: Value | None = None) -> float:
    """The median of the ratios within each round. Raises KeyError where `base` was not measured."""
    return median(value(found[name]) / (base_value or value)(found[base]) for found in rounds)


@dataclass(frozen=True)
class Factors:
    """A program as multiples of nginx, from an earlier comparison side by side on a quiet machine."""

    front: float | None = None
    both: float | None = None
    rate: float | None = None
    p50: float | None = None


CHISEL = {
    "keep-alive": Factors(front=1.47, both=3.0, rate=0.48),
    "one connection": Factors(p50=1.8),
    "close": Factors(front=5.7),
    "echo 64": Factors(front=1.7, both=3.5),
    "echo 16384": Factors(front=2.4),
    "handshake": Factors(front=3.5, both=7.0),
    "paced": Factors(front=2.8),
    "download": Factors(front=2.9),
    "upload": Factors(front=1.6),
}
"""By figure. chisel 1.x beside nginx 1.22; used only where chisel itself is not on PATH."""
