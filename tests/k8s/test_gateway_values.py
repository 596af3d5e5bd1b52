"""Every value of the gateway's chart, one by one: what it changes in which object, which did not say so before."""

from typing import Any

import pytest

from tests.k8s.charts import CERTIFICATE, Values, at, chart, find, leaves, named, notes, render
from tests.k8s.test_gateway_monitoring import EVERYTHING
from tests.k8s.test_node_values import CASES as OF_NODES

POD = "spec/template/spec"
CONTAINER = f"{POD}/containers/name=gateway"
TOML = "data/gateway.toml"
ROUTE: Values = {"host": "a.example.com", "cluster": "c", "namespace": "n", "service": "s", "port": 80}
BALANCED: Values = {"proxyProtocol": True, "trustedProxies": ["10.0.0.0/8"], "admin": {"existingSecret": "s"}}
PROXY = "nginx.ingress.kubernetes.io/proxy-"

CASES: list[tuple[Values, str, str, Any]] = [
    ({"image": {"repository": "r.example.com/gw"}}, "Deployment", f"{CONTAINER}/image", "r.example.com/gw:0.1.0"),
    ({"image": {"tag": "2.0.0"}}, "Deployment", f"{CONTAINER}/image", "tunnel-gateway:2.0.0"),
    ({"image": {"tag": "2.0.0", "digest": "sha256:" + "a" * 64}}, "Deployment", f"{CONTAINER}/image",
     "tunnel-gateway@sha256:" + "a" * 64),
    ({"image": {"pullPolicy": "Always"}}, "Deployment", f"{CONTAINER}/imagePullPolicy", "Always"),
    ({"image": {"pullSecrets": [{"name": "login"}]}}, "Deployment", f"{POD}/imagePullSecrets", [{"name": "login"}]),
    ({"publicUrl": "http://t.example.net:81/p"}, "ConfigMap", TOML, 'public_url = "http://t.example.net:81/p"'),
    ({"controlHosts": ["a", "b"]}, "ConfigMap", TOML, 'control_hosts = ["a", "b"]'),
    ({"trustedProxies": ["10.0.0.0/8"]}, "ConfigMap", TOML, 'trusted_proxies = ["10.0.0.0/8"]'),
    (BALANCED, "ConfigMap", TOML, "proxy_protocol = true"),
    *((BALANCED, "Deployment", f"{CONTAINER}/{probe}/httpGet/port", "admin")
      for probe in ("startupProbe", "livenessProbe", "readinessProbe")),
    ({"readyWait": 15}, "ConfigMap", TOML, "ready_wait = 15"),
    ({"drainDelay": 7.5}, "ConfigMap", TOML, "drain_delay = 7.5"),
    ({"drainDelay": 7.5}, "Deployment", f"{POD}/terminationGracePeriodSeconds", 53),
    ({"drainDelay": 7.5}, "Deployment", f"{CONTAINER}/lifecycle/preStop/exec/command/3", "--wait=37.5"),
    ({"shutdownGrace": 60}, "ConfigMap", TOML, "shutdown_grace = 60"),
    ({"shutdownGrace": 60}, "Deployment", f"{POD}/terminationGracePeriodSeconds", 80),
    ({"terminationGracePeriodSeconds": 40}, "Deployment", f"{POD}/terminationGracePeriodSeconds", 40),
    ({"heldBytesLimit": 134217728}, "ConfigMap", TOML, "held_bytes_limit = 134217728"),
    ({"heldBytesHardLimit": 805306368}, "ConfigMap", TOML, "held_bytes_hard_limit = 805306368"),
    ({"logFormat": "text"}, "ConfigMap", TOML, 'log_format = "text"'),
    ({"logLevel": "debug"}, "ConfigMap", TOML, 'log_level = "debug"'),
    ({"agents": [{"token_sha256": "ab" * 32, "clusters": ["c"], "hosts": ["*.c.example.com"]}]}, "ConfigMap", TOML,
     f'[[agents]]\nclusters = ["c"]\nhosts = ["*.c.example.com"]\ntoken_sha256 = "{"ab" * 32}"'),
    ({"routes": [ROUTE]}, "ConfigMap", TOML,
     '[[routes]]\ncluster = "c"\nhost = "a.example.com"\nnamespace = "n"\nport = 80\nservice = "s"'),
    ({"caFiles": {"ca.pem": CERTIFICATE}}, "ConfigMap", "data/ca.pem", CERTIFICATE),
    ({"extra": {"reconnect_grace": 5}}, "ConfigMap", TOML, "reconnect_grace = 5"),
    ({"admin": {"existingSecret": "mine"}}, "Deployment", f"{POD}/volumes/name=admin-token/secret/secretName", "mine"),
    ({"admin": {"existingSecret": "mine"}}, "ConfigMap", TOML,
     'admin_token_file = "/run/secrets/tunnel-gateway/token"'),
    ({"admin": {"existingSecret": "mine"}}, "ConfigMap", TOML, 'admin_bind = "0.0.0.0:8081"'),
    ({"admin": {"existingSecret": "mine", "key": "k"}}, "Deployment",
     f"{POD}/volumes/name=admin-token/secret/items", [{"key": "k", "path": "token"}]),
    ({"admin": {"token": "0123456789abcdef"}}, "Secret", "data", {"token": "MDEyMzQ1Njc4OWFiY2RlZg=="}),
    ({"admin": {"port": 9090}}, "ConfigMap", TOML, 'admin_bind = "127.0.0.1:9090"'),
    ({"admin": {"port": 9090, "existingSecret": "mine"}}, "Deployment",
     f"{CONTAINER}/ports/name=admin/containerPort", 9090),
    ({"listen": "::"}, "Deployment", f"{CONTAINER}/args", ["serve", "--host", "::", "--port", "8080"]),
    ({"listen": "::", "admin": {"existingSecret": "mine"}}, "ConfigMap", TOML, 'admin_bind = "[::]:8081"'),
    ({"listen": "::", "admin": {"existingSecret": "mine"}}, "Deployment",
     f"{CONTAINER}/lifecycle/preStop/exec/command/2", "--url=http://[::1]:8081"),
    ({"resources": {"requests": {"cpu": "2"}}}, "Deployment", f"{CONTAINER}/resources/requests/cpu", "2"),
    ({"resources": {"limits": {"memory": "4Gi"}}}, "Deployment", f"{CONTAINER}/resources/limits/memory", "4Gi"),
    ({"persistence": {"enabled": True}}, "Deployment", f"{POD}/volumes/name=state/persistentVolumeClaim/claimName",
     "edge-tunnel-gateway"),
    ({"persistence": {"enabled": True, "existingClaim": "old"}}, "Deployment",
     f"{POD}/volumes/name=state/persistentVolumeClaim/claimName", "old"),
    ({"persistence": {"enabled": True, "storageClass": "fast"}}, "PersistentVolumeClaim", "spec/storageClassName",
     "fast"),
    ({"persistence": {"enabled": True, "size": "5Gi"}}, "PersistentVolumeClaim", "spec/resources/requests/storage",
     "5Gi"),
    ({"persistence": {"size": "5Gi"}}, "Deployment", f"{POD}/volumes/name=state/emptyDir/sizeLimit", "5Gi"),
    ({"temporaryFiles": {"size": "9Gi"}}, "Deployment", f"{POD}/volumes/name=temporary/emptyDir/sizeLimit", "9Gi"),
    ({"podAnnotations": {"a/b": "c"}}, "Deployment", "spec/template/metadata/annotations/a~1b", "c"),
    ({"podLabels": {"team": "x"}}, "Deployment", "spec/template/metadata/labels/team", "x"),
    ({"nodeSelector": {"disk": "ssd"}}, "Deployment", f"{POD}/nodeSelector", {"disk": "ssd"}),
    ({"tolerations": [{"operator": "Exists"}]}, "Deployment", f"{POD}/tolerations", [{"operator": "Exists"}]),
    ({"affinity": {"podAffinity": {}}}, "Deployment", f"{POD}/affinity", {"podAffinity": {}}),
    ({"priorityClassName": "high"}, "Deployment", f"{POD}/priorityClassName", "high"),
    ({"nameOverride": "door"}, "Deployment", "metadata/labels/app.kubernetes.io~1name", "door"),
    ({"fullnameOverride": "door"}, "Deployment", "metadata/name", "door"),
    ({"service": {"type": "NodePort"}}, "Service", "spec/type", "NodePort"),
    ({"service": {"port": 8000}}, "Service", "spec/ports/0/port", 8000),
    ({"service": {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}}, "Service", "spec/externalTrafficPolicy",
     "Local"),
    ({"service": {"annotations": {"note": "x"}}}, "Service", "metadata/annotations", {"note": "x"}),
    ({"tls": {"secretName": "web"}}, "ConfigMap", TOML,
     'tls_certificate = "/run/secrets/tunnel-gateway-tls/tls.crt"'),
    ({"tls": {"secretName": "web"}}, "ConfigMap", TOML, 'tls_key = "/run/secrets/tunnel-gateway-tls/tls.key"'),
    ({"tls": {"secretName": "web"}}, "Deployment", f"{POD}/volumes/name=tls/secret/secretName", "web"),
    ({"tls": {"secretName": "web"}}, "Service", "spec/ports",
     [{"name": "https", "port": 443, "targetPort": "https", "appProtocol": "https"}]),
    ({"tls": {"secretName": "web"}, "service": {"port": 8443}}, "Service", "spec/ports/0/port", 8443),
    ({"networkPolicy": {"from": [{"podSelector": {}}]}}, "NetworkPolicy", "spec/ingress/0/from",
     [{"podSelector": {}}]),
    ({"networkPolicy": {"dns": True}}, "NetworkPolicy", "spec/egress",
     [{"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}]),
    ({"networkPolicy": {"adminNamespace": "mon"}, "admin": {"existingSecret": "mine"}}, "NetworkPolicy",
     "spec/ingress/1/from", [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "mon"}}}]),
]  # fmt: skip
"""Values, the object that they change, where, and what stands there then (of the TOML file: a part of it)."""

