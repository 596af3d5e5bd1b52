"""The gateway.toml that the chart writes, read by the gateway's own `load`; chart and product know the same keys."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.operator.reload import NEEDS_RESTART
from app.settings import Settings, load
from app.settings.schema import AgentEntry, File, PolicyKeys, RouteEntry, keys_of
from tests.fakes.command_line import parsed
from tests.k8s.charts import (
    ADMIN_TOKEN,
    CERTIFICATE,
    GATEWAY_FULL,
    K8S,
    Values,
    at,
    chart,
    find,
    helm_python,
    manifests,
    merged,
    render,
)

CONTAINER = "spec/template/spec/containers/name=gateway"
NAMED = {
    "public_url", "control_hosts", "trusted_proxies", "proxy_protocol", "drain_delay", "ready_wait", "shutdown_grace",
    "held_bytes_limit", "held_bytes_hard_limit", "log_format", "log_level", "admin_bind", "admin_token_file", "agents",
    "routes", "state_dir", "tls_certificate", "tls_key", "host", "port",
}  # fmt: skip
"""Keys that the chart's values have names of their own for, or that it sets by itself."""

LEFT_OUT = {"agent_token_file", "publish_hosts", "cluster"}
"""For a gateway without a file, where a chart's `agents` with `hosts` says the same; and several nodes, as the chart
runs one."""


def toml_of(values: Values | None = None) -> str:
    return str(find(render("gateway", values), "ConfigMap")["data"]["gateway.toml"])


def loaded(text: str, folder: Path) -> Settings:
    """As the pod sees it: the token's file is there, though not at the pod's place."""
    token = folder / "token"
    token.write_text(ADMIN_TOKEN)
    file = folder / "gateway.toml"
    file.write_text(text.replace("/run/secrets/tunnel-gateway/token", str(token)), encoding="utf-8")
    return load(str(file), {})


def test_the_least_configuration_loads(tmp_path: Path) -> None:
    read = loaded(toml_of(), tmp_path)
    assert read.public_url == "https://tunnel.example.com"
    assert read.control_hosts == {"localhost", "tunnel.example.com"}
    assert read.admin_bind == ("127.0.0.1", 8081)
    assert read.admin_token_hash is None
    assert (read.drain_delay, read.shutdown_grace, read.log_format) == (5.0, 30.0, "json")
    assert read.state_dir == "/var/lib/tunnel-gateway"
    assert not read.proxy_protocol


def test_the_whole_configuration_loads(tmp_path: Path) -> None:
    read = loaded(toml_of(GATEWAY_FULL), tmp_path)
    assert read.admin_bind == ("0.0.0.0", 8081)
    assert read.is_admin_token(ADMIN_TOKEN)
    assert (read.held_bytes_limit, read.held_bytes_hard_limit) == (268435456, 536870912)
    assert [str(network) for network in read.trusted_proxies] == ["10.0.0.0/8", "2001:db8::/32"]
    assert read.proxy_protocol
    assert read.grants[bytes.fromhex("ab" * 32)].hosts == ("*.c1.example.com",)
    assert read.grants[bytes.fromhex("ab" * 32)].clusters == ("c1", "c2")
    assert read.grants[bytes.fromhex("cd" * 32)].revoked
    assert read.reconnect_grace == 1.5
    assert read.max_connections == 5000
    assert (read.max_links_per_cluster, read.max_links_per_token, read.max_syncs_per_minute) == (8, 16, 2.5)
    assert read.policy.max_message_bytes == 20971520
    assert read.policy.origins == ("same-origin", "*.example.com")
    assert (b"x-from", 'tunnel <&> "gateway" ü'.encode()) in read.policy.request_headers.set
    routes = {route.host: route for route in read.routes.routes}
    assert routes["kuma.example.com"].policy.max_websockets == 100
    assert routes["kuma.example.com"].policy.messages_per_second == 0.5
    assert routes["kuma.example.com"].policy.response_headers.remove == {b"server"}
    assert routes["*.example.com"].target.server_name == "site.apps.svc"


def test_the_committed_configuration_loads(tmp_path: Path) -> None:
    text = find(manifests()["gateway.yaml"], "ConfigMap")["data"]["gateway.toml"]
    assert not loaded(text, tmp_path).uncovered_clusters()


