"""Every object of the charts and the plain manifests: valid to three Kubernetes versions, and restricted."""

import copy
import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from tests.k8s.charts import (
    ADMIN_TOKEN,
    FULL,
    K8S,
    MINIMAL,
    NODES,
    NODES_FULL,
    PEER_SECRETS,
    Object,
    at,
    chart,
    find,
    helm_python,
    manifests,
    merged,
    render,
    yaml,
)
from tunnel.version import VERSION

GATEWAY_API = "gateway.networking.k8s.io/v1"  # not among Kubernetes' own schemas: test_gateway_api.py
MONITORING = "monitoring.coreos.com/v1"  # nor these: test_gateway_monitoring.py


def every_object() -> dict[str, Object]:
    """All that the charts give, with the least and the most values, and what is committed."""
    sources = {f"manifests/{name}": objects for name, objects in manifests().items()}
    for name in ("gateway", "agent"):
        sources[f"{name}, least"] = render(name)
        sources[f"{name}, most"] = render(name, FULL[name])
    sources["gateway, with TLS"] = render("gateway", {"tls": {"secretName": "web"}})
    sources["nodes, least"] = render("gateway", NODES)
    sources["nodes, most"] = render("gateway", NODES_FULL)
    return {
        f"{source}: {item['kind']} {item['metadata']['name']}": item
        for source, items in sources.items()
        for item in items
    }


OBJECTS = every_object()
WORKLOADS = {name: item for name, item in OBJECTS.items() if item["kind"] == "Deployment"}


@pytest.fixture(scope="module")
def utils() -> Iterator[Any]:
    """Of a library that takes a second to import, and reads megabytes of JSON for each object: once is enough."""
    imported = pytest.importorskip("kubernetes_validate.utils", reason="PyPI's kubernetes-validate")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(imported, "schema_contents", cache(imported.schema_contents))
        yield imported


@pytest.mark.parametrize("age", [1, 2, 3])
def test_every_object_is_valid_strictly(utils: Any, age: int) -> None:
    version = utils.all_versions()[-age]
    checked = [
        utils.validate(item, version, strict=True)
        for item in OBJECTS.values()
        if item["apiVersion"] not in (GATEWAY_API, MONITORING)
    ]
    assert len(checked) > 20
    assert set(checked) == {".".join(version.split(".")[:2])}


def test_the_validation_would_notice(utils: Any) -> None:
    newest = utils.all_versions()[-1]
    for path, value in (("spec/replicaz", 1), ("spec/template/spec/containers/0/readinessProbe/httpGett", {})):
        broken = copy.deepcopy(OBJECTS["gateway, least: Deployment edge-tunnel-gateway"])
        parent, _, key = path.rpartition("/")
        at(broken, parent)[key] = value
        with pytest.raises(utils.ValidationError, match=key):
            utils.validate(broken, newest, strict=True)


def test_the_kinds_are_all_there() -> None:
    assert {item["kind"] for item in OBJECTS.values()} == {
        "ConfigMap", "Deployment", "HTTPRoute", "Ingress", "NetworkPolicy", "PersistentVolumeClaim",
        "PodDisruptionBudget", "PrometheusRule", "Secret", "Service", "ServiceMonitor",
    }  # fmt: skip


def test_several_nodes_pass_helms_lint() -> None:
    for values in (NODES, NODES_FULL):
        given = merged(merged(chart("gateway").values, MINIMAL["gateway"]), values)
        report = helm_python.lint(K8S / "gateway", given, strict=True, namespace="tunnel")
        assert [message for message in report["messages"] if message["severity"] > 1] == []


@pytest.mark.parametrize("name", ["gateway", "agent"])
@pytest.mark.parametrize("full", [False, True])
def test_the_charts_pass_helms_lint(name: str, *, full: bool) -> None:
    values = FULL[name] if full else yaml.safe_load((K8S / "examples" / f"{name}.yaml").read_text(encoding="utf-8"))
    report = helm_python.lint(K8S / name, merged(chart(name).values, values), strict=True, namespace="tunnel")
    assert report["total_charts_linted"] == 1
    assert [message for message in report["messages"] if message["severity"] > 1] == []


def test_the_charts_are_of_the_products_version() -> None:
    assert {chart(name).metadata["appVersion"] for name in ("gateway", "agent")} == {VERSION}


