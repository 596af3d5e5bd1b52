"""The charts, rendered offline: values in, Kubernetes objects out. Needs no cluster and no helm program.

`GATEWAY` and `AGENT` are the least values; `GATEWAY_FULL` and `AGENT_FULL` set everything that may be set at once, so
that every template line is rendered and every level of the schemas is there. `NODES` and `NODES_FULL` are what several
nodes need on top of `GATEWAY`.
"""

import copy
import importlib.util
import json
import types
from functools import cache
from pathlib import Path
from typing import Any

import pytest

helm_python = pytest.importorskip("helm_python", reason="PyPI's helm-python-sdk has no build for this platform")
yaml = pytest.importorskip("yaml")

K8S = Path(__file__).parents[2] / "k8s"

Values = dict[str, Any]
Object = dict[str, Any]

GATEWAY: Values = {"publicUrl": "https://tunnel.example.com"}
AGENT: Values = {
    "gateways": ["wss://tunnel.example.com/agent"],
    "cluster": "c1",
    "token": {"existingSecret": "tokens"},
    "allow": ["apps/kuma:3001"],
}
MINIMAL = {"gateway": GATEWAY, "agent": AGENT}

CERTIFICATE = "-----BEGIN CERTIFICATE-----\nbm90IG9uZQ==\n-----END CERTIFICATE-----\n"
ADMIN_TOKEN = "an-admin-token-of-the-tests"
PEER_SECRETS = ["the-new-secret-of-the-nodes", "the-old-secret-of-the-nodes"]

_POD: Values = {
    "podAnnotations": {"example.com/note": "yes"},
    "podLabels": {"team": "edge"},
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "edge", "operator": "Exists", "effect": "NoSchedule"}],
    "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]}}},
    "priorityClassName": "edge-high",
    "resources": {"requests": {"cpu": "1", "memory": "512Mi"}, "limits": {"memory": "2Gi"}},
    "image": {"repository": "registry.example.com/gw", "tag": "1.2.3", "pullPolicy": "Always",
              "pullSecrets": [{"name": "login"}]},
}  # fmt: skip

GATEWAY_FULL: Values = GATEWAY | _POD | {
    "controlHosts": ["tunnel.example.com", "localhost"],
    "trustedProxies": ["10.0.0.0/8", "2001:db8::/32"],
    "proxyProtocol": True,
    "heldBytesLimit": 268435456,
    "heldBytesHardLimit": 536870912,
    "agents": [
        {"token_sha256": "ab" * 32, "clusters": ["c1", "c2"], "hosts": ["*.c1.example.com"], "revoked": False},
        {"token_sha256": "cd" * 32, "clusters": ["c3"], "revoked": True},
    ],
    "routes": [
        {"host": "kuma.example.com", "path": "/status", "cluster": "c1", "namespace": "apps", "service": "kuma",
         "port": 3001, "max_websockets": 100, "max_body_bytes": "unlimited", "messages_per_second": 0.5,
         "response_headers": {"set": {"x-frame-options": "DENY"}, "remove": ["server"]}},
        {"host": "*.example.com", "cluster": "c2", "namespace": "apps", "service": "site", "port": 443,
         "scheme": "https", "verify": True, "server_name": "site.apps.svc"},
    ],
    "extra": {"reconnect_grace": 1.5, "max_message_bytes": 20971520, "origins": ["same-origin", "*.example.com"],
              "max_connections": 5000, "max_links_per_cluster": 8, "max_links_per_token": 16,
              "max_syncs_per_minute": 2.5,
              "request_headers": {"set": {"x-from": "tunnel <&> \"gateway\" ü"}}},
    "admin": {"token": ADMIN_TOKEN},
    "persistence": {"enabled": True, "storageClass": "fast", "size": "2Gi"},
    "service": {"type": "LoadBalancer", "port": 8000, "externalTrafficPolicy": "Local",
                "annotations": {"example.com/lb": "public"}},
    "networkPolicy": {"enabled": True, "from": [{"podSelector": {"matchLabels": {"app": "proxy"}}}],
                      "adminNamespace": "monitoring", "dns": True},
    "ingress": {"enabled": True, "hosts": ["tunnel.example.com", "*.example.com"],
                "tls": [{"secretName": "tls", "hosts": ["tunnel.example.com"]}]},
    "httpRoute": {"enabled": True, "annotations": {"example.com/a": "b"}, "hostnames": ["tunnel.example.com"],
                  "parentRefs": [{"name": "public", "namespace": "gateways", "sectionName": "https"}]},
    "metrics": {"serviceMonitor": {"enabled": True, "interval": "15s", "labels": {"release": "prometheus"}},
                "rules": {"enabled": True, "labels": {"release": "prometheus"},
                          "docs": "https://git.example.com/tunnel/docs/"},
                "dashboards": {"enabled": True, "annotations": {"grafana_folder": "Tunnel"}}},
}  # fmt: skip

