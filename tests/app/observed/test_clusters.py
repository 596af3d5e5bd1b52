"""What is counted for each cluster: for an objective by cluster, bounded, and ended with the cluster."""

import math
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from app.node.gateway import Gateway
from app.observed.metrics import Metrics, Snapshot
from app.settings import load
from tests.app.observed.counted import Told, changed, record, samples
from tests.fakes.growth import calls_of, grows_linearly
from tunnel.port import Target

C2 = Target("c2", "apps", "web", 80)
REQUESTS = "gateway_cluster_requests_total"
HEADS = "gateway_cluster_request_head_seconds"
ACTIVE = "gateway_cluster_websockets_active"
CUT = "gateway_cluster_websockets_cut_total"


def of(name: str, got: dict[tuple[str, ...], float]) -> dict[tuple[str, ...], float]:
    """The samples of a family, by their labels; without those at 0."""
    return {key[1:]: value for key, value in got.items() if key[0] == name and value}


@pytest.mark.parametrize(
    ("parts", "fault", "status_class"),
    [
        ({"status": 200}, "none", "2xx"),
        ({"status": 404}, "none", "4xx"),
        ({"status": 503}, "service", "5xx"),
        ({"status": 502, "outcome": "service_refused"}, "service", "5xx"),
        ({"status": 502, "outcome": "agent_lost"}, "tunnel", "5xx"),
        ({"status": 503, "outcome": "no_agent"}, "tunnel", "5xx"),
        ({"status": 502, "outcome": "made up"}, "tunnel", "5xx"),
        ({"status": 413, "outcome": "body_too_large"}, "client", "4xx"),
        ({"status": 0, "outcome": "client_left"}, "client", "none"),
        ({"status": 200, "outcome": "broken_off", "closed_by": "service"}, "service", "2xx"),
        ({"status": 200, "outcome": "broken_off", "closed_by": "gateway"}, "tunnel", "2xx"),
        ({"status": 200, "outcome": "broken_off", "closed_by": "client"}, "client", "2xx"),
        ({"status": 200, "outcome": "broken_off", "closed_by": "gateway", "limit": "held_stalled"}, "client", "2xx"),
        ({"status": 200, "outcome": "broken_off", "closed_by": "gateway", "limit": "held_hard"}, "tunnel", "2xx"),
        ({"status": 200, "outcome": "broken_off", "closed_by": "gateway", "limit": "timeout_idle"}, "service", "2xx"),
    ],
)
def test_a_request_counts_for_its_cluster_by_whose_fault_it_was(
    parts: dict[str, object], fault: str, status_class: str
):
    got = changed(lambda metrics: [metrics.ended(record(**parts)) for _ in range(3)])
    assert of(REQUESTS, got) == {("c1", fault, status_class): 3}
    assert sum(value for key, value in got.items() if key[0] == "gateway_requests_total") == 3


def test_a_request_without_a_route_has_no_cluster():
    got = changed(lambda metrics: metrics.ended(record(target=None, status=404, outcome="no_route")))
    assert not [key for key in got if key[0].startswith("gateway_cluster_")]
    assert got["gateway_requests_total", "GET", "no_route", "4xx"] == 1


@pytest.mark.parametrize("count", [1, 6, 7, 700])
def test_heads_are_counted_for_their_cluster_and_in_all(count: int):
    def end(metrics: Metrics) -> None:
        for number in range(count):
            metrics.ended(record(head_at=100.0 + number % 3))
            metrics.ended(record(head_at=100.2, target=C2))
            metrics.ended(record(head_at=None, status=503, outcome="no_agent"))

    got = changed(end)
    assert got[f"{HEADS}_count", "c1"] == got[f"{HEADS}_count", "c2"] == count
    assert got[f"{HEADS}_bucket", "c1", "1.0"] == sum(number % 3 < 2 for number in range(count))
    assert got[f"{HEADS}_bucket", "c2", "0.25"] == count
    assert (f"{HEADS}_bucket", "c2", "0.1") not in got
    assert math.isclose(got[f"{HEADS}_sum", "c2"], 0.2 * count)
    assert got["gateway_request_head_seconds_count",] == 2 * count


def test_a_cluster_without_a_request_has_series_of_each_fault():
    metrics = Metrics()
    metrics.watch(Told(Snapshot(clusters=["c1"])))
    got = samples(metrics)
    assert {key[1:] for key in got if key[0] == REQUESTS} == {
        ("c1", "none", "2xx"), ("c1", "client", "4xx"), ("c1", "service", "5xx"), ("c1", "tunnel", "5xx"),
    }  # fmt: skip
    assert (got[ACTIVE, "c1"], got[CUT, "c1"], got[f"{HEADS}_count", "c1"]) == (0, 0, 0)


