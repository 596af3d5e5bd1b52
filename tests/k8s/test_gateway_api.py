"""The HTTPRoute against the Gateway API's rules (v1, standard channel), which are not among Kubernetes' own schemas.

The table holds the fields that exist, which of them are required, and the patterns and limits of their values, as the
API's own definition gives them; a field that it does not name is refused, as the API server's strict mode would.
"""

import re
from typing import Any

import pytest

from tests.k8s.charts import GATEWAY_FULL, Object, at, find, manifests, render

DNS = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
DURATION = r"([0-9]{1,5}(h|m|s|ms)){1,4}"
PORT = range(1, 65_536)

FIELDS: dict[str, Any] = {
    "apiVersion!": r"gateway\.networking\.k8s\.io/v1",
    "kind!": "HTTPRoute",
    "metadata!": dict,
    "spec!": {
        "parentRefs": [{"group": DNS, "kind": r"[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?", "name!": DNS, "namespace": DNS,
                        "sectionName": DNS, "port": PORT}],
        "hostnames": [rf"(\*\.)?{DNS}"],
        "rules": [{
            "name": DNS,
            "matches": [{"path": {"type": "Exact|PathPrefix|RegularExpression", "value": r"/.{0,1023}"}}],
            "backendRefs": [{"group": "", "kind": "Service", "name!": DNS, "namespace": DNS, "port": PORT,
                             "weight": range(1_000_001)}],
            "timeouts": {"request": DURATION, "backendRequest": DURATION},
        }],
    },
}  # fmt: skip
LONGEST = {"parentRefs": 32, "hostnames": 16, "rules": 16, "backendRefs": 16, "matches": 64}


def faults(value: Any, rule: Any, path: str = "") -> list[str]:
    """What the table does not allow, by its place."""
    if rule is dict:
        return [] if isinstance(value, dict) else [f"{path}: no map"]
    if isinstance(rule, dict):
        if not isinstance(value, dict):
            return [f"{path}: no map"]
        rules = {key.rstrip("!"): part for key, part in rule.items()}
        missing = [f"{path}/{key[:-1]}: missing" for key in rule if key.endswith("!") and key[:-1] not in value]
        unknown = [f"{path}/{key}: unknown" for key in value if key not in rules]
        return (
            missing
            + unknown
            + [
                fault
                for key, part in value.items()
                if key in rules
                for fault in faults(part, rules[key], f"{path}/{key}")
            ]
        )
    if isinstance(rule, list):
        if not isinstance(value, list) or len(value) > LONGEST[path.rpartition("/")[2]]:
            return [f"{path}: no list, or too long"]
        return [fault for index, item in enumerate(value) for fault in faults(item, rule[0], f"{path}/{index}")]
    if isinstance(rule, range):
        return [] if type(value) is int and value in rule else [f"{path}: {value!r} is no number in {rule}"]
    return [] if isinstance(value, str) and re.fullmatch(rule, value) else [f"{path}: {value!r} is not {rule}"]


def routes() -> list[Object]:
    return [
        find(manifests()["gateway-httproute.yaml"], "HTTPRoute"),
        find(render("gateway", GATEWAY_FULL), "HTTPRoute"),
    ]


def test_the_routes_are_as_the_api_has_them() -> None:
    assert [faults(route, FIELDS) for route in routes()] == [[], []]


@pytest.mark.parametrize(("path", "value", "fault"), [
    ("spec", {"hostname": ["a"]}, "/spec/hostname: unknown"),
    ("spec", {"hostnames": ["192.0.2.1_"]}, "/spec/hostnames/0"),
    ("spec", {"parentRefs": [{"namespace": "x"}]}, "/spec/parentRefs/0/name: missing"),
    ("spec/rules/0", {"timeouts": {"request": "3600"}}, "/spec/rules/0/timeouts/request"),
    ("spec/rules/0", {"timeout": {}}, "/spec/rules/0/timeout: unknown"),
    ("spec/rules/0/backendRefs/0", {"port": "http"}, "/spec/rules/0/backendRefs/0/port"),
])  # fmt: skip
def test_the_table_would_notice(path: str, value: Object, fault: str) -> None:
    route = find(render("gateway", GATEWAY_FULL), "HTTPRoute")
    at(route, path).update(value)
    assert [text for text in faults(route, FIELDS) if text.startswith(fault)]


def test_no_timeout_cuts_a_websocket() -> None:
    for route in routes():
        assert at(route, "spec/rules/0/timeouts") == {"request": "0s", "backendRequest": "0s"}


def test_the_route_leads_to_the_public_service() -> None:
    for objects in (
        manifests()["gateway.yaml"] + manifests()["gateway-httproute.yaml"],
        render("gateway", GATEWAY_FULL),
    ):
        backend = at(find(objects, "HTTPRoute"), "spec/rules/0/backendRefs/0")
        service = find(objects, "Service")
        assert (backend["name"], backend["port"]) == (service["metadata"]["name"], at(service, "spec/ports/0/port"))


def test_the_ingress_lets_websockets_and_uploads_through() -> None:
    ingress = find(manifests()["gateway-ingress.yaml"], "Ingress")
    prefix = "nginx.ingress.kubernetes.io/proxy-"
    annotations = {key.removeprefix(prefix): value for key, value in ingress["metadata"]["annotations"].items()}
    assert annotations == {
        "read-timeout": "3600",
        "send-timeout": "3600",
        "body-size": "0",
        "request-buffering": "off",
        "buffering": "off",
    }
    service = find(manifests()["gateway.yaml"], "Service")
    for rule in at(ingress, "spec/rules"):
        path = rule["http"]["paths"][0]
        assert (path["path"], path["pathType"]) == ("/", "Prefix")
        assert path["backend"]["service"]["name"] == service["metadata"]["name"]
        assert path["backend"]["service"]["port"]["name"] in {port["name"] for port in service["spec"]["ports"]}