WITH_INGRESS: Values = {"ingress": {"enabled": True, "hosts": ["a.example.com"]}}
WITH_ROUTE: Values = {"httpRoute": {"enabled": True, "parentRefs": [{"name": "public"}]}}
OPTIONAL: list[tuple[Values, str, str, Any]] = [
    ({"ingress": {"className": "other"}}, "Ingress", "spec/ingressClassName", "other"),
    ({"ingress": {"annotations": {f"{PROXY}read-timeout": "60"}}}, "Ingress", "metadata/annotations",
     {f"{PROXY}read-timeout": "60", f"{PROXY}send-timeout": "3600", f"{PROXY}body-size": "0",
      f"{PROXY}request-buffering": "off", f"{PROXY}buffering": "off"}),
    ({"ingress": {"hosts": ["a.example.com", "*.b.example.com"]}}, "Ingress", "spec/rules/1/host", "*.b.example.com"),
    ({"ingress": {"tls": [{"secretName": "s", "hosts": ["a.example.com"]}]}}, "Ingress", "spec/tls",
     [{"secretName": "s", "hosts": ["a.example.com"]}]),
    ({"httpRoute": {"annotations": {"a": "b"}}}, "HTTPRoute", "metadata/annotations", {"a": "b"}),
    ({"httpRoute": {"parentRefs": [{"name": "x", "port": 443}]}}, "HTTPRoute", "spec/parentRefs",
     [{"name": "x", "port": 443}]),
    ({"httpRoute": {"hostnames": ["a.example.com"]}}, "HTTPRoute", "spec/hostnames", ["a.example.com"]),
    ({"httpRoute": {"timeouts": {"request": "1h"}}}, "HTTPRoute", "spec/rules/0/timeouts/request", "1h"),
    ({"httpRoute": {"timeouts": {"backendRequest": "1h"}}}, "HTTPRoute", "spec/rules/0/timeouts/backendRequest", "1h"),
]  # fmt: skip
"""The same over an Ingress and an HTTPRoute that are there."""

