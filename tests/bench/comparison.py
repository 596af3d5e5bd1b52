"""What the rounds of all figures say, as three tables: requests, what else `python -m app` is held to, and the rest.

chisel's figures are derived from nginx's where chisel was not measured (`rounds.CHISEL`), and marked so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.bench.figures import FIGURES
from tests.bench.gateways import APP, UVICORN, UVICORN_SILENT
from tests.bench.rounds import CHISEL, Factors, Round, Value, back, both, front, p50, p99, rate, ratio, typical
from tests.bench.table import Point, Table

BASE = "nginx"
REQUESTS = "keep-alive"
DERIVED = "chisel, derived"
AGENT = "  its agent"


@dataclass(frozen=True)
class Limit:
    """A multiple of nginx's figure in the same round."""

    must: float
    aim: float


LIMITS = {APP: Limit(4.5, 3.3), UVICORN: Limit(4.5, 3.6), UVICORN_SILENT: Limit(4.5, 3.6)}
AGENT_LIMIT = Limit(0.95, 0.7)


@dataclass(frozen=True)
class Held:
    """What `python -m app` is held to in one figure."""

    figure: str
    what: str
    value: Value
    limit: Limit
    is_least: bool = False
    """More is better."""


HELD = [
    Held(REQUESTS, "CPU", front, Limit(1.9, 1.4)),
    Held(REQUESTS, "CPU with agent", both, Limit(3.0, 2.2)),
    Held(REQUESTS, "requests/s", rate, Limit(0.43, 0.55), is_least=True),
    Held("one connection", "p50", p50, Limit(2.4, 1.8)),
    Held("close", "CPU", front, Limit(2.8, 2.2)),
    Held("newcomers", "p99", p99, Limit(0.5, 0.3)),
    Held("handshake", "CPU", front, Limit(3.2, 2.0)),
    Held("handshake", "CPU with agent", both, Limit(6.3, 4.2)),
    Held("echo 64", "CPU", front, Limit(1.6, 1.3)),
    Held("echo 64", "CPU with agent", both, Limit(2.8, 2.4)),
    Held("echo 16384", "CPU", front, Limit(1.2, 0.8)),
    Held("paced", "CPU", front, Limit(2.4, 1.8)),
    Held("download", "CPU", front, Limit(0.85, 0.5)),
    Held("upload", "CPU", front, Limit(1.2, 0.5)),
]


def _row(name: str, micros: float, times: float | None, limit: Limit | None, speed: str) -> list[str]:
    held = ["", "", ""]
    if limit is not None:
        met = "" if times is None else "met" if times <= limit.must else "NOT MET"
        held = [f"{limit.must:g}", f"{limit.aim:g}", met]
    return [name, f"{micros:.1f}", "-" if times is None else f"{times:.2f}", *held, speed]


def requests(rounds: Sequence[Round], *, derive: bool, note: str = "") -> Table:
    """Small requests on keep-alive connections, a row for each process."""
    rows = []
    based = all(BASE in found for found in rounds)
    for name in rounds[0]:
        speed = f"{ratio(rounds, name, BASE, rate):.2f}" if based else "-"
        times = ratio(rounds, name, BASE, front) if based else None
        rows.append(_row(name, typical(rounds, name, front), times, LIMITS.get(name), speed))
        if used := typical(rounds, name, back):
            times = ratio(rounds, name, BASE, back, base_value=front) if based else None
            rows.append(_row(AGENT, used, times, AGENT_LIMIT if name in LIMITS else None, ""))
    factors = CHISEL[REQUESTS]
    if derive and based and factors.front and factors.both:
        micros, rest = typical(rounds, BASE, front), factors.both - factors.front
        rows.append(_row(DERIVED, micros * factors.front, factors.front, None, f"{factors.rate:.2f}"))
        rows.append(_row(AGENT, micros * rest, rest, None, ""))
    title = f"CPU of a request: {FIGURES[REQUESTS].title}; medians of {len(rounds)} rounds"
    return Table(title, ["", "CPU, us", "x nginx", "must", "aim", "", "requests/s, x nginx"], rows, note)


