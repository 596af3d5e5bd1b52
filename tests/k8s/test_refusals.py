"""What the charts refuse, by schema or by check, and that the text says why."""

import copy
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tests.k8s.charts import FULL, K8S, Values, chart, helm_python, merged, render

ROUTE: Values = {"host": "a.example.com", "cluster": "c", "namespace": "n", "service": "s", "port": 80}
AGENT: Values = {"token_sha256": "ab" * 32, "clusters": ["c"]}


def levels(schema: Values, value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where in `value` an object stands whose keys the schema names."""
    if isinstance(value, dict) and "properties" in schema:
        yield path
        for key, item in value.items():
            yield from levels(schema["properties"][key], item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value[:1]):
            yield from levels(schema.get("items", {}), item, (*path, index))


def whole(name: str) -> Values:
    """The defaults with the full values over them: every level is in there."""
    return merged(chart(name).values, FULL[name])


def misspelt() -> list[Any]:
    return [
        pytest.param(name, path, id=f"{name}:{'.'.join(map(str, path)) or 'top'}")
        for name in ("gateway", "agent")
        for path in levels(chart(name).schema, whole(name))
    ]


@pytest.mark.parametrize(("name", "path"), misspelt())
def test_a_misspelt_key_is_refused_at_every_level(name: str, path: tuple[str | int, ...]) -> None:
    values = copy.deepcopy(whole(name))
    chart(name).validate_schema(values)
    level: Any = values
    for part in path:
        level = level[part]
    level["mispelt"] = "x"
    with pytest.raises(helm_python.HelmValuesError, match="additional properties 'mispelt' not allowed"):
        render(name, values)


def test_the_levels_are_many() -> None:
    assert len(misspelt()) > 30  # the test above walks by the schema: an empty walk would test nothing


def test_every_object_in_the_schemas_is_closed() -> None:
    def open_objects(schema: Any, path: str) -> Iterator[str]:
        if isinstance(schema, dict):
            names_keys = schema.get("type") == "object" and isinstance(schema.get("properties"), dict)
            if names_keys and schema.get("additionalProperties") is not False:
                yield path
            for key, part in schema.items():
                yield from open_objects(part, f"{path}/{key}")

    assert [found for name in FULL for found in open_objects(chart(name).schema, name)] == []


WRONG: list[tuple[str, Values, str]] = [
    ("gateway", {"replicas": 2}, "cluster.servers: is needed with 2 replicas; name the NATS servers"),
    ("gateway", {"replicas": 0}, "/replicas"),
    ("gateway", {"replicas": "2"}, "/replicas"),
    ("gateway", {"publicUrl": ""}, "publicUrl: is required"),
    ("gateway", {"tls": {"secretName": "Web"}}, "/tls/secretName"),
    (
        "gateway",
        {"tls": {"secretName": "web"}, "ingress": {"enabled": True, "hosts": ["a.example.com"]}},
        "tls.secretName: an Ingress or HTTPRoute ends TLS itself",
    ),
    (
        "gateway",
        {"tls": {"secretName": "web"}, "httpRoute": {"enabled": True, "parentRefs": [{"name": "public"}]}},
        "tls.secretName: an Ingress or HTTPRoute ends TLS itself",
    ),
    ("gateway", {"publicUrl": "tunnel.example.com"}, "/publicUrl"),
    ("gateway", {"publicUrl": "https://a/?q"}, "/publicUrl"),
    ("gateway", {"terminationGracePeriodSeconds": 39}, "terminationGracePeriodSeconds: 39 is too short"),
    ("gateway", {"shutdownGrace": 60, "terminationGracePeriodSeconds": 60}, "set at least 5 s more"),
    ("gateway", {"drainDelay": -1}, "/drainDelay"),
    ("gateway", {"trustedProxies": ["proxy.example.com"]}, "/trustedProxies/0"),
    ("gateway", {"heldBytesLimit": 1000}, "/heldBytesLimit"),
    ("gateway", {"logLevel": "verbose"}, "/logLevel"),
    ("gateway", {"logFormat": "xml"}, "/logFormat"),
    ("gateway", {"listen": "127.0.0.1"}, "/listen"),
    ("gateway", {"image": {"tag": "latest"}}, "/image/tag"),
    ("gateway", {"image": {"repository": "Upper/Case"}}, "/image/repository"),
    ("gateway", {"image": {"digest": "sha256:12"}}, "/image/digest"),
    ("gateway", {"agents": [{"token": "plain", "clusters": ["c"]}]}, "'token' not allowed"),
    ("gateway", {"agents": [{"clusters": ["c"]}]}, "missing property 'token_sha256'"),
    ("gateway", {"agents": [AGENT | {"token_sha256": "abc"}]}, "/agents/0/token_sha256"),
    ("gateway", {"agents": [AGENT | {"clusters": []}]}, "/agents/0/clusters"),
    ("gateway", {"routes": [ROUTE | {"port": 0}]}, "/routes/0/port"),
    ("gateway", {"routes": [ROUTE | {"port": "80"}]}, "/routes/0/port"),
    ("gateway", {"routes": [ROUTE | {"service": "a.b"}]}, "/routes/0/service"),
    ("gateway", {"routes": [ROUTE | {"max_websockets": 0}]}, "/routes/0/max_websockets"),
    ("gateway", {"routes": [ROUTE | {"scheme": "https", "ca_file": "x.pem"}]}, "x.pem is not in caFiles"),
    ("gateway", {"caFiles": {"x.pem": "-----BEGIN PRIVATE KEY-----"}}, "/caFiles/x.pem"),
    ("gateway", {"caFiles": {"gateway.toml": "-----BEGIN CERTIFICATE-----"}}, "gateway.toml"),
    ("gateway", {"extra": {"public_url": "https://x"}}, "'public_url' not allowed"),
    ("gateway", {"extra": {"agents": []}}, "'agents' not allowed"),
    ("gateway", {"admin": {"token": "short"}}, "/admin/token"),
    ("gateway", {"admin": {"token": "0123456789abcdef", "existingSecret": "s"}}, "either existingSecret or token"),
    ("gateway", {"admin": {"port": 8080}}, "admin.port: 8080 is the HTTP port"),
    ("gateway", {"admin": {"port": 80}}, "/admin/port"),
    ("gateway", {"proxyProtocol": "yes"}, "/proxyProtocol"),
    ("gateway", {"proxyProtocol": True, "admin": {"existingSecret": "s"}}, "proxyProtocol: needs trustedProxies"),
    ("gateway", {"proxyProtocol": True, "trustedProxies": ["10.0.0.1"]}, "needs admin.existingSecret or admin.token"),
    ("gateway", {"persistence": {"existingClaim": "c"}}, "needs persistence.enabled"),
    ("gateway", {"persistence": {"size": "big"}}, "/persistence/size"),
    ("gateway", {"temporaryFiles": {"size": ""}}, "/temporaryFiles/size"),
    ("gateway", {"service": {"type": "ExternalName"}}, "/service/type"),
    ("gateway", {"service": {"externalTrafficPolicy": "Local"}}, "needs service.type NodePort or LoadBalancer"),
    ("gateway", {"ingress": {"enabled": True}}, "ingress.hosts: is empty"),
    ("gateway", {"ingress": {"enabled": True, "hosts": ["*"]}}, "/ingress/hosts/0"),
    ("gateway", {"httpRoute": {"enabled": True}}, "httpRoute.parentRefs: is empty"),
    ("gateway", {"httpRoute": {"timeouts": {"request": "1 hour"}}}, "/httpRoute/timeouts/request"),
    ("gateway", {"httpRoute": {"hostnames": ["a.example.com"] * 17}}, "/httpRoute/hostnames"),
    ("agent", {"gateways": []}, "gateways: is required"),
    ("agent", {"gateways": ["tunnel.example.com"]}, "/gateways/0"),
    ("agent", {"gateways": ["wss://token@tunnel.example.com/agent"]}, "/gateways/0"),
    ("agent", {"gateways": ["wss://a/$(AGENT_TOKEN)"]}, "/gateways/0"),
    ("agent", {"gateways": ["wss://a/agent", "wss://a/agent"]}, "/gateways"),
    ("agent", {"cluster": ""}, "cluster: is required"),
    ("agent", {"token": {"existingSecret": ""}}, "token: give either existingSecret or value"),
    ("agent", {"token": {"value": "both"}}, "token: give either existingSecret or value"),
    ("agent", {"allow": []}, "reaches only what they name"),
    ("agent", {"allow": ["kuma:3001"]}, "/allow/0"),
    ("agent", {"services": ["kuma=10.0.0.1"]}, "/services/0"),
    ("agent", {"replicas": 0}, "/replicas"),
    ("agent", {"grace": 3601}, "/grace"),
    ("agent", {"terminationGracePeriodSeconds": 12}, "terminationGracePeriodSeconds: 12 is too short for grace"),
    ("agent", {"networkPolicy": {"enabled": True, "restrictEgress": True}}, "could not reach its gateway"),
    ("agent", {"networkPolicy": {"restrictEgress": True, "egress": [{}]}}, "needs networkPolicy.enabled"),
    ("agent", {"health": {"port": 80}}, "/health/port"),
    (
        "agent",
        {"health": {"enabled": False}, "networkPolicy": {"enabled": True, "metricsNamespace": "monitoring"}},
        "networkPolicy.metricsNamespace: needs health.enabled",
    ),
    ("agent", {"networkPolicy": {"metricsNamespace": "Monitoring"}}, "/networkPolicy/metricsNamespace"),
    ("agent", {"image": {"tag": "latest"}}, "/image/tag"),
]


@pytest.mark.parametrize(("name", "values", "reason"), WRONG)
def test_a_wrong_value_is_refused_with_its_reason(name: str, values: Values, reason: str) -> None:
    with pytest.raises(helm_python.HelmError) as caught:
        render(name, values)
    assert reason in str(caught.value)


@pytest.mark.parametrize(("name", "values"), [
    ("gateway", {"terminationGracePeriodSeconds": 40}),
    ("gateway", {"drainDelay": 0, "shutdownGrace": 0, "terminationGracePeriodSeconds": 5}),
    ("gateway", {"publicUrl": "", "controlHosts": ["tunnel.example.com"]}),
    ("gateway", {"httpRoute": {"hostnames": ["a.example.com"] * 16}}),
    ("agent", {"terminationGracePeriodSeconds": 13}),
])  # fmt: skip
def test_what_lies_just_inside_the_border_is_taken(name: str, values: Values) -> None:
    assert render(name, values)


def test_the_checks_hold_where_the_schema_is_switched_off(tmp_path_factory: pytest.TempPathFactory) -> None:
    """`helm --skip-schema-validation`: no replicas that cannot find each other and no plain token all the same."""
    folder = tmp_path_factory.mktemp("bare") / "gateway"
    shutil.copytree(K8S / "gateway", folder, ignore=shutil.ignore_patterns("values.schema.json"))
    with helm_python.Chart.load(folder) as bare:
        for values, reason in (
            ({"replicas": 2}, "cluster.servers: is needed with 2 replicas"),
            ({"replicas": 0}, "replicas: must be 1 or more"),
            ({"agents": [{"token": "plain", "clusters": ["c"]}]}, "a plain token must not be in a ConfigMap"),
            ({"extra": {"public_url": "https://x"}}, "extra.public_url: this key is not allowed here"),
            ({"extra": {"routes": []}}, "extra.routes: this key is not allowed here"),
            ({"extra": {"cluster": {}}}, "extra.cluster: this key is not allowed here"),
        ):
            with pytest.raises(helm_python.HelmRenderError, match=reason):
                bare.render({"publicUrl": "https://tunnel.example.com"} | values, name="x")
