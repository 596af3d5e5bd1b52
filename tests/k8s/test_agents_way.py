"""The agents' way in: a Service of their own with the pods that are not ready, so that `readyWait` cannot deadlock.

A pod that waits for its agents gets no requests; its agents must reach it all the same. Only what agents ask for on the
hosts that they dial goes that way: on a routed host each path belongs to the routed service.
"""

from typing import Any

import pytest

from tests.k8s.charts import GATEWAY_FULL, Object, Values, at, manifests, merged, render
from tests.k8s.test_gateway_api import FIELDS, faults

AGENTS = "edge-tunnel-gateway-agents"
PATHS = [("Exact", "/agent"), ("Exact", "/ws"), ("Prefix", "/api/v1")]
HOSTS = ["tunnel.example.com", "kuma.example.com", "*.example.com"]
INGRESS: Values = {"ingress": {"enabled": True, "hosts": HOSTS}}
ROUTE: Values = {"httpRoute": {"enabled": True, "parentRefs": [{"name": "public"}], "hostnames": HOSTS}}


def named(objects: list[Object], kind: str) -> dict[str, Object]:
    return {item["metadata"]["name"]: item for item in objects if item["kind"] == kind}


def ways(ingress: Object) -> dict[str, list[tuple[str, str]]]:
    """Host -> what goes to the agents' Service."""
    return {
        rule["host"]: [
            (path["pathType"], path["path"])
            for path in rule["http"]["paths"]
            if at(path, "backend/service/name").endswith("-agents")
        ]
        for rule in at(ingress, "spec/rules")
    }


@pytest.mark.parametrize("values", [{}, {"readyWait": 15}, {"tls": {"secretName": "web"}}, {"service": {"port": 8000}}])
def test_their_service_has_the_same_pods_and_port_and_those_that_are_not_ready(values: Values):
    services = named(render("gateway", values), "Service")
    public, agents = services["edge-tunnel-gateway"]["spec"], services[AGENTS]["spec"]
    assert agents["publishNotReadyAddresses"] is True
    assert "publishNotReadyAddresses" not in public
    assert (agents["selector"], agents["ports"]) == (public["selector"], public["ports"])
    assert agents["type"] == "ClusterIP"


def test_it_may_have_an_address_of_its_own():
    values: Values = {"agentService": {"type": "LoadBalancer", "annotations": {"example.com/lb": "agents"}}}
    service = named(render("gateway", values), "Service")[AGENTS]
    assert service["spec"]["type"] == "LoadBalancer"
    assert service["metadata"]["annotations"] == {"example.com/lb": "agents"}


@pytest.mark.parametrize(
    ("values", "dialled", "prefix"),
    [
        ({}, {"tunnel.example.com"}, ""),
        ({"publicUrl": "https://Tunnel.Example.com:8443/base/"}, {"tunnel.example.com"}, "/base"),
        ({"publicUrl": "", "controlHosts": ["kuma.example.com:443", "localhost"]}, {"kuma.example.com"}, ""),
        ({"controlHosts": ["kuma.example.com"]}, {"tunnel.example.com", "kuma.example.com"}, ""),
        ({"publicUrl": "https://elsewhere.example.com"}, set(), ""),
    ],
)
def test_both_ways_in_send_there_what_agents_ask_for_on_the_hosts_that_they_dial(
    values: Values, dialled: set[str], prefix: str
):
    (ingress,) = named(render("gateway", merged(INGRESS, values)), "Ingress").values()
    paths = [(kind, prefix + path) for kind, path in PATHS]
    assert ways(ingress) == {host: paths if host in dialled else [] for host in HOSTS}
    routes = named(render("gateway", merged(ROUTE, values)), "HTTPRoute")
    assert set(routes) == {"edge-tunnel-gateway", AGENTS} if dialled else {"edge-tunnel-gateway"}
    if dialled:
        route = routes[AGENTS]
        assert faults(route, FIELDS) == []
        assert set(at(route, "spec/hostnames")) == dialled
        (rule,) = at(route, "spec/rules")
        matches = [(match["path"]["type"], match["path"]["value"]) for match in rule["matches"]]
        assert matches == [(kind.replace("Prefix", "PathPrefix"), path) for kind, path in paths]
        assert [backend["name"] for backend in rule["backendRefs"]] == [AGENTS]
        assert at(route, "spec/parentRefs") == at(routes["edge-tunnel-gateway"], "spec/parentRefs")


def test_everything_else_goes_where_it_went():
    objects = render("gateway", GATEWAY_FULL)
    for rule in at(named(objects, "Ingress")["edge-tunnel-gateway"], "spec/rules"):
        first: Any = rule["http"]["paths"][0]
        assert (first["path"], at(first, "backend/service/name")) == ("/", "edge-tunnel-gateway")
    route = named(objects, "HTTPRoute")["edge-tunnel-gateway"]
    assert at(route, "spec/rules/0/backendRefs/0/name") == "edge-tunnel-gateway"
    assert len(at(route, "spec/rules")) == 1


def test_the_plain_manifests_have_it_too():
    files = manifests()
    assert at(named(files["gateway.yaml"], "Service")["tunnel-gateway-agents"], "spec/publishNotReadyAddresses") is True
    (ingress,) = named(files["gateway-ingress.yaml"], "Ingress").values()
    assert ways(ingress) == {"tunnel.example.com": PATHS, "kuma.example.com": []}
    assert set(named(files["gateway-httproute.yaml"], "HTTPRoute")) == {"tunnel-gateway", "tunnel-gateway-agents"}


def test_without_a_wait_the_configuration_is_the_one_of_before():
    (config,) = named(render("gateway"), "ConfigMap").values()
    assert "ready_wait" not in config["data"]["gateway.toml"]