SWITCHES: list[tuple[Values, str, bool]] = [
    ({"networkPolicy": {"enabled": False}}, "NetworkPolicy", False),
    ({"podDisruptionBudget": {"enabled": False}}, "PodDisruptionBudget", False),
    ({"persistence": {"enabled": True}}, "PersistentVolumeClaim", True),
    ({"admin": {"token": "0123456789abcdef"}}, "Secret", True),
    (WITH_INGRESS, "Ingress", True),
    (WITH_ROUTE, "HTTPRoute", True),
]
"""Values, and the kind that they bring or take away."""


@pytest.mark.parametrize(("values", "kind", "path", "expected"), CASES)
def test_a_value_reaches_its_place(values: Values, kind: str, path: str, expected: Any) -> None:
    before = [at(item, path) for item in render("gateway") if item["kind"] == kind]
    after = at(find(render("gateway", values), kind), path)
    if path == TOML:
        assert expected in after
        assert expected not in before[0]
    else:
        assert after == expected
        assert expected not in before


@pytest.mark.parametrize(("values", "kind", "path", "expected"), OPTIONAL)
def test_a_value_of_the_ways_in_reaches_its_place(values: Values, kind: str, path: str, expected: Any) -> None:
    there = WITH_INGRESS if kind == "Ingress" else WITH_ROUTE
    key = next(iter(there))
    with_values = {key: there[key] | values[key]}
    assert at(find(render("gateway", with_values), kind), path) == expected
    assert at(find(render("gateway", there), kind), path) != expected


@pytest.mark.parametrize(("values", "kind", "comes"), SWITCHES)
def test_a_switch_brings_or_takes_its_object(values: Values, kind: str, *, comes: bool) -> None:
    assert (kind in {item["kind"] for item in render("gateway", values)}) is comes
    assert (kind in {item["kind"] for item in render("gateway")}) is not comes


def test_the_objects_have_the_releases_name() -> None:
    assert find(render("gateway"), "Deployment")["metadata"]["name"] == "edge-tunnel-gateway"
    assert find(render("gateway", release="my-tunnel-gateway"), "Deployment")["metadata"]["name"] == "my-tunnel-gateway"


