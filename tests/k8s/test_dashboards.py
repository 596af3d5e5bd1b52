"""Dashboards and rules as files: whole, importable, with something to do for whoever is woken."""

import re
import shutil
import subprocess
from itertools import combinations
from pathlib import Path

import pytest

from tests.k8s.queries import (
    DASHBOARDS,
    RULES,
    Named,
    alerts,
    dashboards,
    missing,
    named,
    panels,
    recorded,
    rules,
    scraped,
)

ROOT = Path(__file__).parents[2]
PROMTOOL = shutil.which("promtool")
without_promtool = pytest.mark.skipif(PROMTOOL is None, reason="no promtool here (Debian: apt install prometheus)")


# --- the reader of queries


@pytest.mark.parametrize(
    ("query", "metrics", "labels"),
    [
        ("a", {"a": []}, set()),
        (
            'sum by (x, y) (rate(a{b="c", d=~"e|f"}[5m])) / 14.4',
            {"a": [("b", "=", "c"), ("d", "=~", "e|f")]},
            {"x", "y"},
        ),
        ("a:b:rate5m > 2 * 0.1 and on (x) c == 1", {"a:b:rate5m": [], "c": []}, {"x"}),
        ("histogram_quantile(0.9, sum(a_bucket) by (le)) or vector(0)", {"a_bucket": []}, {"le"}),
        ("topk(3, a) unless ignoring (x) b{} offset 1d", {"a": [], "b": []}, {"x"}),
        ("time() - min(a)", {"a": []}, set()),
    ],
)
def test_what_a_query_names(query: str, metrics: dict[str, object], labels: set[str]):
    assert named(query) == Named(metrics, labels)  # type: ignore[arg-type]


def test_what_is_missing_is_found():
    samples = scraped('a_total{b="c"} 1\n')
    assert missing('rate(a_total{b="c", job="x"}[5m])', samples) == []
    assert missing('sum by (z) (a_total{b="d"}) + other{e="f"}', samples) == [
        "other", "z", 'a_total{b="d"}', "other{e}",
    ]  # fmt: skip


# --- dashboards


@pytest.mark.parametrize("name", [path.name for path in DASHBOARDS])
def test_a_dashboard_can_be_imported_as_it_is(name: str):
    dashboard = dashboards()[name]
    assert "__inputs" not in dashboard
    assert "id" not in dashboard
    assert re.fullmatch(r"tunnel-gateway-[a-z]+", dashboard["uid"])
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    assert {"datasource", "job"} <= variables
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in panels(dashboard):
        for target in panel["targets"]:
            assert panel["datasource"] == target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            used = set(re.findall(r"\$(\w+)", target["expr"]))
            assert used <= variables | {"__rate_interval", "__range"}, target
            assert 'job=~"$job"' in target["expr"], target


@pytest.mark.parametrize("name", [path.name for path in DASHBOARDS])
def test_no_panel_covers_another(name: str):
    places = [(panel["title"], panel["gridPos"]) for panel in dashboards()[name]["panels"]]
    for title, place in places:
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24, title
    for (one, a), (other, b) in combinations(places, 2):
        beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        below = a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
        assert beside or below, (one, other)


def test_the_dashboards_lead_to_one_another():
    every = dashboards()
    uids = {dashboard["uid"] for dashboard in every.values()}
    assert len(uids) == len(every) == 2
    links = {link["url"].removeprefix("/d/") for dashboard in every.values() for link in dashboard["links"]}
    assert links == uids


# --- rules


def anchors(page: str) -> set[str]:
    """The headings of a page, as links name them."""
    titles = re.findall(r"^#+ (.+)$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", alerts())
def test_an_alert_says_what_happened_and_what_to_do(name: str):
    rule = alerts()[name]
    assert rule["labels"]["severity"] in {"critical", "warning"}
    said = rule["annotations"]
    assert set(said) == {"summary", "description", "runbook_url"}
    assert len(said["summary"]) < 120
    assert re.search(r"\b(Look|Check|See|Find|Compare|Raise|compare|look|raise|run|check)\b", said["description"]), said
    page, _, anchor = said["runbook_url"].partition("#")
    assert anchor == name.lower()
    assert anchor in anchors(page)


def test_the_runbook_has_no_alert_that_is_gone():
    text = (ROOT / "docs" / "operation.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^### (Gateway[A-Za-z]+)$", text, re.MULTILINE)) == set(alerts())


def test_what_is_recorded_is_used():
    used = {name for rule in rules() for name in named(rule["expr"]).metrics}
    assert set(recorded()) - used == set()


@without_promtool
def test_promtool_finds_no_fault_in_the_rules():
    done = subprocess.run([str(PROMTOOL), "check", "rules", str(RULES)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