def _cell(amount: float, times: float | None) -> str:
    digits = 0 if amount >= 100 else 1 if amount >= 10 else 2
    return f"{amount:.{digits}f}" if times is None else f"{amount:.{digits}f} ({times:.2f})"


def _cells(rounds: Sequence[Round], value: Value, divisor: float, derived: float | None, *, derive: bool) -> list[str]:
    """One for each contender, and chisel's where it is derived; a contender that has no such value gets a dash."""
    cells = []
    based = all(BASE in found for found in rounds)
    for name in rounds[0]:
        if value is both and not typical(rounds, name, back):
            cells.append("-")
            continue
        times = ratio(rounds, name, BASE, value) if based else None
        cells.append(_cell(typical(rounds, name, value) / divisor, times))
    if derive:
        cells.append(_cell(typical(rounds, BASE, value) * derived / divisor, derived) if based and derived else "-")
    return cells


def door(measured: Mapping[str, Sequence[Round]]) -> Table:
    """What `python -m app` is held to beside nginx. Without nginx there is nothing to compare it with."""
    rows = []
    for held in HELD:
        rounds = measured.get(held.figure, ())
        if not rounds or not all(BASE in found and APP in found for found in rounds):
            continue
        times, limit = ratio(rounds, APP, BASE, held.value), held.limit
        met = times >= limit.must if held.is_least else times <= limit.must
        title = f"{FIGURES[held.figure].title}: {held.what}"
        rows.append([title, f"{times:.2f}", f"{limit.must:g}", f"{limit.aim:g}", "met" if met else "NOT MET"])
    return Table("python -m app as a multiple of nginx in the same round", ["", "x nginx", "must", "aim", ""], rows)


def others(measured: Mapping[str, Sequence[Round]], *, derive: bool) -> Table:
    """All figures but the requests: a column for each contender, with the ratio to nginx in brackets."""
    rows, names = [], list[str]()
    for key, rounds in measured.items():
        if key == REQUESTS:
            continue
        figure, factors, names = FIGURES[key], CHISEL.get(key, Factors()), list(rounds[0])
        if key == "newcomers":
            rows.append([f"{figure.title}: p99, us", *_cells(rounds, p99, 1, None, derive=derive)])
            continue  # the busy ones' CPU is in it
        if key == "one connection":
            rows.append([f"{figure.title}: p50, us", *_cells(rounds, p50, 1, factors.p50, derive=derive)])
        lines: list[tuple[str, Value, float | None]] = [
            (f"{figure.title}: CPU, {figure.unit}", front, factors.front),
            ("  with agent", both, factors.both),
        ]
        for title, value, derived in lines:
            rows.append([title, *_cells(rounds, value, figure.divisor, derived, derive=derive)])
    count = min(map(len, measured.values()))
    title = f"Other figures, and in brackets their ratio to nginx; medians of {count} rounds (informational)"
    return Table(title, ["", *names, *([DERIVED] if derive else [])], rows, points=points(measured, derive=derive))


LATENCIES: dict[str, tuple[str, Value]] = {"one connection": ("p50", p50), "newcomers": ("p99", p99)}
"""The figures of which latency is shown in a plot, and not CPU."""


def points(measured: Mapping[str, Sequence[Round]], *, derive: bool) -> list[Point]:
    """All figures as multiples of nginx: the CPU of a gateway or a proxy alone, or a latency."""
    found = []
    for key, rounds in measured.items():
        if not all(BASE in each for each in rounds):
            continue
        what, value = LATENCIES.get(key, ("CPU", front))
        title = f"{FIGURES[key].title}: {what}"
        for name in rounds[0]:
            if name != UVICORN_SILENT:
                together = value is front and typical(rounds, name, back) > 0
                sum_times = ratio(rounds, name, BASE, both) if together else None
                found.append(Point(title, name, ratio(rounds, name, BASE, value), sum_times))
        factors = CHISEL.get(key, Factors())
        if derive and (times := factors.p50 if what == "p50" else factors.front):
            found.append(Point(title, DERIVED, times, factors.both if value is front else None))
    return found
