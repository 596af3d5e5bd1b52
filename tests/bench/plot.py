"""A picture of a comparison, as SVG: `python -m tests.bench plot RUN.json > docs/performance.svg`; and as a table of
Markdown, for `docs/performance.md`: `python -m tests.bench markdown RUN.json`.

RUN.json is what `--json` wrote in a run with `peers` or `quick`. A row for each figure, a dot for each contender, and
nginx as the line at 1; the axis is logarithmic, so that half and double are as far from it. Pure: numbers in, text out.
The picture brings its own background and follows the reader's light or dark theme; it names no font and loads nothing.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

from tests.bench.gateways import APP
from tests.bench.table import Point

BASE = "nginx"
OURS = f"this gateway ({APP})"

WIDTH = 860
LEFT, RIGHT = 290, 76
TOP, ROW, BOTTOM = 92, 30, 44

LIGHT = {"back": "#ffffff", "text": "#1f2328", "faint": "#59636e", "grid": "#d1d9e0"}
DARK = {"back": "#0d1117", "text": "#f0f6fc", "faint": "#9198a1", "grid": "#3d444d"}
SERIES = (  # light and dark; the first is ours
    ("#0757ba", "#58a6ff"), ("#b35900", "#f0883e"), ("#1a7f37", "#56d364"), ("#8250df", "#bc8cff"),
    ("#bf3989", "#f778ba"), ("#57606a", "#b1bac4"), ("#7d4e00", "#d4a72c"),
)  # fmt: skip


def read(text: str) -> list[Point]:
    """The points of a run's JSON. Raises ValueError where there are none."""
    tables: Mapping[str, list[dict[str, Any]]] = json.loads(text)
    found = [Point(**point) for table in tables.values() for each in table for point in each.get("points", [])]
    if not found:
        raise ValueError("no comparison with nginx in this run: measure `peers` or `quick`, with nginx installed")
    return found


def markdown(points: Sequence[Point]) -> str:
    """A row for each figure, a column for each contender but nginx."""
    names = list(dict.fromkeys(point.name for point in points if point.name != BASE))
    cells: dict[str, dict[str, str]] = {}
    for point in points:
        both = "" if point.with_agent is None else f" ({point.with_agent:.2f})"
        cells.setdefault(point.figure, {})[point.name] = f"{point.times:.2f}{both}"
    rows = [["", *names], ["---"] * (len(names) + 1)]
    rows += [[figure, *(found.get(name, "-") for name in names)] for figure, found in cells.items()]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def style(series: int) -> str:
    """Two themes: the reader's own counts."""

    def rules(theme: Mapping[str, str], index: int) -> str:
        dots = "".join(f".s{number}{{fill:{SERIES[number][index]}}}" for number in range(series))
        return (
            f".back{{fill:{theme['back']}}}text{{fill:{theme['text']}}}.faint{{fill:{theme['faint']}}}"
            f".grid{{stroke:{theme['grid']}}}.base{{stroke:{theme['faint']}}}{dots}"
        )

    shapes = "text{font:13px system-ui,sans-serif}.head{font-weight:bold}"
    return f"{shapes}{rules(LIGHT, 0)}@media(prefers-color-scheme:dark){{{rules(DARK, 1)}}}"


def ticks(points: Sequence[Point]) -> list[float]:
    """Powers of two around all values, and 1."""
    low = math.floor(math.log2(min(1.0, *(point.times for point in points))))
    high = math.ceil(math.log2(max(2.0, *(point.times for point in points))))
    return [2.0**power for power in range(low, high + 1)]


def draw(points: Sequence[Point]) -> str:
    """The picture. Contenders beyond the palette's end are left out."""
    points = [point for point in points if point.name != BASE]
    figures = list(dict.fromkeys(point.figure for point in points))
    others = [name for name in dict.fromkeys(point.name for point in points) if name != APP]
    names = [APP, *others][: len(SERIES)]
    axis = ticks(points)
    span = math.log2(axis[-1] / axis[0])
    height = TOP + ROW * len(figures) + BOTTOM

    def x(times: float) -> str:
        return f"{LEFT + (WIDTH - LEFT - RIGHT) * math.log2(times / axis[0]) / span:.1f}"

    size = f'width="{WIDTH}" height="{height}"'
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {size} viewBox="0 0 {WIDTH} {height}">',
        "<title>Cost of an operation as a multiple of nginx, in the same rounds</title>",
        f"<style>{style(len(names))}</style>",
        f'<rect class="back" {size} rx="6"/>',
        '<text class="head" x="16" y="26">Cost of an operation as a multiple of nginx (left is cheaper)</text>',
    ]
    at = 16
    for number, name in enumerate(names):
        label = OURS if name == APP else name
        out.append(
            f'<circle class="s{number}" cx="{at + 6}" cy="48" r="5"/><text x="{at + 16}" y="52">{escape(label)}</text>'
        )
        at += 34 + 7 * len(label)
    bottom = TOP + ROW * len(figures) - ROW // 2
    for tick in axis:
        kind = "base" if tick == 1 else "grid"
        out.append(f'<line class="{kind}" x1="{x(tick)}" x2="{x(tick)}" y1="{TOP - 16}" y2="{bottom}"/>')
        label = BASE if tick == 1 else f"{tick:g}"
        out.append(f'<text class="faint" x="{x(tick)}" y="{bottom + 22}" text-anchor="middle">{label}</text>')
    for row, figure in enumerate(figures):
        y = TOP + ROW * row
        out.append(f'<text x="{LEFT - 16}" y="{y + 4}" text-anchor="end">{escape(figure)}</text>')
        found = {point.name: point.times for point in points if point.figure == figure}
        for number, name in reversed(list(enumerate(names))):
            if name in found:
                radius = 7 if name == APP else 5
                out.append(
                    f'<circle class="s{number}" cx="{x(found[name])}" cy="{y}" r="{radius}">'
                    f"<title>{escape(name)}: {found[name]:.2f}</title></circle>"
                )
        if APP in found:
            out.append(f'<text class="s0" x="{WIDTH - 16}" y="{y + 4}" text-anchor="end">{found[APP]:.2f}</text>')
    out.append("</svg>")
    return "\n".join(out) + "\n"