def test_websockets_by_cluster():
    metrics = Metrics()
    metrics.watch(Told(Snapshot(clusters=["c1"])))
    one, two = (record("websocket", status=101, head_at=100.1) for _ in range(2))
    other = record("websocket", status=101, target=C2)
    for made in (one, two, other):
        metrics.websocket_opened(made)
    got = samples(metrics)
    assert of(ACTIVE, got) == {("c1",): 2, ("c2",): 1}
    assert of(REQUESTS, got) == {("c1", "none", "1xx"): 2, ("c2", "none", "1xx"): 1}
    assert (got[f"{HEADS}_count", "c1"], got[f"{HEADS}_count", "c2"]) == (2, 0)
    one.closed_by, one.close_code = "gateway", 1012
    two.closed_by, two.close_code = "service", 1012
    for made in (one, two):
        metrics.ended(made)
    got = samples(metrics)
    assert of(ACTIVE, got) == {("c2",): 1}
    assert of(CUT, got) == {("c1",): 1}
    assert of(REQUESTS, got) == {("c1", "none", "1xx"): 2, ("c2", "none", "1xx"): 1}


def test_clusters_beyond_a_thousand_share_one_label_and_their_websockets_are_not_lost():
    metrics = Metrics()
    made = [record("websocket", status=101, target=Target(f"c{number}", "a", "w", 80)) for number in range(1_500)]
    for one in made:
        metrics.websocket_opened(one)
    got = samples(metrics)
    assert len({key for key in got if key[0] == ACTIVE}) == 1_001
    assert (got[ACTIVE, "c999"], got[ACTIVE, "other"]) == (1, 500)
    assert len({key for key in got if key[0].startswith("gateway_cluster_")}) <= 1_001 * 40
    for one in made:
        metrics.ended(one)
    assert of(ACTIVE, samples(metrics)) == {}


def test_a_cluster_ends_once_nothing_names_it_and_makes_room():
    metrics = Metrics()
    source = Told(Snapshot(clusters=["c1", "c2"], known_clusters={"c1", "c2"}))
    metrics.watch(source)
    made = record("websocket", status=101, target=C2)
    metrics.websocket_opened(made)
    metrics.link_joined("c2")
    assert "c2" in clusters_of(metrics)
    source.now = Snapshot(clusters=["c1"], known_clusters={"c1"})
    assert "c2" in clusters_of(metrics)  # a WebSocket is open
    metrics.ended(made)
    assert clusters_of(metrics) == {"c1"}
    for number in range(5_000):  # clusters that come and go
        metrics.ended(record(target=Target(f"x{number}", "a", "w", 80)))
        if number % 500 == 499:
            assert clusters_of(metrics) == {"c1"}
    source.now = Snapshot(clusters=["new"], known_clusters={"new"})
    assert clusters_of(metrics) == {"new"}


def clusters_of(metrics: Metrics) -> set[str]:
    """The clusters that any series names."""
    text = metrics.render("application/openmetrics-text")[0].decode()
    return {
        sample.labels["cluster"]
        for family in parse_openmetrics(text)
        for sample in family.samples
        if "cluster" in sample.labels
    }


def test_a_scrape_costs_few_calls_for_each_cluster():
    """`prometheus_client` would make 600: a scrape of 1,000 clusters would hold the event loop for 80 ms."""

    def cost(clusters: int) -> int:
        metrics = Metrics()
        names = {f"c{number}" for number in range(clusters)}
        metrics.watch(Told(Snapshot(clusters=names, known_clusters=names)))
        return calls_of(lambda: metrics.render(None))

    small, large = cost(100), cost(400)
    assert grows_linearly(small, large)
    assert (large - small) / 300 < 200


def test_a_name_is_escaped_in_both_formats():
    metrics = Metrics()
    metrics.watch(Told(Snapshot(clusters=['a"b\\c\nd'])))
    assert clusters_of(metrics) == {'a"b\\c\nd'}
    assert samples(metrics)[ACTIVE, 'a"b\\c\nd'] == 0


CONFIG = """
[[agents]]
token = "a-token"
clusters = ["granted"]

[[routes]]
host = "a.example.test"
cluster = "routed"
namespace = "apps"
service = "web"
port = 80
"""


def test_a_gateway_knows_the_clusters_of_its_routes_and_tokens(tmp_path: Path):
    file = tmp_path / "gateway.toml"
    file.write_text(CONFIG)
    gateway = Gateway(load(str(file), {}))
    assert gateway.snapshot().known_clusters == {"routed", "granted"}
    gateway.metrics.link_joined("granted")
    assert clusters_of(gateway.metrics) == {"routed", "granted"}
    gateway.apply(load(None, {}))
    assert clusters_of(gateway.metrics) == set()
