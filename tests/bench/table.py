"""Prints what was measured: one row per case, each beside its baseline of the same minute."""

from dataclasses import dataclass
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


def show(title: str, head: list[str], rows: list[list[str]], note: str = "") -> None:
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    print(f"\n{title}")
    for row in [head, ["-" * width for width in widths], *rows]:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        print("  " + "  ".join(cells))
    if note:
        print(f"  {note}")
