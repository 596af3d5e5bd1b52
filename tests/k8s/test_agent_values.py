"""Every value of the agent's chart, one by one, and the whole command line as the agent itself reads it."""

from pathlib import Path
from typing import Any

import pytest

from tests.k8s.charts import AGENT_FULL, Values, at, chart, find, leaves, merged, named, render
from tunnel.agent import settings

POD = "spec/template/spec"
CONTAINER = f"{POD}/containers/name=agent"
ARGS = f"{CONTAINER}/args"

CASES: list[tuple[Values, str, str, Any]] = [
    ({"image": {"repository": "r.example.com/gw"}}, "Deployment", f"{CONTAINER}/image", "r.example.com/gw:0.1.0"),
    ({"image": {"tag": "2.0.0"}}, "Deployment", f"{CONTAINER}/image", "tunnel-gateway:2.0.0"),
    ({"image": {"digest": "sha256:" + "a" * 64}}, "Deployment", f"{CONTAINER}/image",
     "tunnel-gateway@sha256:" + "a" * 64),
    ({"image": {"pullPolicy": "Always"}}, "Deployment", f"{CONTAINER}/imagePullPolicy", "Always"),
    ({"image": {"pullSecrets": [{"name": "login"}]}}, "Deployment", f"{POD}/imagePullSecrets", [{"name": "login"}]),
    ({"replicas": 3}, "Deployment", "spec/replicas", 3),
    ({"gateways": ["wss://b/agent"]}, "Deployment", ARGS, "--gateway=wss://b/agent"),
    ({"cluster": "west"}, "Deployment", ARGS, "--cluster=west"),
    ({"token": {"existingSecret": "mine"}}, "Deployment", f"{POD}/volumes/name=token/secret/secretName", "mine"),
    ({"token": {"key": "k"}}, "Deployment", f"{POD}/volumes/name=token/secret/items", [{"key": "k", "path": "token"}]),
    ({"token": {"existingSecret": "", "value": "secret"}}, "Secret", "data", {"token": "c2VjcmV0"}),
    ({"allow": ["a-*/b:*"]}, "Deployment", ARGS, "--allow=a-*/b:*"),
    ({"services": ["a.b:1=c:2"]}, "Deployment", ARGS, "--service=a.b:1=c:2"),
    ({"clusterDomain": "k8s.example"}, "Deployment", ARGS, "--cluster-domain=k8s.example"),
    ({"dialect": "json"}, "Deployment", ARGS, "--dialect=json"),
    ({"dialect": "chunk"}, "Deployment", ARGS, "--dialect=chunk"),
    ({"grace": 20.5}, "Deployment", ARGS, "--grace=20.5"),
    ({"grace": 20.5}, "Deployment", f"{POD}/terminationGracePeriodSeconds", 31),
    ({"pingInterval": 5}, "Deployment", ARGS, "--ping-interval=5"),
    ({"deadAfter": 30}, "Deployment", ARGS, "--dead-after=30"),
    ({"dialTimeout": 2.5}, "Deployment", ARGS, "--dial-timeout=2.5"),
    ({"memoryLimitMiB": 128}, "Deployment", ARGS, "--memory-limit=128"),
    ({"logFormat": "text"}, "Deployment", ARGS, "--log-format=text"),
    ({"logLevel": "debug"}, "Deployment", ARGS, "--log-level=debug"),
    ({"ca": {"configMap": "corp"}}, "Deployment", ARGS, "--ca-file=/etc/tunnel-agent/ca.crt"),
    ({"ca": {"configMap": "corp", "key": "root"}}, "Deployment", f"{POD}/volumes/name=ca/configMap",
     {"name": "corp", "items": [{"key": "root", "path": "ca.crt"}]}),
    ({"health": {"port": 9090}}, "Deployment", f"{CONTAINER}/ports",
     [{"name": "health", "containerPort": 9090, "protocol": "TCP"}]),
    ({"health": {"port": 9090}}, "Deployment", f"{CONTAINER}/env/name=AGENT_HEALTH_BIND/value", ":9090"),
    ({"insecureSkipVerify": True}, "Deployment", ARGS, "--insecure-skip-verify"),
    ({"httpsProxy": "http://p:1"}, "Deployment", f"{CONTAINER}/env/name=HTTPS_PROXY/value", "http://p:1"),
    ({"noProxy": ".svc"}, "Deployment", f"{CONTAINER}/env/name=NO_PROXY/value", ".svc"),
    ({"terminationGracePeriodSeconds": 13}, "Deployment", f"{POD}/terminationGracePeriodSeconds", 13),
    ({"resources": {"requests": {"cpu": "2"}}}, "Deployment", f"{CONTAINER}/resources/requests/cpu", "2"),
    ({"resources": {"limits": {"memory": "4Gi"}}}, "Deployment", f"{CONTAINER}/resources/limits/memory", "4Gi"),
    ({"podAnnotations": {"a/b": "c"}}, "Deployment", "spec/template/metadata/annotations", {"a/b": "c"}),
    ({"podLabels": {"team": "x"}}, "Deployment", "spec/template/metadata/labels/team", "x"),
    ({"nodeSelector": {"disk": "ssd"}}, "Deployment", f"{POD}/nodeSelector", {"disk": "ssd"}),
    ({"tolerations": [{"operator": "Exists"}]}, "Deployment", f"{POD}/tolerations", [{"operator": "Exists"}]),
    ({"affinity": {"podAffinity": {}}}, "Deployment", f"{POD}/affinity", {"podAffinity": {}}),
    ({"priorityClassName": "high"}, "Deployment", f"{POD}/priorityClassName", "high"),
    ({"nameOverride": "hand"}, "Deployment", "metadata/labels/app.kubernetes.io~1name", "hand"),
    ({"fullnameOverride": "hand"}, "Deployment", "metadata/name", "hand"),
    ({"networkPolicy": {"enabled": True}}, "NetworkPolicy", "spec/policyTypes", ["Ingress"]),
    ({"networkPolicy": {"enabled": True, "metricsNamespace": "monitoring"}}, "NetworkPolicy", "spec/ingress",
     [{"ports": [{"port": "health", "protocol": "TCP"}],
       "from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]}]),
    ({"networkPolicy": {"enabled": True, "restrictEgress": True, "egress": [{"ports": [{"port": 443}]}]}},
     "NetworkPolicy", "spec/egress/1", {"ports": [{"port": 443}]}),
]  # fmt: skip
"""Values, the object that they change, where, and what stands there then (of the arguments: one of them)."""


@pytest.mark.parametrize(("values", "kind", "path", "expected"), CASES)
def test_a_value_reaches_its_place(values: Values, kind: str, path: str, expected: Any) -> None:
    before = [at(item, path) for item in render("agent") if item["kind"] == kind]
    after = at(find(render("agent", values), kind), path)
    if path == ARGS:
        assert after.count(expected) == 1
        assert expected not in before[0]
    else:
        assert after == expected
        assert expected not in before


def test_a_budget_can_be_left_out() -> None:
    assert "PodDisruptionBudget" in {item["kind"] for item in render("agent")}
    values = {"podDisruptionBudget": {"enabled": False}}
    assert "PodDisruptionBudget" not in {item["kind"] for item in render("agent", values)}


def test_every_value_has_a_test_here() -> None:
    tested = set.union({"podDisruptionBudget.enabled", "health.enabled"}, *(named(case[0]) for case in CASES))
    assert {name for name in leaves(chart("agent").schema) if name not in tested} == {
        "global",  # of a parent chart, not used
        "resources.requests.memory", "resources.requests.ephemeral-storage",  # passed through with their neighbours
        "resources.limits.cpu", "resources.limits.ephemeral-storage",
    }  # fmt: skip


def test_the_agent_reads_its_command_line_as_it_was_meant(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("an-agent-token")
    deployment = find(render("agent", merged(AGENT_FULL, {"ca": {"configMap": ""}})), "Deployment")
    environment = {item["name"]: item["value"] for item in at(deployment, f"{CONTAINER}/env")}
    assert environment["AGENT_TOKEN_FILE"] == at(deployment, f"{CONTAINER}/volumeMounts/0/mountPath") + "/token"
    read = settings.read(at(deployment, ARGS), environment | {"AGENT_TOKEN_FILE": str(token)}, "pod-1")
    assert [gateway.url for gateway in read.gateways] == AGENT_FULL["gateways"]
    assert read.gateways[0].proxy == AGENT_FULL["httpsProxy"]
    assert (read.cluster, read.grace_seconds, read.dialect) == ("c1", 10.0, "yamux")
    assert len(read.allow) == len(AGENT_FULL["allow"])
    assert len(read.services) == len(AGENT_FULL["services"])
    assert read.read_token() == "an-agent-token"
    assert read.health_bind == ("", at(deployment, f"{CONTAINER}/ports/0/containerPort"))
    grace = at(deployment, f"{POD}/terminationGracePeriodSeconds")
    assert grace > read.grace_seconds


def test_nothing_gives_the_agent_rights_in_the_cluster() -> None:
    objects = render("agent", AGENT_FULL)
    assert {item["kind"] for item in objects} == {"Deployment", "NetworkPolicy", "PodDisruptionBudget", "Secret"}
    assert at(find(objects, "Deployment"), f"{POD}/serviceAccountName") is None


def test_nobody_is_let_in_unless_a_namespace_is_named() -> None:
    policy = find(render("agent", {"networkPolicy": {"enabled": True}}), "NetworkPolicy")
    assert at(policy, "spec/ingress") == []


def test_a_rollout_stops_at_a_pod_that_no_gateway_takes() -> None:
    """Kubernetes takes no old pod away before a new one is ready, and a new one is not ready without a gateway."""
    deployment = find(render("agent"), "Deployment")
    assert at(deployment, "spec/strategy/rollingUpdate/maxUnavailable") == 0
    assert at(deployment, f"{CONTAINER}/readinessProbe/httpGet") == {"path": "/readyz", "port": "health"}
    assert at(deployment, f"{CONTAINER}/livenessProbe/httpGet") == {"path": "/healthz", "port": "health"}
    budget = find(render("agent"), "PodDisruptionBudget")
    assert at(budget, "spec/unhealthyPodEvictionPolicy") == "AlwaysAllow"


def test_health_can_be_switched_off() -> None:
    deployment = find(render("agent", {"health": {"enabled": False}}), "Deployment")
    container = at(deployment, CONTAINER)
    assert not {"livenessProbe", "readinessProbe", "ports"} & set(container)
    assert "AGENT_HEALTH_BIND" not in {item["name"] for item in container["env"]}
