"""What several nodes read in their pods, by the gateway's own `load`; and that the examples of both charts fit."""

import re
from pathlib import Path
from typing import Any

import pytest

from app.settings import Settings, load
from tests.k8s.charts import (
    ADMIN_TOKEN,
    CERTIFICATE,
    K8S,
    NODES,
    NODES_FULL,
    PEER_SECRETS,
    Values,
    at,
    find,
    merged,
    parsed,
    render,
)
from tests.k8s.test_node_values import CONTAINER, POD, RUN, cluster, signed_in

SEED = "SU" + "A" * 56
CONTENTS = {
    "ca.crt": CERTIFICATE,
    "tls.crt": CERTIFICATE,
    "tls.key": "-----BEGIN PRIVATE KEY-----\n",
    "password": "secret",
    "credentials": f"-----BEGIN NATS USER JWT-----\n{SEED}\n",
    "nkey": SEED,
    "secret": "\n".join(PEER_SECRETS),
    "token": ADMIN_TOKEN,
}
"""By the files' names in the pod."""


def read_in_a_pod(values: Values, folder: Path, *, address: str = "10.1.2.3") -> Settings:
    """What the gateway reads: the file, the variables as the kubelet sets them, and the files that are mounted."""
    objects = render("gateway", merged(NODES, values))
    deployment = find(objects, "Deployment")
    for mount in at(deployment, f"{CONTAINER}/volumeMounts"):
        for item in at(deployment, f"{POD}/volumes/name={mount['name']}/secret/items") or []:
            file = folder / mount["mountPath"].lstrip("/") / item["path"]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(CONTENTS[item["path"]])
    fields = {"status.podIP": address, "metadata.name": "edge-7f9c-x2x4z"}
    environment: dict[str, str] = {}
    for variable in at(deployment, f"{CONTAINER}/env"):
        value = variable["value"] if "value" in variable else fields[at(variable, "valueFrom/fieldRef/fieldPath")]
        environment[variable["name"]] = value.replace("$(POD_IP)", environment.get("POD_IP", ""))
    config = folder / "gateway.toml"
    config.write_text(find(objects, "ConfigMap")["data"]["gateway.toml"].replace('"/run/', f'"{folder}/run/'))
    return load(str(config), environment | {"GATEWAY_CONFIG": str(config)})


def test_the_least_values_of_several_nodes_load(tmp_path: Path) -> None:
    read = read_in_a_pod({}, tmp_path)
    assert read.cluster is not None
    assert read.cluster.servers == ("nats://nats.nats:4222",)
    assert (read.cluster.node_name, read.cluster.peer_url) == ("edge-7f9c-x2x4z", "http://10.1.2.3:8082")
    assert read.cluster.peer_bind == ("0.0.0.0", 8082)
    assert (read.cluster.bucket_prefix, read.cluster.replicas) == ("tunnel", 1)
    assert read.cluster.peer_secret_file == f"{tmp_path}{RUN}-peer-secret/secret"
    assert read.ready_wait == 15
    assert read.unknown_variables == ()


def test_all_values_of_several_nodes_load(tmp_path: Path) -> None:
    read = read_in_a_pod(NODES_FULL, tmp_path).cluster
    assert read is not None
    assert read.servers == ("tls://nats-0.nats:4222", "tls://nats-1.nats:4222", "tls://[fd00::1]:14222")
    assert (read.bucket_prefix, read.replicas) == ("edge", 3)
    assert (read.user, read.password_file) == ("gateway", f"{tmp_path}{RUN}-nats-auth/password")
    assert read.ca_file == f"{tmp_path}{RUN}-nats-ca/ca.crt"
    assert (read.certificate, read.key) == (f"{tmp_path}{RUN}-nats-tls/tls.crt", f"{tmp_path}{RUN}-nats-tls/tls.key")
    assert read.peer_url == "https://10.1.2.3:9443"
    assert read.peer_ca_file == f"{tmp_path}{RUN}-peer-tls/ca.crt"
    assert read.peer_certificate == f"{tmp_path}{RUN}-peer-tls/tls.crt"
    assert read.peer_key == f"{tmp_path}{RUN}-peer-tls/tls.key"


@pytest.mark.parametrize("method", ["credentials", "nkey"])
def test_a_node_signs_in_by_a_file(method: str, tmp_path: Path) -> None:
    read = read_in_a_pod(signed_in(method), tmp_path).cluster
    assert read is not None
    assert getattr(read, f"{method}_file") == f"{tmp_path}{RUN}-nats-auth/{method}"
    assert read.user is None


def test_nodes_know_each_other_by_certificates_alone(tmp_path: Path) -> None:
    read = read_in_a_pod(cluster(peer={"existingSecret": "", "tlsSecret": "peer-tls"}), tmp_path).cluster
    assert read is not None
    assert read.peer_secret_file is None


def test_nodes_have_addresses_of_ipv6(tmp_path: Path) -> None:
    read = read_in_a_pod({"listen": "::"}, tmp_path, address="fd00::7").cluster
    assert read is not None
    assert (read.peer_bind, read.peer_url) == (("::", 8082), "http://[fd00::7]:8082")


def examples() -> list[Any]:
    """NATS' values, and the gateway's."""
    names = ("nats.yaml", "gateway-nodes.yaml")
    return [parsed((K8S / "examples" / name).read_text(encoding="utf-8"))[0] for name in names]


def test_the_two_examples_fit() -> None:
    """tests/system/test_nats_chart_values.py tries them with real servers."""
    nats, gateway = examples()
    (account,) = nats["config"]["merge"]["accounts"].values()
    (user,) = account["users"]
    assert user["user"] == gateway["cluster"]["auth"]["user"]
    assert nats["config"]["cluster"]["replicas"] == gateway["cluster"]["bucketReplicas"]
    assert nats["config"]["jetstream"]["enabled"] is True
    (variable,) = nats["container"]["env"].values()
    secret = at(variable, "valueFrom/secretKeyRef")
    assert secret["name"] == at(gateway, "cluster/auth/existingSecret")
    assert secret["key"] == at(gateway, "cluster/auth/key")


def test_the_examples_user_may_do_what_is_documented_and_no_more() -> None:
    nats, gateway = examples()
    prefix = at(gateway, "cluster/bucketPrefix")
    document = (K8S.parent / "docs" / "configuration.md").read_text(encoding="utf-8")
    text = document.partition("What the node's user may do in NATS")[2].partition("NATS does not answer")[0]
    documented = {
        subject.replace("B.", f"{prefix}_{name}.", 1)
        if subject.startswith("$KV.")
        else re.sub(r"\bKV_B\b", f"KV_{prefix}_{name}", subject)
        for subject in re.findall(r"`(\$[^`]+)`", text)
        for name in ("nodes", "links", "routes")
    }
    permissions = at(nats, "config/merge/accounts/TUNNEL/users/0/permissions")
    assert set(permissions) == {"publish", "subscribe"}
    assert len(permissions["publish"]) == len(documented) + 1
    assert set(permissions["publish"]) == documented | {f"{prefix}.links"}
    assert permissions["subscribe"] == [f"{prefix}.links", "_INBOX.>"]
