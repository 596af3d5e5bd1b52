"""What was measured, as tables: one row per case, each beside its baseline of the same minute."""

from dataclasses import dataclass, field
from statistics import quantiles


@dataclass(frozen=True)
class Latency:
    """Of many small requests, in milliseconds."""

    median: float
    p99: float
    worst: float


def latency(seconds: list[float]) -> Latency:
    cuts = quantiles(seconds, n=100)
    return Latency(cuts[49] * 1000, cuts[98] * 1000, max(seconds) * 1000)


@dataclass(frozen=True)
class Point:
    """A contender's cost of one operation, as a multiple of nginx's in the same rounds: what a plot shows."""

    figure: str
    name: str
    times: float
    with_agent: float | None = None
    """The same with the CPU of its agent; None where it has none, and for latencies."""


@dataclass(frozen=True)
class Table:
    """Printed, and written as JSON."""

    title: str
    head: list[str]
    rows: list[list[str]]
    note: str = ""
    points: list[Point] = field(default_factory=list)

    def show(self) -> None:
        widths = [max(len(row[column]) for row in [self.head, *self.rows]) for column in range(len(self.head))]
        print(f"\n{self.title}")
        for row in [self.head, ["-" * width for width in widths], *self.rows]:
            first = row[0].ljust(widths[0])
            rest = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
            print("  " + "  ".join([first, *rest]), flush=True)
        for line in filter(None, self.note.split("\n")):
            print(f"  {line}", flush=True)
