"""What the chart makes for Prometheus and Grafana: off by default, and then the files as they are."""

import json
from typing import Any

import pytest

from tests.k8s.charts import Object, Values, at, helm_python, parsed, render
from tests.k8s.queries import DASHBOARDS, RULES

ADMIN: Values = {"admin": {"existingSecret": "mine", "key": "k"}, "networkPolicy": {"adminNamespace": "monitoring"}}
EVERYTHING: Values = {
    "serviceMonitor": {"enabled": True, "interval": "15s", "labels": {"release": "p"}},
    "rules": {"enabled": True, "labels": {"release": "r"}, "docs": "https://git.example.com/docs/"},
    "dashboards": {"enabled": True, "labels": {"look": "here"}, "annotations": {"grafana_folder": "Tunnel"}},
}


def of_kind(kind: str, values: Values) -> list[Object]:
    return [item for item in render("gateway", values) if item["kind"] == kind]


def boards(values: Values) -> list[Object]:
    return [item for item in of_kind("ConfigMap", values) if "gateway.toml" not in item["data"]]


def test_there_is_none_by_default():
    kinds = {item["kind"] for item in render("gateway", ADMIN)}
    assert kinds & {"ServiceMonitor", "PrometheusRule"} == set()
    assert boards(ADMIN) == []


def test_prometheus_finds_the_admin_port_and_has_the_token():
    values = ADMIN | {"metrics": EVERYTHING}
    (monitor,) = of_kind("ServiceMonitor", values)
    assert monitor["metadata"]["labels"]["release"] == "p"
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint == {
        "port": "admin", "path": "/metrics", "interval": "15s",
        "authorization": {"type": "Bearer", "credentials": {"name": "mine", "key": "k"}},
    }  # fmt: skip
    wanted = monitor["spec"]["selector"]["matchLabels"]
    found = [
        item["metadata"]["name"]
        for item in of_kind("Service", values)
        if wanted.items() <= item["metadata"]["labels"].items()
        and "admin" in {port["name"] for port in item["spec"]["ports"]}
    ]
    assert found == ["edge-tunnel-gateway-admin"]


def test_the_secret_that_the_chart_makes_is_the_one_that_prometheus_reads():
    values: Values = {"admin": {"token": "0123456789abcdef", "key": "k"}, "networkPolicy": {"enabled": False},
                      "metrics": {"serviceMonitor": {"enabled": True}}}  # fmt: skip
    (monitor,), (secret,) = of_kind("ServiceMonitor", values), of_kind("Secret", values)
    credentials = at(monitor, "spec/endpoints/0/authorization/credentials")
    assert credentials["name"] == secret["metadata"]["name"]
    assert credentials["key"] in secret["data"]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"networkPolicy": {"adminNamespace": "monitoring"}}, "needs admin.existingSecret or admin.token"),
        ({"admin": {"existingSecret": "mine"}}, "needs networkPolicy.adminNamespace"),
    ],
)
def test_a_monitor_that_would_reach_nothing_is_refused(values: Values, reason: str):
    with pytest.raises(helm_python.HelmError, match=reason):
        render("gateway", values | {"metrics": {"serviceMonitor": {"enabled": True}}})


def rules_of(values: Values) -> Any:
    (rule,) = of_kind("PrometheusRule", {"metrics": {"rules": values}})
    return rule


def test_the_rules_are_the_files():
    (file,) = parsed(RULES.read_text(encoding="utf-8"))
    assert rules_of({"enabled": True})["spec"] == file


def test_the_rules_lead_to_the_pages_of_your_own_and_change_in_nothing_else():
    (file,) = parsed(RULES.read_text(encoding="utf-8"))
    rule = rules_of(EVERYTHING["rules"])
    assert rule["metadata"]["labels"]["release"] == "r"
    links = {
        alert["annotations"]["runbook_url"]
        for group in rule["spec"]["groups"]
        for alert in group["rules"]
        if "alert" in alert
    }
    assert {link.partition("#")[0] for link in links} == {"https://git.example.com/docs/operation.md"}
    assert json.loads(json.dumps(rule["spec"]).replace("https://git.example.com/docs/", "docs/")) == file


def test_each_dashboard_is_a_config_map_for_the_sidecar():
    found = boards({"metrics": {"dashboards": {"enabled": True}}})
    assert [item["metadata"]["labels"]["grafana_dashboard"] for item in found] == ["1"] * len(DASHBOARDS)
    assert [json.loads(text) for item in found for text in item["data"].values()] == [
        json.loads(path.read_text(encoding="utf-8")) for path in DASHBOARDS
    ]
    for item in boards({"metrics": EVERYTHING | {"serviceMonitor": {}}}):
        assert item["metadata"]["labels"]["look"] == "here"
        assert item["metadata"]["annotations"] == {"grafana_folder": "Tunnel"}
