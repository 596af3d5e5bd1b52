"""Every metric stands in the document, and no label takes a value that somebody made up."""

import re
import sys
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from app.observed.metrics import BucketSnapshot, Limit, Metrics, NodesSnapshot, Snapshot, code_class
from app.observed.metrics.labels import ClusterLabels
from tests.app.observed.counted import Told, changed, record, samples

PAGE = (Path(__file__).parents[3] / "docs" / "observability.md").read_text(encoding="utf-8")
DOCUMENT, _, _ = PAGE.partition("\n## The agent's metrics\n")
"""The gateway's part of the page."""


# --- the document


def exported() -> dict[str, str]:
    """Name as a scraper sees it -> type."""
    text = Metrics().render(None)[0].decode()
    return dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))


def documented() -> dict[str, tuple[str, set[str]]]:
    """Name -> type and labels, of the tables' rows."""
    rows = re.findall(r"^\| `(\w+)` \| (gauge|counter|histogram) \|([^|]*)\|", DOCUMENT, re.MULTILINE)
    return {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}


@pytest.mark.skipif(sys.platform != "linux", reason="process_* are read from /proc")
def test_the_document_names_every_metric_and_no_other():
    assert {name: kind for name, (kind, _) in documented().items()} == exported()


def test_the_document_names_every_label():
    metrics = Metrics()
    metrics.watch(
        Told(
            Snapshot(
                clusters=["c1"],
                held_bytes_limits={"high": 1},
                is_state_kept=True,
                state_files_set_aside={"damaged": 1},
                nodes=NodesSnapshot(
                    "connected", is_connected=True, buckets={"nodes": BucketSnapshot(1, 0, synced=True)}
                ),
            )
        )
    )
    metrics.tls.not_after = metrics.reloads.succeeded_at = 1.0
    metrics.ended(record())
    made = record("websocket", status=101)
    metrics.websocket_opened(made)
    metrics.ended(made)
    labels: dict[str, set[str]] = {}
    for family in parse_openmetrics(metrics.render("application/openmetrics-text")[0].decode()):
        for sample in family.samples:
            name = family.name + ("_total" if family.type == "counter" else "")
            labels.setdefault(name, set()).update(set(sample.labels) - {"le"})
    assert {name: found for name, (_, found) in documented().items() if not name.startswith("process_")} == {
        name: found for name, found in labels.items() if not name.startswith("process_")
    }


def test_the_document_names_every_limit():
    section = DOCUMENT.partition("### Values of `limit`")[2].partition("## Logs")[0]
    rows = [row.split("|")[1] for row in section.splitlines() if row.startswith("| `")]
    named = [name.strip("` ") for row in rows for name in row.split(",")]
    assert named[0] == "limit"  # the table's head
    assert sorted(named[1:]) == sorted(Limit)


# --- cardinality


def test_no_label_value_can_be_made_up():
    def invent(metrics: Metrics) -> None:
        source = Told(Snapshot(links=[("c1", f"state{n}") for n in range(2_000)]))
        metrics.watch(source)
        for number in range(2_000):
            name = f"x{number}"
            metrics.ended(record(method=name, status=number, outcome=name))
            made = record("websocket", status=101, closed_by=name, close_code=number * 7)
            metrics.websocket_opened(made)
            metrics.ended(made)

    got = changed(invent)
    values = {value for key in got for value in key[1:]}
    assert not [value for value in values if value.startswith(("x", "state"))]
    assert got["gateway_links", "c1", "other"] == 2_000
    assert {key[1:] for key in got if key[0] == "gateway_requests_total"} == {
        ("GET", "ok", "1xx"),
        *(("other", "other", status) for status in ("none", "1xx", "2xx", "3xx", "4xx", "5xx", "other")),
    }
    closes = {key[1:] for key in got if key[0] == "gateway_websocket_closes_total"}
    assert {by for by, _ in closes} == {"other"}
    assert len(closes) <= 19


def test_clusters_beyond_a_thousand_share_one_label():
    metrics = Metrics()
    metrics.watch(Told(Snapshot(links=[(f"c{number}", "ready") for number in range(3_000)])))
    for number in range(3_000):
        metrics.link_joined(f"c{number}")
    got = samples(metrics)
    links = {key: value for key, value in got.items() if key[0] == "gateway_links"}
    assert len(links) == 1_001
    assert links["gateway_links", "other", "ready"] == 2_000
    assert links["gateway_links", "c999", "ready"] == 1
    assert len([key for key in got if key[0] == "gateway_link_reconnects_total"]) == 1_001


def test_a_known_cluster_keeps_its_label_when_there_is_no_room():
    labels = ClusterLabels(limit=2)
    assert [labels.label(name) for name in ("a", "b", "c", "a", "b")] == ["a", "b", "other", "a", "b"]


@pytest.mark.parametrize(
    ("code", "label"),
    [
        (1000, "1000"), (1004, "other"), (1006, "1006"), (1015, "1015"), (1016, "other"), (2999, "other"),
        (3000, "3xxx"), (4999, "4xxx"), (5000, "other"), (0, "other"), (-1, "other"), (None, "none"),
    ],
)  # fmt: skip
def test_classes_of_close_codes(code: int | None, label: str):
    assert code_class(code) == label
