"""What the file and the environment say, and what they are worth when they say nothing."""

import dataclasses
import ipaddress
from hashlib import sha256
from pathlib import Path

import pytest

from app.settings import Grant, Settings, load, token_hash
from tunnel.port import Target

EVERY_KEY = """
public_url = "https://gw.example.test:8443/base/"
control_hosts = ["GW.example.test.", "admin.example.test:9000"]
trusted_proxies = ["10.0.0.0/8", "192.0.2.7", "2001:db8::1/64"]
reconnect_grace = 1.5
response_head_timeout = 30
upgrade_timeout = 5
shutdown_grace = 0
max_message_bytes = 2048
max_window_bytes = 1048576
held_bytes_limit = 4194304
log_format = "json"
log_level = "debug"

[[agents]]
token = "one"
clusters = ["c1", "c2"]

[[agents]]
token_sha256 = "{digest}"
clusters = ["c3"]
revoked = true

[[routes]]
host = "Kuma.Example.test."
cluster = "c1"
namespace = "apps"
service = "kuma"
port = 3001

[[routes]]
host = "*.example.test"
path = "/secure"
cluster = "c2"
namespace = "apps"
service = "web"
port = 443
scheme = "https"
verify = false
ca_file = "ca.pem"
server_name = "web.internal"
"""


def written(folder: Path, text: str) -> str:
    file = folder / "gateway.toml"
    file.write_text(text, encoding="utf-8")
    return str(file)


def test_nothing_configured():
    settings = load(None, {})
    assert settings == dataclasses.replace(Settings(), routes=settings.routes)
    assert settings.routes.routes == ()
    assert settings.grants == {}
    assert settings.control_hosts == {"localhost"}
    assert settings.public_url is None
    assert settings.trusted_proxies == ()
    assert settings.reconnect_grace == 3.0
    assert settings.max_message_bytes == 10 * 1024 * 1024


def test_every_key(tmp_path: Path):
    (tmp_path / "ca.pem").write_text("certificate", encoding="utf-8")
    digest = sha256(b"two").hexdigest().upper()
    settings = load(written(tmp_path, EVERY_KEY.replace("{digest}", digest)), {})
    kuma, secure = settings.routes.routes
    assert (kuma.host, kuma.path) == ("kuma.example.test", b"/")
    assert kuma.target == Target("c1", "apps", "kuma", 3001)
    assert (secure.host, secure.path) == ("*.example.test", b"/secure")
    assert secure.target == Target(
        "c2",
        "apps",
        "web",
        443,
        scheme="https",
        verify=False,
        ca_file=str(tmp_path / "ca.pem"),
        server_name="web.internal",
    )
    assert settings == Settings(
        public_url="https://gw.example.test:8443/base",
        control_hosts=frozenset({"gw.example.test", "admin.example.test"}),
        trusted_proxies=(
            ipaddress.ip_network("10.0.0.0/8"),
            ipaddress.ip_network("192.0.2.7/32"),
            ipaddress.ip_network("2001:db8::/64"),
        ),
        reconnect_grace=1.5,
        response_head_timeout=30,
        upgrade_timeout=5,
        shutdown_grace=0,
        max_message_bytes=2048,
        max_window_bytes=1048576,
        held_bytes_limit=4194304,
        log_format="json",
        log_level="debug",
        grants={token_hash("one"): Grant(("c1", "c2")), token_hash("two"): Grant(("c3",), revoked=True)},
        routes=settings.routes,
    )  # fmt: skip


def test_the_smallest_file_of_the_documentation(tmp_path: Path):
    settings = load(
        written(
            tmp_path,
            """
[[agents]]
token = "change-me"              # or token_sha256 = "..."
clusters = ["c1"]

[[routes]]
host = "kuma.example.test"       # exact, or "*.example.test"
path = "/"                       # prefix, optional
cluster = "c1"
namespace = "apps"
service = "kuma"
port = 3001
""",
        ),
        {},
    )
    assert settings.grants == {token_hash("change-me"): Grant(("c1",))}
    assert [str(route.target) for route in settings.routes.routes] == ["c1/apps/kuma:3001"]


def test_tokens_are_not_kept():
    assert token_hash("secret") == sha256(b"secret").digest()
    assert "secret" not in repr(Settings(grants={token_hash("secret"): Grant(("c1",))}))


