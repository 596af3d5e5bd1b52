"""What several nodes are made of, and that one node is rendered as it was before there were several."""

from pathlib import Path
from typing import Any

import pytest

from tests.k8s.charts import (
    GATEWAY,
    GATEWAY_FULL,
    NODES,
    NODES_FULL,
    PEER_SECRETS,
    Object,
    Values,
    at,
    chart,
    find,
    merged,
    notes,
    render,
)
from tests.k8s.test_node_values import CONTAINER, POD, SELECTOR, cluster
from tunnel.version import VERSION

PEERS = [{"podSelector": {"matchLabels": SELECTOR}}]


def test_one_node_is_rendered_as_before_there_were_several() -> None:
    """The file is what the chart gave before `cluster` was one of its values."""
    rendered = chart("gateway").render(GATEWAY, name="edge", namespace="tunnel")
    texts = [text.strip("\n") for path, text in sorted(rendered.items()) if path.endswith(".yaml") and text.strip()]
    expected = Path(__file__).with_name("one_node.yaml").read_text(encoding="utf-8").replace("0.1.0", VERSION)
    assert "\n---\n".join(texts) + "\n" == expected


@pytest.mark.parametrize("values", [{}, GATEWAY_FULL])
def test_one_node_has_nothing_of_several(values: Values) -> None:
    rendered = render("gateway", values)
    assert not [item for item in rendered if item["metadata"]["name"].endswith(("-peers", "-peer"))]
    assert "topologySpreadConstraints" not in at(find(rendered, "Deployment"), POD)
    text = str(rendered)
    assert "GATEWAY_CLUSTER" not in text
    assert "[cluster]" not in text


def test_the_values_of_an_older_chart_are_enough_for_one_node() -> None:
    """As `helm upgrade --reuse-values` gives them. A null takes a value away."""
    older: Values = {
        "cluster": None,
        "topologySpreadConstraints": None,
        "readyWait": 0,
        "networkPolicy": {"nats": None},
    }
    assert render("gateway", older) == render("gateway")


# Several nodes


def test_pods_are_replaced_one_after_the_other_and_none_goes_before_its_successor_is_ready() -> None:
    objects = render("gateway", NODES)
    deployment = find(objects, "Deployment")
    assert at(deployment, "spec/strategy") == {
        "type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
    }  # fmt: skip
    assert "ready_wait = 15\n" in find(objects, "ConfigMap")["data"]["gateway.toml"]
    assert find(objects, "PodDisruptionBudget")["spec"] == {"maxUnavailable": 1, "selector": {"matchLabels": SELECTOR}}
    one = find(render("gateway"), "Deployment")
    for path in (f"{POD}/terminationGracePeriodSeconds", f"{CONTAINER}/lifecycle", f"{CONTAINER}/readinessProbe"):
        assert at(deployment, path) == at(one, path)


def test_one_of_several_nodes_is_replaced_likewise() -> None:
    """So that a gateway of one pod with NATS is upgraded without a gap."""
    objects = render("gateway", merged(NODES, {"replicas": 1}))
    assert at(find(objects, "Deployment"), "spec/strategy/type") == "RollingUpdate"
    assert "ready_wait = 15\n" in find(objects, "ConfigMap")["data"]["gateway.toml"]


def test_a_claim_belongs_to_one_pod_so_the_old_one_goes_first() -> None:
    """The step from one node with a claim to several: its routes are taken over into NATS at the first start."""
    objects = render("gateway", merged(NODES, {"replicas": 1, "persistence": {"enabled": True}}))
    deployment = find(objects, "Deployment")
    assert at(deployment, "spec/strategy") == {"type": "Recreate"}
    assert at(deployment, f"{POD}/volumes/name=state/persistentVolumeClaim/claimName") == "edge-tunnel-gateway"
    assert "ready_wait = 0\n" in find(objects, "ConfigMap")["data"]["gateway.toml"]


def test_the_state_of_each_pod_is_a_copy_of_its_own() -> None:
    assert at(find(render("gateway", NODES), "Deployment"), f"{POD}/volumes/name=state") == {
        "name": "state", "emptyDir": {"sizeLimit": "1Gi"},
    }  # fmt: skip


