"""Variables that set nothing are named with the known one that is nearest, but not those that Kubernetes sets."""

from pathlib import Path

import pytest

from app.settings import load
from app.settings.environment import given, without_settings
from app.settings.schema import CLUSTER_KEYS, PLAIN_KEYS

UNKNOWN = [
    ("GATEWAY_RECONECT_GRACE", ", did you mean GATEWAY_RECONNECT_GRACE?"),
    ("GATEWAY_ADMIN_TOKENFILE", ", did you mean GATEWAY_ADMIN_TOKEN_FILE?"),
    ("GATEWAY_CONFIG_FILE", ", did you mean GATEWAY_CONFIG?"),
    ("GATEWAY_ADMINTOKEN", ", did you mean GATEWAY_ADMIN_TOKEN?"),
    ("GATEWAY_LOGLEVEL", ", did you mean GATEWAY_LOG_LEVEL?"),
    ("GATEWAY_ADMIN_PORT", "?"),
    ("GATEWAY_QQQ", ", and sets nothing"),
    ("GATEWAY_", ", and sets nothing"),
    ("GATEWAY_ROUTES", ", and sets nothing"),
    ("GATEWAY_A\nB", ", and sets nothing"),
]


@pytest.mark.parametrize(("name", "what"), UNKNOWN, ids=[ascii(name) for name, _ in UNKNOWN])
def test_a_variable_that_sets_nothing_is_named(name: str, what: str):
    (warning,) = load(None, {name: "s3cret"}).warnings()
    assert warning.startswith(f"{ascii(name)[1:-1]} is not a variable of the gateway, ")
    assert warning.endswith(what)
    assert "s3cret" not in warning
    assert "\n" not in warning


KUBERNETES = {
    # Of a Service named gateway with a port named http, and of one named gateway-agents: as the kubelet sets them.
    "GATEWAY_SERVICE_HOST": "10.0.0.1",
    "GATEWAY_SERVICE_PORT": "8080",
    "GATEWAY_SERVICE_PORT_HTTP": "8080",
    "GATEWAY_PORT": "tcp://10.0.0.1:8080",
    "GATEWAY_PORT_8080_TCP": "tcp://10.0.0.1:8080",
    "GATEWAY_PORT_8080_TCP_PROTO": "tcp",
    "GATEWAY_PORT_8080_TCP_PORT": "8080",
    "GATEWAY_PORT_8080_TCP_ADDR": "10.0.0.1",
    "GATEWAY_AGENTS_SERVICE_HOST": "10.0.0.2",
    "GATEWAY_AGENTS_SERVICE_PORT": "80",
    "GATEWAY_AGENTS_PORT": "udp://10.0.0.2:53",
    "GATEWAY_AGENTS_PORT_53_UDP_ADDR": "10.0.0.2",
}


def test_what_kubernetes_sets_for_a_service_is_left_alone():
    settings = load(None, KUBERNETES)
    assert settings.warnings() == ()
    assert (settings.host, settings.port) == ("127.0.0.1", 8080)
    assert load(None, {**KUBERNETES, "GATEWAY_PORT": "9000"}).port == 9000


def test_what_kubernetes_sets_does_not_hide_the_port_of_the_file(tmp_path: Path):
    file = tmp_path / "gateway.toml"
    file.write_text("port = 81", encoding="utf-8")
    assert load(str(file), KUBERNETES).port == 81


@pytest.mark.parametrize("name", ["CONFIG", "ADMIN_TOKEN", "URL", "CHEESE"])
def test_the_names_that_are_no_keys(name: str, tmp_path: Path):
    file = tmp_path / "gateway.toml"
    file.touch()
    values = {"CONFIG": str(file), "ADMIN_TOKEN": "0123456789abcdef"}
    warnings = load(None, {f"GATEWAY_{name}": values.get(name, "http://gw.test"), "OTHER_GATEWAY_X": "1"}).warnings()
    assert len(warnings) == (name == "CHEESE")


@pytest.mark.parametrize("path", [*((key,) for key in PLAIN_KEYS), *(("cluster", key) for key in CLUSTER_KEYS)])
def test_no_variable_of_a_key_looks_like_one_of_kubernetes(path: tuple[str, ...]):
    """It would set nothing, in silence."""
    assert given({f"GATEWAY_{'_'.join(path).upper()}": "10.0.0.1"}) == {path}


def test_an_environment_without_settings():
    environment = {"PATH": "/bin", "GATEWAY_PORT": "1", "AGENT_TOKEN": "s3cret", "MY_GATEWAY_PORT": "2"}
    assert without_settings(environment) == ["AGENT_TOKEN", "GATEWAY_PORT"]
    assert environment == {"PATH": "/bin", "MY_GATEWAY_PORT": "2"}
    assert without_settings(environment) == []