@pytest.mark.parametrize(
    ("name", "value", "key", "expected"),
    [
        ("PUBLIC_URL", "http://gw.test", "public_url", "http://gw.test"),
        ("CONTROL_HOSTS", "a.test, B.test ,", "control_hosts", frozenset({"a.test", "b.test"})),
        ("TRUSTED_PROXIES", "127.0.0.1", "trusted_proxies", (ipaddress.ip_network("127.0.0.1/32"),)),
        ("RECONNECT_GRACE", "0.25", "reconnect_grace", 0.25),
        ("RESPONSE_HEAD_TIMEOUT", "7", "response_head_timeout", 7.0),
        ("UPGRADE_TIMEOUT", "8", "upgrade_timeout", 8.0),
        ("SHUTDOWN_GRACE", "9", "shutdown_grace", 9.0),
        ("MAX_MESSAGE_BYTES", "4096", "max_message_bytes", 4096),
        ("MAX_WINDOW_BYTES", "524288", "max_window_bytes", 524288),
        ("HELD_BYTES_LIMIT", "2097152", "held_bytes_limit", 2097152),
        ("LOG_FORMAT", "json", "log_format", "json"),
        ("LOG_LEVEL", "error", "log_level", "error"),
    ],
)
def test_the_environment_beats_the_file(tmp_path: Path, name: str, value: str, key: str, expected: object):
    file = written(
        tmp_path,
        """
public_url = "https://file.test"
control_hosts = ["file.test"]
trusted_proxies = ["198.51.100.1"]
reconnect_grace = 1
response_head_timeout = 1
upgrade_timeout = 1
shutdown_grace = 1
max_message_bytes = 1024
max_window_bytes = 262144
held_bytes_limit = 1048576
log_format = "text"
log_level = "warning"
""",
    )
    from_file = load(file, {})
    both = load(file, {f"GATEWAY_{name}": value})
    alone = load(None, {f"GATEWAY_{name}": value})
    assert getattr(from_file, key) != expected
    assert getattr(both, key) == getattr(alone, key) == expected
    changed = {
        field.name
        for field in dataclasses.fields(Settings)
        if getattr(both, field.name) != getattr(from_file, field.name)
    }
    assert changed - {"routes"} == {key}


def test_every_plain_key_has_a_row_above():
    names = {field.name for field in dataclasses.fields(Settings)} - {"grants", "routes"}
    marks = test_the_environment_beats_the_file.pytestmark  # type: ignore[attr-defined]
    assert {row[2] for row in marks[0].args[1]} == names


def test_where_the_file_is(tmp_path: Path):
    one = written(tmp_path, "reconnect_grace = 1")
    (tmp_path / "two.toml").write_text("reconnect_grace = 2", encoding="utf-8")
    assert load(None, {"GATEWAY_CONFIG": one}).reconnect_grace == 1
    assert load(str(tmp_path / "two.toml"), {"GATEWAY_CONFIG": one}).reconnect_grace == 2
    assert load(None, {"GATEWAY_CONFIG": ""}).reconnect_grace == 3


def test_without_arguments_the_process_environment_is_read(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("GATEWAY_CONFIG", raising=False)
    monkeypatch.setenv("GATEWAY_RECONNECT_GRACE", "0.5")
    assert load().reconnect_grace == 0.5


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("", {"localhost"}),
        ('public_url = "https://GW.example.test:8443"', {"localhost", "gw.example.test"}),
        ('public_url = "https://gw.example.test"\ncontrol_hosts = ["only.test"]', {"only.test"}),
        ("control_hosts = []", set()),
    ],
)
def test_control_hosts(tmp_path: Path, text: str, hosts: set[str]):
    assert load(written(tmp_path, text), {}).control_hosts == hosts


def test_two_paths_of_one_host_and_one_path_of_two(tmp_path: Path):
    route = '[[routes]]\nhost = "{}"\npath = "{}"\ncluster = "c1"\nnamespace = "a"\nservice = "s"\nport = 1\n'
    text = "".join(
        route.format(*pair) for pair in [("a.test", "/"), ("a.test", "/x"), ("a.test", "/x/"), ("b.test", "/")]
    )
    assert len(load(written(tmp_path, text), {}).routes.routes) == 4