@pytest.mark.parametrize("name", WORKLOADS)
def test_pods_are_restricted(name: str) -> None:
    pod = at(WORKLOADS[name], "spec/template/spec")
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert not {"serviceAccountName", "hostNetwork", "hostPID", "hostIPC", "initContainers"} & set(pod)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert {next(iter(set(volume) - {"name"})) for volume in pod["volumes"]} <= {
        "configMap", "secret", "emptyDir", "persistentVolumeClaim",
    }  # fmt: skip
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert all("hostPort" not in port for port in container.get("ports", []))
        mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
        assert all("subPath" not in mount for mount in mounts.values())  # it would never be renewed
        for volume in pod["volumes"]:
            assert mounts[volume["name"]].get("readOnly", False) is bool({"configMap", "secret"} & set(volume))
            assert "emptyDir" not in volume or volume["emptyDir"]["sizeLimit"]
            assert "secret" not in volume or volume["secret"]["defaultMode"] == 0o440


@pytest.mark.parametrize("name", WORKLOADS)
def test_containers_say_what_they_need_and_what_they_are(name: str) -> None:
    for container in at(WORKLOADS[name], "spec/template/spec/containers"):
        assert set(container["resources"]["requests"]) >= {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]
        tag = container["image"].rpartition(":")[2]
        assert tag not in ("", "latest")
        assert "/" not in tag


@pytest.mark.parametrize("name", WORKLOADS)
def test_probes_are_there_where_something_answers(name: str) -> None:
    deployment = WORKLOADS[name]
    (container,) = at(deployment, "spec/template/spec/containers")
    probes = {key: at(value, "httpGet/path") for key, value in container.items() if key.endswith("Probe")}
    if container["name"] == "agent":
        assert probes == {"livenessProbe": "/healthz", "readinessProbe": "/readyz"}
        bind = next(item["value"] for item in container["env"] if item["name"] == "AGENT_HEALTH_BIND")
        assert [f":{port['containerPort']}" for port in container["ports"]] == [bind]
        assert deployment["spec"]["minReadySeconds"] >= 10
        assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
        return
    assert probes == {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}
    port = "https" if "with TLS" in name else "http"
    probed = "admin" if name.startswith("gateway, most") else port  # proxyProtocol closes what sends no header
    assert {at(container[key], "httpGet/port") for key in probes} == {probed}
    assert probed in [item["name"] for item in container["ports"]]
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    replicas, strategy = (3, rolling) if "nodes" in name else (1, {"type": "Recreate"})
    assert (deployment["spec"]["replicas"], deployment["spec"]["strategy"]) == (replicas, strategy)


@pytest.mark.parametrize("name", OBJECTS)
def test_objects_carry_the_recommended_labels(name: str) -> None:
    item = OBJECTS[name]
    wanted = {"name", "instance", "component", "part-of", "version"}
    wanted |= set() if name.startswith("manifests/") else {"managed-by"}
    for labels in [
        item["metadata"]["labels"],
        *([at(item, "spec/template/metadata/labels")] if name in WORKLOADS else []),
    ]:
        assert {key.split("/")[1] for key in labels if key.startswith("app.kubernetes.io/")} == wanted
    assert "namespace" not in item["metadata"]  # the release's, or that of `kubectl apply -n`


@pytest.mark.parametrize("name", ["gateway", "agent"])
def test_what_selects_pods_selects_these_pods(name: str) -> None:
    objects = render(name, FULL[name])
    labels = at(find(objects, "Deployment"), "spec/template/metadata/labels").items()
    selectors = {
        "Deployment": "spec/selector/matchLabels",
        "PodDisruptionBudget": "spec/selector/matchLabels",
        "NetworkPolicy": "spec/podSelector/matchLabels",
        "Service": "spec/selector",
    }
    seen = set()
    for item in objects:
        if item["kind"] in selectors:
            seen.add(item["kind"])
            assert len(at(item, selectors[item["kind"]])) == 2
            assert at(item, selectors[item["kind"]]).items() <= labels
    assert seen == set(selectors) - ({"Service"} if name == "agent" else set())
    assert find(objects, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1


@pytest.mark.parametrize("name", OBJECTS)
def test_no_plain_token_leaves_its_secret(name: str) -> None:
    item = OBJECTS[name]
    text = json.dumps(item)
    assert ADMIN_TOKEN not in text
    assert "an-agent-token" not in text
    assert not any(secret in text for secret in PEER_SECRETS)
    assert not (name.startswith("manifests/") and item["kind"] == "Secret")
    for container in at(item, "spec/template/spec/containers") or []:
        variables = {variable["name"] for variable in container.get("env", [])}
        assert variables <= {
            "GATEWAY_CONFIG", "POD_IP", "GATEWAY_CLUSTER_NODE_NAME", "GATEWAY_CLUSTER_PEER_URL",
            "AGENT_TOKEN_FILE", "AGENT_HEALTH_BIND", "HTTPS_PROXY", "NO_PROXY",
        }  # fmt: skip
        assert not any(argument.startswith("--token=") for argument in container.get("args", []))