def test_a_routes_ca_file_is_found_beside_the_file(tmp_path: Path) -> None:
    route = {"host": "a.example.com", "cluster": "c", "namespace": "n", "service": "s", "port": 443,
             "scheme": "https", "ca_file": "ca.pem"}  # fmt: skip
    objects = render("gateway", {"routes": [route], "caFiles": {"ca.pem": CERTIFICATE}})
    written = find(objects, "ConfigMap")["data"]
    folder = at(find(objects, "Deployment"), f"{CONTAINER}/volumeMounts/name=config")
    assert folder == {"name": "config", "mountPath": "/etc/tunnel-gateway", "readOnly": True}
    assert at(find(objects, "Deployment"), f"{CONTAINER}/env/0/value") == "/etc/tunnel-gateway/gateway.toml"
    assert tomllib.loads(written["gateway.toml"])["routes"] == [route]
    assert written["ca.pem"] == CERTIFICATE


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A chart that holds nothing but the gateway's writer of TOML."""
    folder = tmp_path_factory.mktemp("probe")
    (folder / "templates").mkdir()
    (folder / "Chart.yaml").write_text("apiVersion: v2\nname: probe\nversion: 0.1.0\n")
    (folder / "templates" / "_toml.tpl").write_text((K8S / "gateway/templates/_toml.tpl").read_text(encoding="utf-8"))
    (folder / "templates" / "it.yaml").write_text('{{ include "toml.value" .Values.it }}')
    with helm_python.Chart.load(folder) as loaded_chart:
        yield loaded_chart


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x7f"))
        | st.integers(-(2**53), 2**53)
        | st.booleans(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1), inner, max_size=3)
        ),
        max_leaves=8,
    )
)
def test_any_value_comes_through_toml_unchanged(probe: Any, value: object) -> None:
    text = probe.render({"it": value}, name="x")["probe/templates/it.yaml"]
    assert tomllib.loads(f"it = {text}")["it"] == value


def test_learned_routes_are_kept_where_the_state_volume_is(tmp_path: Path) -> None:
    for values in ({}, {"persistence": {"enabled": True}}):
        mount = at(find(render("gateway", values), "Deployment"), f"{CONTAINER}/volumeMounts/name=state")
        assert mount == {"name": "state", "mountPath": loaded(toml_of(values), tmp_path).state_dir}


def test_the_certificate_is_where_the_secret_is_mounted(tmp_path: Path) -> None:
    values: Values = {"tls": {"secretName": "web"}}
    read = loaded(toml_of(values), tmp_path)
    mount = at(find(render("gateway", values), "Deployment"), f"{CONTAINER}/volumeMounts/name=tls/mountPath")
    assert (read.tls_certificate, read.tls_key) == (f"{mount}/tls.crt", f"{mount}/tls.key")  # of kubernetes.io/tls


def test_null_is_no_toml(probe: Any) -> None:
    with pytest.raises(helm_python.HelmRenderError, match="TOML has no null"):
        probe.render({"it": [None]}, name="x")


def test_the_chart_knows_the_products_keys_and_no_others() -> None:
    schema = chart("gateway").schema["properties"]
    plain = {"token", "token_file"}
    assert set(schema["agents"]["items"]["properties"]) == set(keys_of(AgentEntry)) - plain
    assert set(schema["routes"]["items"]["properties"]) == set(keys_of(RouteEntry))
    assert set(schema["extra"]["properties"]) == set(keys_of(File)) - NAMED - LEFT_OUT
    assert set(keys_of(File)) > NAMED | LEFT_OUT
    assert set(keys_of(PolicyKeys)) < set(schema["extra"]["properties"])


def test_the_chart_restarts_for_what_the_product_says() -> None:
    text = (K8S / "gateway/templates/_toml.tpl").read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if "{{- pick (" in line)
    assert tuple(re.findall(r'"([a-z_]+)"', line.split("fromJson)")[1])) == NEEDS_RESTART


@pytest.mark.parametrize("values", [{}, GATEWAY_FULL, {"listen": "::", "admin": {"token": ADMIN_TOKEN}}])
def test_the_product_takes_the_commands_and_drains_where_its_admin_listener_is(values: Values, tmp_path: Path) -> None:
    deployment = find(render("gateway", values), "Deployment")
    serve = parsed(at(deployment, f"{CONTAINER}/args"))
    assert at(deployment, f"{CONTAINER}/command") == ["tunnel-gateway"]
    assert (serve.command, serve.port) == ("serve", at(deployment, f"{CONTAINER}/ports/name=http/containerPort"))
    program, *arguments = at(deployment, f"{CONTAINER}/lifecycle/preStop/exec/command")
    drain = parsed(arguments)
    read = loaded(toml_of(values), tmp_path)
    assert (program, drain.command) == ("tunnel-gateway", "drain")
    assert read.admin_bind is not None
    host, port = read.admin_bind
    reached = {"0.0.0.0": "127.0.0.1", "127.0.0.1": "127.0.0.1", "::": "[::1]"}[host]
    assert drain.url == f"http://{reached}:{port}"
    assert drain.wait == read.drain_delay + read.shutdown_grace
    assert drain.admin_token_file == (None if read.admin_token_file is None else "/run/secrets/tunnel-gateway/token")
    assert at(deployment, "spec/template/spec/terminationGracePeriodSeconds") > drain.wait


def test_values_of_maps_are_merged_by_the_tests_as_helm_does() -> None:
    values = {"admin": {"port": 9999}}
    assert chart("gateway").merge_values(values)["admin"] == merged(chart("gateway").values, values)["admin"]