def test_every_value_has_a_test_here() -> None:
    given = [case[0] for case in CASES] + [case[0] for case in OPTIONAL] + [case[0] for case in SWITCHES]
    tested = set.union(*map(named, given))
    tested |= {"agentService.type", "agentService.annotations"}  # test_agents_way
    tested |= named({"metrics": EVERYTHING})  # test_gateway_monitoring
    tested = tested.union(*(named(case[0]) for case in OF_NODES))
    untested = {name for name in leaves(chart("gateway").schema) if name not in tested}
    assert untested == {
        "global",  # of a parent chart, not used
        "resources.requests.memory", "resources.requests.ephemeral-storage",  # passed through with their neighbours
        "resources.limits.cpu", "resources.limits.ephemeral-storage",
    }  # fmt: skip


def test_only_what_a_running_gateway_cannot_take_up_restarts_it() -> None:
    def checksum(values: Values) -> str:
        annotations = at(find(render("gateway", values), "Deployment"), "spec/template/metadata/annotations")
        return str(annotations["checksum/needs-restart"])

    plain = checksum({})
    taken_up: list[Values] = [
        {"routes": [ROUTE]}, {"agents": [{"token_sha256": "ab" * 32, "clusters": ["c"]}]}, {"trustedProxies": ["::1"]},
        {"publicUrl": "https://other.example.com"}, {"extra": {"max_websockets": 5}},
    ]  # fmt: skip
    assert [checksum(values) for values in taken_up] == [plain] * len(taken_up)
    restarts: list[Values] = [
        {"logLevel": "debug"}, {"heldBytesLimit": 2097152}, {"admin": {"port": 9999}},
        {"extra": {"reconnect_grace": 1}}, {"extra": {"max_connections": 9}}, {"tls": {"secretName": "web"}}, BALANCED,
    ]  # fmt: skip
    assert len({plain, *(checksum(values) for values in restarts)}) == 1 + len(restarts)


def test_with_tls_all_that_names_the_port_or_reaches_it_follows() -> None:
    objects = render("gateway", {"tls": {"secretName": "web"}, "service": {"type": "LoadBalancer"}})
    deployment = find(objects, "Deployment")
    assert at(deployment, f"{CONTAINER}/ports") == [{"name": "https", "containerPort": 8080}]
    for probe, path in (("startup", "/healthz"), ("liveness", "/healthz"), ("readiness", "/readyz")):
        asked = at(deployment, f"{CONTAINER}/{probe}Probe/httpGet")
        assert asked == {"path": path, "port": "https", "scheme": "HTTPS"}
    mount = at(deployment, f"{CONTAINER}/volumeMounts/name=tls")
    assert mount == {"name": "tls", "mountPath": "/run/secrets/tunnel-gateway-tls", "readOnly": True}
    assert at(deployment, f"{POD}/volumes/name=tls/secret/defaultMode") == 0o440
    assert at(find(objects, "NetworkPolicy"), "spec/ingress") == [{"ports": [{"port": "https", "protocol": "TCP"}]}]
    # The drain stays on the admin listener, which is plain HTTP on loopback.
    assert "--url=http://127.0.0.1:8081" in at(deployment, f"{CONTAINER}/lifecycle/preStop/exec/command")


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({}, ["serves HTTP and WebSockets on port 80 ", "Set ingress.enabled, httpRoute.enabled or service.type"]),
        ({"tls": {"secretName": "web"}}, ["serves HTTPS and WebSockets on port 443 ", "yet. Set service.type="]),
        (BALANCED, ["closes every connection that does not begin with a PROXY header"]),
    ],
)
def test_what_helm_prints_after_it(values: Values, told: list[str]) -> None:
    printed = notes("gateway", values)
    assert [text for text in told if text not in printed] == []
    assert ("PROXY header" in printed) is (values is BALANCED)


def test_without_an_admin_token_its_port_does_not_leave_the_pod() -> None:
    objects = render("gateway", {"networkPolicy": {"adminNamespace": "monitoring"}})
    assert 'admin_bind = "127.0.0.1:8081"' in find(objects, "ConfigMap")["data"]["gateway.toml"]
    assert "admin_token_file" not in find(objects, "ConfigMap")["data"]["gateway.toml"]
    assert [item["metadata"]["name"] for item in objects if item["kind"] == "Service"] == [
        "edge-tunnel-gateway", "edge-tunnel-gateway-agents",
    ]  # fmt: skip
    assert at(find(objects, "Deployment"), f"{CONTAINER}/ports") == [{"name": "http", "containerPort": 8080}]
    assert at(find(objects, "NetworkPolicy"), "spec/ingress") == [{"ports": [{"port": "http", "protocol": "TCP"}]}]
    assert at(find(objects, "NetworkPolicy"), "spec/egress") == []