def test_pods_are_spread_over_machines_and_zones_as_far_as_possible() -> None:
    constraints = at(find(render("gateway", NODES), "Deployment"), f"{POD}/topologySpreadConstraints")
    assert [constraint.pop("topologyKey") for constraint in constraints] == [
        "kubernetes.io/hostname", "topology.kubernetes.io/zone",
    ]  # fmt: skip
    expected = {"maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {"matchLabels": SELECTOR},
                "matchLabelKeys": ["pod-template-hash"]}  # fmt: skip
    assert constraints == [expected, expected]


def services(values: Values) -> dict[str, Object]:
    return {item["metadata"]["name"]: item for item in render("gateway", values) if item["kind"] == "Service"}


def test_agents_and_nodes_reach_pods_that_are_not_ready() -> None:
    found = services(NODES)
    assert set(found) == {f"edge-tunnel-gateway{part}" for part in ("", "-agents", "-peers")}
    assert found["edge-tunnel-gateway-agents"]["spec"]["publishNotReadyAddresses"] is True
    assert found["edge-tunnel-gateway-peers"]["spec"] == {
        "type": "ClusterIP", "clusterIP": "None", "publishNotReadyAddresses": True, "selector": SELECTOR,
        "ports": [{"name": "peer", "port": 8082, "targetPort": "peer", "appProtocol": "tcp"}],
    }  # fmt: skip


def test_prometheus_reads_each_pod() -> None:
    """Of a Service that a ServiceMonitor finds it reads the endpoints, not the address."""
    monitor = find(render("gateway", NODES_FULL), "ServiceMonitor")
    wanted = at(monitor, "spec/selector/matchLabels")
    (port,) = (endpoint["port"] for endpoint in at(monitor, "spec/endpoints"))
    found = [
        name
        for name, service in services(NODES_FULL).items()
        if wanted.items() <= at(service, "metadata/labels").items()
        and port in [each["name"] for each in at(service, "spec/ports")]
    ]
    assert found == ["edge-tunnel-gateway-admin"]
    assert services(NODES_FULL)[found[0]]["spec"]["selector"] == SELECTOR


def test_only_nodes_reach_the_port_for_nodes_and_they_reach_nothing_else_but_nats() -> None:
    policy = find(render("gateway", NODES), "NetworkPolicy")["spec"]
    assert policy["podSelector"] == {"matchLabels": SELECTOR}
    assert policy["ingress"] == [
        {"ports": [{"port": "http", "protocol": "TCP"}]},
        {"ports": [{"port": "peer", "protocol": "TCP"}], "from": PEERS},
    ]
    assert policy["egress"] == [
        {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]},
        {"ports": [{"port": 4222, "protocol": "TCP"}]},
        {"ports": [{"port": 8082, "protocol": "TCP"}], "to": PEERS},
    ]
    full = find(render("gateway", NODES_FULL), "NetworkPolicy")["spec"]
    assert full["egress"][1] == {
        "ports": [{"port": 4222, "protocol": "TCP"}, {"port": 14222, "protocol": "TCP"}], "to": [{"podSelector": {}}],
    }  # fmt: skip


def test_pods_restart_for_what_a_running_node_cannot_take_up_and_not_for_a_new_secret() -> None:
    def template(values: Values) -> Any:
        return at(find(render("gateway", merged(NODES, values)), "Deployment"), "spec/template")

    def secrets(*lines: str) -> Values:
        return cluster(peer={"existingSecret": "", "secrets": list(lines)})

    assert template(cluster(bucketPrefix="edge")) != template({})
    assert template({"readyWait": 60}) == template({})
    assert template(secrets(PEER_SECRETS[0])) == template(secrets(*PEER_SECRETS))


def test_what_helm_prints_names_nats() -> None:
    assert "NATS with JetStream at nats://nats.nats:4222" in notes("gateway", NODES)
    assert "NATS" not in notes("gateway", {})
