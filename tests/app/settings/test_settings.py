"""What the file and the environment say, and what they are worth when they say nothing."""

import dataclasses
import ipaddress
from hashlib import sha256
from pathlib import Path

import pytest

from app.rules.policy import Policy
from app.settings import ConfigurationError, Grant, Settings, load, token_hash
from app.settings.schema import PLAIN_KEYS
from tunnel.port import Target

EVERY_KEY = """
host = "gw.internal"
port = 0
public_url = "https://gw.example.test:8443/base/"
control_hosts = ["GW.example.test.", "admin.example.test:9000"]
trusted_proxies = ["10.0.0.0/8", "192.0.2.7", "2001:db8::1/64"]
proxy_protocol = true
reconnect_grace = 1.5
max_waiting_requests = 250
ready_wait = 15
response_head_timeout = 30
upgrade_timeout = 5
shutdown_grace = 0
max_message_bytes = 2048
max_window_bytes = 1048576
held_bytes_limit = 4194304
held_bytes_hard_limit = 5000000
max_connections = 6000
max_websockets_per_cluster = 900
max_links_per_cluster = 7
max_links_per_token = 8
max_syncs_per_minute = 9
drain_delay = 2
link_ping_interval = 1
link_ping_timeout = 2.5
client_ping_interval = 20
client_ping_timeout = 21
admin_token_file = "admin"
state_dir = "state"
tls_certificate = "tls.crt"
tls_key = "/tls.key"
admin_bind = "0.0.0.0:9090"
log_format = "json"
log_level = "debug"

[[agents]]
token = "one"
clusters = ["c1", "c2"]
hosts = ["*.C1.example.test", "one.example.test."]

[[agents]]
token_file = "three"
clusters = ["c1"]

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
    assert not settings.proxy_protocol
    assert settings.reconnect_grace == 3.0
    assert settings.policy.max_message_bytes == 10 * 1024 * 1024


def test_every_key(tmp_path: Path):
    (tmp_path / "ca.pem").write_text("certificate", encoding="utf-8")
    (tmp_path / "three").write_text("third-token\n", encoding="utf-8")
    (tmp_path / "admin").write_text("0123456789abcdef\n", encoding="utf-8")
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
        host="gw.internal",
        port=0,
        public_url="https://gw.example.test:8443/base",
        control_hosts=frozenset({"gw.example.test", "admin.example.test"}),
        trusted_proxies=(
            ipaddress.ip_network("10.0.0.0/8"),
            ipaddress.ip_network("192.0.2.7/32"),
            ipaddress.ip_network("2001:db8::/64"),
        ),
        proxy_protocol=True,
        reconnect_grace=1.5,
        max_waiting_requests=250,
        ready_wait=15,
        policy=Policy(response_head_timeout=30, upgrade_timeout=5, max_message_bytes=2048),
        shutdown_grace=0,
        max_window_bytes=1048576,
        held_bytes_limit=4194304,
        held_bytes_hard_limit=5_000_000,
        max_connections=6000,
        max_websockets_per_cluster=900,
        max_links_per_cluster=7,
        max_links_per_token=8,
        max_syncs_per_minute=9,
        drain_delay=2,
        link_ping_interval=1,
        link_ping_timeout=2.5,
        client_ping_interval=20,
        client_ping_timeout=21,
        admin_token_hash=token_hash("0123456789abcdef"),
        admin_token_file=str(tmp_path / "admin"),
        state_dir=str(tmp_path / "state"),
        tls_certificate=str(tmp_path / "tls.crt"),
        tls_key="/tls.key",
        admin_bind=("0.0.0.0", 9090),
        log_format="json",
        log_level="debug",
        grants={
            token_hash("one"): Grant(("c1", "c2"), hosts=("*.c1.example.test", "one.example.test")),
            token_hash("third-token"): Grant(("c1",)),
            token_hash("two"): Grant(("c3",), revoked=True),
        },
        routes=settings.routes,
    )
    policy = settings.policy
    assert (policy.max_message_bytes, policy.response_head_timeout, policy.upgrade_timeout) == (2048, 30, 5)
    assert settings.file == str(tmp_path / "gateway.toml")
    assert settings.files_read == tuple(str(tmp_path / name) for name in ("gateway.toml", "three", "ca.pem", "admin"))


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


VARIABLES: dict[str, tuple[str, str, object]] = {
    # key: what the file says, what the variable says, what comes of it
    "host": ('"::1"', "[::]", "::"),
    "port": ("1", "9", 9),
    "public_url": ('"https://file.test"', "http://gw.test", "http://gw.test"),
    "control_hosts": ('["file.test"]', "a.test, B.test ,", frozenset({"a.test", "b.test"})),
    "trusted_proxies": ('["198.51.100.1"]', "127.0.0.1", (ipaddress.ip_network("127.0.0.1/32"),)),
    "proxy_fields": ('"either"', "forwarded", "forwarded"),
    "proxy_protocol": ("true", "false", False),
    "reconnect_grace": ("1", "0.25", 0.25),
    "max_waiting_requests": ("5", "6", 6),
    "ready_wait": ("1", "2", 2.0),
    "drain_delay": ("1", "2", 2.0),
    "shutdown_grace": ("1", "9", 9.0),
    "max_window_bytes": ("262144", "524288", 524288),
    "held_bytes_limit": ("1048576", "2097152", 2097152),
    "held_bytes_hard_limit": ("900000000", "900000001", 900000001),
    "spool_bytes_limit": ("5", "0", 0),
    "max_connections": ("5", "6", 6),
    "max_websockets_per_cluster": ("5", "unlimited", None),
    "max_links_per_cluster": ("5", "6", 6),
    "max_links_per_token": ("5", "6", 6),
    "max_syncs_per_minute": ("5", "6.5", 6.5),
    "link_ping_interval": ("1", "2", 2.0),
    "link_ping_timeout": ("1", "2", 2.0),
    "client_ping_interval": ("1", "2", 2.0),
    "client_ping_timeout": ("1", "2", 2.0),
    "admin_token_file": ('"{folder}/one"', "{folder}/two", "{folder}/two"),
    "agent_token_file": ('"{folder}/one"', "{folder}/two", "{folder}/two"),
    "publish_hosts": ('["*.file.test"]', "*.A.test, b.test", ("*.a.test", "b.test")),
    "state_dir": ('"one"', "/two", "/two"),
    "tls_certificate": ('"one"', "/two", "/two"),
    "tls_key": ('"one"', "/two", "/two"),
    "admin_bind": ('"127.0.0.1:1"', "[::1]:2", ("::1", 2)),
    "log_format": ('"text"', "json", "json"),
    "log_level": ('"warning"', "error", "error"),
    "origins": ('["*"]', "a.test,*.b.test", ("a.test", "*.b.test")),
    "allow_missing_origin": ("true", "false", False),
    "allow_null_origin": ("false", "true", True),
    "messages_per_second": ("5", "2.5", 2.5),
    "bytes_per_second": ("5", "1e6", 1e6),
    "rate_burst_seconds": ("2", "3", 3.0),
    "rate_limit_action": ('"close"', "slow", "slow"),
    "websocket_compression": ('"pass"', "decline", "decline"),
    "max_message_bytes": ("1024", "4096", 4096),
    "max_body_bytes": ("5", "6", 6),
    "max_websockets": ("5", "6", 6),
    "max_websockets_per_client": ("5", "6", 6),
    "max_requests_per_client": ("5", "6", 6),
    "sticky": ('"client"', "cookie", "cookie"),
    "allow_trace": ("false", "true", True),
    "upgrade_timeout": ("1", "8", 8.0),
    "response_head_timeout": ("1", "7", 7.0),
    "idle_timeout": ("1", "7", 7.0),
    "http_write_timeout": ("1", "7", 7.0),
    "websocket_write_timeout": ("1", "7", 7.0),
}


def values(settings: Settings) -> dict[str, object]:
    """By key, those of the policy too."""
    parts: list[Settings | Policy] = [settings, settings.policy]
    return {field.name: getattr(part, field.name) for part in parts for field in dataclasses.fields(part)}


@pytest.mark.parametrize("key", PLAIN_KEYS)
def test_the_environment_beats_the_file(tmp_path: Path, key: str):
    for name in ("one", "two"):
        (tmp_path / name).write_text(f"the-admin-token-{name}", encoding="utf-8")
    _, variable, expected = VARIABLES[key]
    lines = (f"{name} = {row[0]}" for name, row in VARIABLES.items())
    file = written(tmp_path, "\n".join(lines).replace("{folder}", str(tmp_path)))
    changes = {f"GATEWAY_{key.upper()}": variable.replace("{folder}", str(tmp_path))}
    if isinstance(expected, str):
        expected = expected.replace("{folder}", str(tmp_path))
    from_file, both = values(load(file, {})), values(load(file, changes))
    assert from_file[key] != expected
    assert both[key] == expected
    beside = {"AGENT_TOKEN_FILE": f"{tmp_path}/one", "PUBLISH_HOSTS": "p.test", "HELD_BYTES_LIMIT": "2097152"}
    alone = {f"GATEWAY_{name}": value for name, value in beside.items()} | changes
    assert values(load(None, alone))[key] == expected
    unequal = {name for name in both if both[name] != from_file[name]}
    assert unequal - {"routes", "policy", "grants", "files_read", "admin_token_hash", "tls_places"} == {key}


def test_every_plain_key_has_a_row_above():
    assert set(VARIABLES) == set(PLAIN_KEYS)


@pytest.mark.parametrize(
    ("host", "listens"), [("::", "::"), ("[::1]", "::1"), ("0.0.0.0", "0.0.0.0"), ("localhost", "localhost")]
)
def test_the_command_line_beats_the_variables_and_the_file(tmp_path: Path, host: str, listens: str):
    file = written(tmp_path, 'host = "192.0.2.1"\nport = 1')
    environment = {"GATEWAY_HOST": "192.0.2.2", "GATEWAY_PORT": "2"}
    for arguments, expected in (
        ({}, ("192.0.2.2", 2)),
        ({"port": 3}, ("192.0.2.2", 3)),
        ({"host": host, "port": 0}, (listens, 0)),
    ):
        settings = load(file, environment, arguments=arguments)
        assert (settings.host, settings.port) == expected
    assert (load(file, {}).host, load(file, {}).port) == ("192.0.2.1", 1)
    with pytest.raises(ConfigurationError) as caught:
        load(file, environment, arguments={"host": "a b"})
    assert str(caught.value).startswith("--host: 'a b' is not valid; write an IP address or a host name (0.0.0.0 or ::")


def test_the_hard_mark_follows_the_high_mark(tmp_path: Path):
    settings = load(written(tmp_path, "held_bytes_limit = 1000000000"), {})
    assert settings.held_bytes_hard_limit == 2_000_000_000
    assert Settings().held_bytes_hard_limit == 2 * Settings().held_bytes_limit == 512 * 1024 * 1024


def test_what_the_server_must_take(tmp_path: Path):
    route = '[[routes]]\nhost = "a.test"\ncluster = "c1"\nnamespace = "a"\nservice = "s"\nport = 1\n'
    settings = load(written(tmp_path, f"max_message_bytes = 2048\n{route}max_message_bytes = 20000000"), {})
    assert settings.longest_message_bytes == 20_000_000
    assert settings.server_message_bytes == (20_000_000 + 2) // 3 * 4 + 65_536  # in base64, and its envelope
    assert load(written(tmp_path, "max_message_bytes = 2048"), {}).server_message_bytes == 1024 * 1024


def test_the_summary_counts_and_names_what_nobody_may_serve(tmp_path: Path):
    text = "".join(
        f'[[routes]]\nhost = "{host}.test"\npath = "{path}"\ncluster = "{cluster}"\n'
        'namespace = "a"\nservice = "s"\nport = 1\n'
        for host, path, cluster in [("a", "/", "c1"), ("a", "/x", "c3"), ("b", "/", "c2")]
    )
    agents = '[[agents]]\ntoken = "x"\nclusters = ["c1"]\n[[agents]]\ntoken = "y"\nclusters = ["c2"]\nrevoked = true\n'
    settings = load(written(tmp_path, text + agents), {"GATEWAY_ADMIN_TOKEN": "0123456789abcdef"})
    assert settings.summary() == "3 routes of 2 hosts, 2 agent tokens (1 revoked), admin token set"
    assert settings.uncovered_clusters() == ["c2", "c3"]
    assert Settings().summary() == "0 routes of 0 hosts, 0 agent tokens, no admin token"


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
