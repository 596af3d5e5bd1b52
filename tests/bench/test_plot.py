"""The picture of a comparison: right places, well-formed, legible in both themes, and nothing from elsewhere."""

import json
import re
import subprocess
import sys
from dataclasses import asdict
from xml.etree import ElementTree

import pytest

from tests.bench import comparison, plot
from tests.bench.figures import FIGURES
from tests.bench.gateways import APP, UVICORN_SILENT
from tests.bench.plot import DARK, LIGHT, SERIES, draw, read
from tests.bench.rounds import Sample
from tests.bench.table import Point, Table

POINTS = [
    Point("GET: CPU", "nginx", 1.0), Point("GET: CPU", APP, 2.0, 2.75), Point("GET: CPU", "chisel, derived", 0.5),
    Point("a <b> & c", "nginx", 1.0), Point("a <b> & c", APP, 4.0),
]  # fmt: skip
SVG = "{http://www.w3.org/2000/svg}"


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_dots_stand_where_their_values_are():
    root = ElementTree.fromstring(draw(POINTS))
    dots = {dot[0].text: float(dot.attrib["cx"]) for dot in root.iter(f"{SVG}circle") if len(dot)}
    assert set(dots) == {f"{APP}: 2.00", "chisel, derived: 0.50", f"{APP}: 4.00"}
    lines = sorted(float(line.attrib["x1"]) for line in root.iter(f"{SVG}line"))
    assert lines == pytest.approx([dots["chisel, derived: 0.50"], lines[1], dots[f"{APP}: 2.00"], dots[f"{APP}: 4.00"]])
    assert lines[1] - lines[0] == pytest.approx(lines[3] - lines[2], abs=0.11), "half and double are as far"


def test_everything_has_its_name_and_stays_inside():
    root = ElementTree.fromstring(draw(POINTS))
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert {"GET: CPU", "a <b> & c", "nginx", "0.5", "2", "4", f"this gateway ({APP})", "chisel, derived"} <= set(texts)
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    for element in root.iter():
        for name, most in (("x", width), ("cx", width), ("x1", width), ("y", height), ("cy", height), ("y2", height)):
            assert 0 <= float(element.attrib.get(name, "0")) <= most


@pytest.mark.parametrize(("theme", "index"), [(LIGHT, 0), (DARK, 1)], ids=["light", "dark"])
def test_it_is_legible(theme: dict[str, str], index: int):
    assert contrast(theme["text"], theme["back"]) >= 7
    assert contrast(theme["faint"], theme["back"]) >= 4.5
    for pair in SERIES:
        assert contrast(pair[index], theme["back"]) >= 4.5
    assert len({pair[index] for pair in SERIES}) == len(SERIES)


def test_it_follows_the_theme_and_loads_nothing():
    text = draw(POINTS)
    assert text.count("prefers-color-scheme:dark") == 1
    assert LIGHT["back"] in text
    assert DARK["back"] in text
    assert re.findall(r"(?:href|src|url|@import|script)", text) == []
    assert re.findall(r"https?://[^\"]*", text) == ["http://www.w3.org/2000/svg"]


def test_every_label_has_room():
    sample = Sample(1.0, p50_us=1.0, p99_us=1.0)
    found = comparison.points({key: [{"nginx": sample}] for key in FIGURES}, derive=False)
    assert max(len(point.figure) for point in found) * 7 <= plot.LEFT - 16


def test_more_contenders_than_colours():
    many = [Point("GET: CPU", f"tunnel {number}", 1.5) for number in range(20)]
    root = ElementTree.fromstring(draw([*many, Point("GET: CPU", APP, 2.0)]))
    assert sum(1 for dot in root.iter(f"{SVG}circle") if len(dot)) == len(SERIES)
    assert f"{APP}: 2.00" in {dot[0].text for dot in root.iter(f"{SVG}circle") if len(dot)}


def test_points_are_ratios_within_a_round():
    rounds = [
        {"nginx": Sample(10.0, p50_us=1.0), APP: Sample(20.0, p50_us=9.0), UVICORN_SILENT: Sample(5.0)},
        {"nginx": Sample(20.0, p50_us=1.0), APP: Sample(60.0, p50_us=9.0), UVICORN_SILENT: Sample(5.0)},
    ]
    found = comparison.points({"upload": rounds, "one connection": rounds}, derive=True)
    assert Point("upload: CPU", APP, 2.5) in found
    assert Point("upload: CPU", "chisel, derived", 1.6) in found
    rounds[0][APP], rounds[1][APP] = Sample(20.0, 10.0), Sample(60.0, 20.0)
    assert Point("upload: CPU", APP, 2.5, 3.5) in comparison.points({"upload": rounds}, derive=False)
    rounds[0][APP], rounds[1][APP] = Sample(20.0, p50_us=9.0), Sample(60.0, p50_us=9.0)
    assert Point("small GET, one connection: p50", APP, 9.0) in found
    assert {point.name for point in found} == {"nginx", APP, "chisel, derived"}
    assert comparison.points({"upload": [{APP: Sample(1.0)}]}, derive=True) == []


def test_a_run_is_read_back(tmp_path):
    table = Table("t", ["", "x"], [["a", "b"]], points=POINTS)
    text = json.dumps({"peers": [asdict(table)], "core": [asdict(Table("t", [], []))]})
    assert read(text) == POINTS
    (tmp_path / "run.json").write_text(text)
    command = [sys.executable, "-m", "tests.bench", "plot", str(tmp_path / "run.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == draw(POINTS)


def test_a_table_of_markdown():
    assert plot.markdown(POINTS).splitlines() == [
        f"|  | {APP} | chisel, derived |",
        "| --- | --- | --- |",
        "| GET: CPU | 2.00 (2.75) | 0.50 |",
        "| a <b> & c | 4.00 | - |",
    ]


@pytest.mark.parametrize("text", ["{}", '{"core": [{"title": "t", "head": [], "rows": []}]}'])
def test_a_run_without_a_comparison(text: str, tmp_path):
    with pytest.raises(ValueError, match="no comparison with nginx"):
        read(text)
    (tmp_path / "run.json").write_text(text)
    command = [sys.executable, "-m", "tests.bench", "plot", str(tmp_path / "run.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "no comparison with nginx" in done.stderr
    assert plot.BASE == "nginx"