NODES: Values = {
    "replicas": 3,
    "cluster": {"servers": ["nats://nats.nats:4222"], "peer": {"existingSecret": "peer"}},
}
NODES_FULL: Values = _POD | {
    "replicas": 3,
    "admin": {"token": ADMIN_TOKEN},
    "cluster": {
        "servers": ["tls://nats-0.nats:4222", "tls://nats-1.nats", "tls://[fd00::1]:14222"],
        "bucketPrefix": "edge",
        "bucketReplicas": 3,
        "auth": {"method": "password", "user": "gateway", "existingSecret": "nats", "key": "pass.txt"},
        "tls": {"caSecret": "nats-ca", "clientSecret": "nats-client"},
        "peer": {"port": 9443, "existingSecret": "", "key": "lines", "secrets": PEER_SECRETS, "tlsSecret": "peer-tls"},
    },
    "networkPolicy": {"enabled": True, "adminNamespace": "monitoring", "nats": [{"podSelector": {}}]},
    "topologySpreadConstraints": [
        {"maxSkew": 2, "topologyKey": "example.com/rack", "whenUnsatisfiable": "DoNotSchedule"},
    ],
    "metrics": {"serviceMonitor": {"enabled": True}},
}

AGENT_FULL: Values = AGENT | _POD | {
    "replicas": 2,
    "gateways": ["wss://a.example.com/agent", "wss://b.example.com:8443/prefix/agent"],
    "token": {"existingSecret": "", "value": "an-agent-token"},
    "allow": ["apps/kuma:3001", "web-*/*:*"],
    "services": ["printer.office:9100=10.1.2.3:9100"],
    "ca": {"configMap": "corporate-ca", "key": "root.pem"},
    "insecureSkipVerify": False,
    "httpsProxy": "http://proxy.example.com:3128",
    "noProxy": "localhost,.svc",
    "health": {"enabled": True, "port": 9091},
    "networkPolicy": {"enabled": True, "metricsNamespace": "monitoring", "restrictEgress": True,
                      "egress": [{"ports": [{"port": 443}]}]},
    "podDisruptionBudget": {"enabled": True},
}  # fmt: skip
FULL = {"gateway": GATEWAY_FULL, "agent": AGENT_FULL}


@cache
def chart(name: str) -> Any:
    """The loaded chart; it never changes."""
    return helm_python.Chart.load(K8S / name)


def merged(values: Values, changes: Values) -> Values:
    """`values` with `changes` over them, maps merged."""
    result = copy.deepcopy(values)
    for key, value in changes.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else copy.deepcopy(value)
    return result


@cache
def _rendered(name: str, values: str, release: str) -> str:
    texts = chart(name).render(json.loads(values), name=release, namespace="tunnel")
    return "\n---\n".join(text for path, text in sorted(texts.items()) if path.endswith(".yaml"))


def parsed(text: str) -> list[Object]:
    """The objects of a YAML text."""
    return [item for item in yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) if item]


def render(name: str, values: Values | None = None, *, release: str = "edge") -> list[Object]:
    """All objects that the chart makes of the least values with these over them."""
    return parsed(_rendered(name, json.dumps(merged(MINIMAL[name], values or {})), release))


def notes(name: str, values: Values) -> str:
    """What `helm install` prints."""
    texts = chart(name).render(merged(MINIMAL[name], values), name="edge", namespace="tunnel")
    return str(next(text for path, text in texts.items() if path.endswith("/NOTES.txt")))


def find(objects: list[Object], kind: str) -> Object:
    """The object of a kind; of two Services the public one, whose name is the shorter."""
    found = [item for item in objects if item["kind"] == kind]
    assert found, [(item["kind"], item["metadata"]["name"]) for item in objects]
    return min(found, key=lambda item: len(item["metadata"]["name"]))


def at(value: Any, path: str) -> Any:
    """What stands at `spec/ports/0/port`, None where nothing does. `name=x` picks from a list; `~1` is a slash."""
    for part in path.split("/"):
        if isinstance(value, list):
            key, equals, wanted = part.partition("=")
            items = [item for item in value if item.get(key) == wanted] if equals else value[int(part) :]
            value = items[0] if items else None
        elif isinstance(value, dict):
            value = value.get(part.replace("~1", "/"))
        else:
            return None
    return value


def leaves(schema: Values, path: str = "") -> set[str]:
    """The settable values of a chart by their dotted names, after its schema."""
    found: set[str] = set()
    for key, part in schema["properties"].items():
        name = f"{path}.{key}" if path else key
        found |= leaves(part, name) if "properties" in part and key != "extra" else {name}
    return found


def named(changes: Values, path: str = "") -> set[str]:
    """The dotted names of what some values set."""
    found: set[str] = set()
    for key, value in changes.items():
        name = f"{path}.{key}" if path else key
        found |= {name} | (named(value, name) if isinstance(value, dict) else set())
    return found


def manifests() -> dict[str, list[Object]]:
    """The committed plain manifests, by file name."""
    return {path.name: parsed(path.read_text(encoding="utf-8")) for path in sorted((K8S / "manifests").glob("*.yaml"))}


def render_script() -> types.ModuleType:
    """`k8s/render.py` as a module."""
    spec = importlib.util.spec_from_file_location("k8s_render", K8S / "render.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
