"""Every value of several nodes, one by one: what it changes in which object, and what is refused."""

from typing import Any

import pytest

from tests.k8s.charts import NODES, PEER_SECRETS, Values, at, find, helm_python, merged, render

POD = "spec/template/spec"
CONTAINER = f"{POD}/containers/name=gateway"
TOML = "data/gateway.toml"
SELECTOR = {"app.kubernetes.io/name": "tunnel-gateway", "app.kubernetes.io/instance": "edge"}
RUN = "/run/secrets/tunnel-gateway"


def cluster(**values: Any) -> Values:
    return {"cluster": values}


def signed_in(method: str, **values: str) -> Values:
    return cluster(auth={"method": method, "existingSecret": "nats"} | values)


PASSWORD = signed_in("password", user="gateway")
CASES: list[tuple[Values, str, str, Any]] = [
    ({"replicas": 5}, "Deployment", "spec/replicas", 5),
    (cluster(servers=["tls://a:1", "nats://b"]), "ConfigMap", TOML, 'servers = ["tls://a:1", "nats://b"]'),
    (cluster(servers=["tls://a:1", "nats://b", "nats://c"]), "NetworkPolicy", "spec/egress/1/ports",
     [{"port": 1, "protocol": "TCP"}, {"port": 4222, "protocol": "TCP"}]),
    (cluster(bucketPrefix="edge"), "ConfigMap", TOML, 'bucket_prefix = "edge"'),
    (cluster(bucketReplicas=3), "ConfigMap", TOML, "\nreplicas = 3"),
    (PASSWORD, "ConfigMap", TOML, 'user = "gateway"'),
    (PASSWORD, "ConfigMap", TOML, f'password_file = "{RUN}-nats-auth/password"'),
    (PASSWORD, "Deployment", f"{POD}/volumes/name=nats-auth/secret/items", [{"key": "password", "path": "password"}]),
    (signed_in("credentials", key="gw.creds"), "Deployment", f"{POD}/volumes/name=nats-auth/secret/items",
     [{"key": "gw.creds", "path": "credentials"}]),
    (signed_in("credentials"), "ConfigMap", TOML, f'credentials_file = "{RUN}-nats-auth/credentials"'),
    (signed_in("nkey"), "ConfigMap", TOML, f'nkey_file = "{RUN}-nats-auth/nkey"'),
    (signed_in("nkey"), "Deployment", f"{POD}/volumes/name=nats-auth/secret/secretName", "nats"),
    (cluster(tls={"caSecret": "ca"}), "ConfigMap", TOML, f'\nca_file = "{RUN}-nats-ca/ca.crt"'),
    (cluster(tls={"caSecret": "ca"}), "Deployment", f"{POD}/volumes/name=nats-ca/secret/secretName", "ca"),
    (cluster(tls={"clientSecret": "me"}), "ConfigMap", TOML, f'\nkey = "{RUN}-nats-tls/tls.key"'),
    (cluster(tls={"clientSecret": "me"}), "Deployment", f"{POD}/volumes/name=nats-tls/secret/secretName", "me"),
    (cluster(peer={"port": 9443}), "ConfigMap", TOML, 'peer_bind = "0.0.0.0:9443"'),
    (cluster(peer={"port": 9443}), "Deployment", f"{CONTAINER}/ports/name=peer/containerPort", 9443),
    (cluster(peer={"port": 9443}), "NetworkPolicy", "spec/egress/2/ports/0/port", 9443),
    (cluster(peer={"existingSecret": "s", "key": "k"}), "Deployment", f"{POD}/volumes/name=peer-secret/secret",
     {"secretName": "s", "defaultMode": 0o440, "items": [{"key": "k", "path": "secret"}]}),
    (cluster(peer={"existingSecret": "", "secrets": PEER_SECRETS}), "Secret", "data",
     {"secret": "dGhlLW5ldy1zZWNyZXQtb2YtdGhlLW5vZGVzCnRoZS1vbGQtc2VjcmV0LW9mLXRoZS1ub2Rlcw=="}),
    (cluster(peer={"existingSecret": "", "secrets": PEER_SECRETS}), "Deployment",
     f"{POD}/volumes/name=peer-secret/secret/secretName", "edge-tunnel-gateway-peer"),
    (cluster(peer={"tlsSecret": "t"}), "ConfigMap", TOML, f'peer_ca_file = "{RUN}-peer-tls/ca.crt"'),
    (cluster(peer={"tlsSecret": "t"}), "Deployment",
     f"{CONTAINER}/env/name=GATEWAY_CLUSTER_PEER_URL/value", "https://$(POD_IP):8082"),
    ({"listen": "::"}, "Deployment", f"{CONTAINER}/env/name=GATEWAY_CLUSTER_PEER_URL/value", "http://[$(POD_IP)]:8082"),
    ({"listen": "::"}, "ConfigMap", TOML, 'peer_bind = "[::]:8082"'),
    ({"readyWait": 60}, "ConfigMap", TOML, "ready_wait = 60"),
    ({"readyWait": 0}, "ConfigMap", TOML, "ready_wait = 0"),
    ({"networkPolicy": {"nats": [{"podSelector": {}}]}}, "NetworkPolicy", "spec/egress/1/to", [{"podSelector": {}}]),
    ({"topologySpreadConstraints": []}, "Deployment", f"{POD}/topologySpreadConstraints", None),
    ({"topologySpreadConstraints": [{"maxSkew": 2, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule"}]},
     "Deployment", f"{POD}/topologySpreadConstraints",
     [{"maxSkew": 2, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule",
       "labelSelector": {"matchLabels": SELECTOR}}]),
    ({"topologySpreadConstraints": [{"labelSelector": {"matchLabels": {"team": "edge"}}}]}, "Deployment",
     f"{POD}/topologySpreadConstraints/0/labelSelector", {"matchLabels": {"team": "edge"}}),
]  # fmt: skip
"""Values over `NODES`, the object that they change, where, and what stands there then (in TOML: a part of it)."""


@pytest.mark.parametrize(("values", "kind", "path", "expected"), CASES)
def test_a_value_reaches_its_place(values: Values, kind: str, path: str, expected: Any) -> None:
    before = [at(item, path) for item in render("gateway", NODES) if item["kind"] == kind]
    after = at(find(render("gateway", merged(NODES, values)), kind), path)
    if path == TOML:
        assert expected in after
        assert expected not in before[0]
    else:
        assert after == expected
        assert expected not in before


WRONG: list[tuple[Values, str]] = [
    (cluster(servers=[]), "cluster.servers: is needed with 3 replicas"),
    (cluster(servers=["nats.nats:4222"]), "/cluster/servers/0"),
    (cluster(servers=["nats://user:password@nats"]), "/cluster/servers/0"),
    (cluster(servers=["ws://nats"]), "/cluster/servers/0"),
    (cluster(bucketPrefix="a.b"), "/cluster/bucketPrefix"),
    (cluster(bucketReplicas=6), "/cluster/bucketReplicas"),
    (cluster(auth={"method": "token"}), "/cluster/auth/method"),
    (cluster(auth={"user": "gateway"}), "cluster.auth.method: is none, but user or existingSecret is set"),
    (cluster(auth={"existingSecret": "nats"}), "cluster.auth.method: is none, but user or existingSecret is set"),
    (cluster(auth={"method": "nkey"}), "cluster.auth.existingSecret: is needed for the method nkey"),
    (signed_in("password"), "cluster.auth.user: belongs to the method password, and is needed for it"),
    (signed_in("nkey", user="gateway"), "cluster.auth.user: belongs to the method password"),
    (cluster(tls={"caSecret": "NATS"}), "/cluster/tls/caSecret"),
    (cluster(peer={"existingSecret": ""}), "cluster.peer.existingSecret: is needed (or secrets, or tlsSecret)"),
    (cluster(peer={"secrets": PEER_SECRETS}), "cluster.peer: give either existingSecret or secrets"),
    (cluster(peer={"secrets": ["short"]}), "/cluster/peer/secrets/0"),
    (cluster(peer={"secrets": ["two words of a secret"]}), "/cluster/peer/secrets/0"),
    (cluster(peer={"secrets": [*PEER_SECRETS, "a-third-one-is-too-many"]}), "/cluster/peer/secrets"),
    (cluster(peer={"port": 8080}), "cluster.peer.port: 8080 is the HTTP port or the admin port"),
    (cluster(peer={"port": 8081}), "cluster.peer.port: 8081 is the HTTP port or the admin port"),
    (cluster(peer={"port": 80}), "/cluster/peer/port"),
    (cluster(peer=None), "missing property 'peer'"),
    ({"persistence": {"enabled": True}}, "persistence.enabled: one claim cannot serve several pods"),
    ({"topologySpreadConstraints": ["rack"]}, "/topologySpreadConstraints/0"),
]


@pytest.mark.parametrize(("values", "reason"), WRONG)
def test_a_wrong_value_is_refused_with_its_reason(values: Values, reason: str) -> None:
    with pytest.raises(helm_python.HelmError) as caught:
        render("gateway", merged(NODES, values))
    assert reason in str(caught.value)
