"""Settings from the command line and the environment; each wrong value is refused by its names."""

import re
import ssl

import pytest
import trustme

from tunnel.agent import options
from tunnel.agent.settings import read, url_of_status
from tunnel.agent.source import SettingsError
from tunnel.version import VERSION

GATEWAY = "ws://127.0.0.1:8080/agent"
MINIMAL = ["--gateway", GATEWAY, "--cluster", "c1", "--token", "t-1"]


def test_the_smallest_command_line():
    settings = read(MINIMAL, {}, "host-1")
    assert [gateway.url for gateway in settings.gateways] == [GATEWAY]
    assert (settings.cluster, settings.hostname, settings.dialect) == ("c1", "host-1", "yamux")
    assert settings.read_token() == "t-1"
    assert (settings.services, settings.allow, settings.api_hosts) == ((), (), ())
    assert (settings.grace_seconds, settings.ping_seconds, settings.dead_seconds) == (10, 10, 15)
    assert settings.memory_bytes == 64 * 1024 * 1024


def test_version(capsys):
    with pytest.raises(SystemExit) as left:
        read(["--version"], {}, "host-1")
    assert left.value.code == 0
    assert capsys.readouterr().out == f"tunnel-agent {VERSION}\n"


def test_everything_from_the_environment(tmp_path):
    (tmp_path / "token").write_text("t-2\n")
    settings = read(
        [],
        {
            "AGENT_GATEWAY": "https://a.example/agent, ws://b.example:81/agent?x=1",
            "AGENT_TOKEN_FILE": str(tmp_path / "token"),
            "AGENT_CLUSTER": "c2",
            "AGENT_ID": "agent-7",
            "AGENT_DIALECT": "yamux",
            "AGENT_SERVICE": "a.b:1=h:2,c.d:3=h:4",
            "AGENT_ALLOW": "shop/*:80 lab/*:*",
            "AGENT_CLUSTER_DOMAIN": "k8s.internal",
            "AGENT_GRACE": "3.5",
            "AGENT_PING_INTERVAL": "2",
            "AGENT_DEAD_AFTER": "3",
            "AGENT_DIAL_TIMEOUT": "4",
            "AGENT_MEMORY_LIMIT": "5",
            "AGENT_LOG_FORMAT": "json",
            "AGENT_LOG_LEVEL": "DEBUG",
            "AGENT_INSECURE_SKIP_VERIFY": "yes",
            "KUBERNETES_SERVICE_HOST": "10.96.0.1",
        },
        "host-1",
    )
    assert [gateway.url for gateway in settings.gateways] == ["wss://a.example/agent", "ws://b.example:81/agent?x=1"]
    assert [gateway.label for gateway in settings.gateways] == ["wss://a.example/agent", "ws://b.example:81/agent"]
    assert (settings.cluster, settings.agent_id, settings.cluster_domain) == ("c2", "agent-7", "k8s.internal")
    assert [str(entry.destination) for entry in settings.services] == ["h:2", "h:4"]
    assert [pattern.namespace for pattern in settings.allow] == ["shop", "lab"]
    assert settings.api_hosts == ("10.96.0.1",)
    assert (settings.grace_seconds, settings.ping_seconds, settings.dead_seconds) == (3.5, 2, 3)
    assert (settings.dial_seconds, settings.memory_bytes) == (4, 5 * 1024 * 1024)
    assert (settings.log_format, settings.log_level) == ("json", "debug")
    assert settings.tls is not None
    assert settings.tls.verify_mode == ssl.CERT_NONE
    assert settings.read_token() == "t-2"


def test_the_command_line_wins():
    environment = {"AGENT_CLUSTER": "other", "AGENT_TOKEN": "other", "AGENT_TOKEN_FILE": "/nowhere"}
    settings = read(MINIMAL, environment, "host-1")
    assert (settings.cluster, settings.read_token()) == ("c1", "t-1")


def test_the_token_file_wins_over_the_token(tmp_path):
    (tmp_path / "token").write_text("from-file")
    settings = read([*MINIMAL, "--token-file", str(tmp_path / "token")], {}, "host-1")
    assert settings.read_token() == "from-file"


def test_a_rotated_token_is_taken_up(tmp_path):
    file = tmp_path / "token"
    file.write_text("old\n")
    settings = read(["--gateway", GATEWAY, "--cluster", "c1", "--token-file", str(file)], {}, "host-1")
    assert settings.read_token() == "old"
    file.write_text("new\n")
    assert settings.read_token() == "new"
    file.unlink()
    with pytest.raises(SettingsError, match="cannot be read: No such file or directory"):
        settings.read_token()


def test_the_agent_id_is_the_host_and_something_of_its_own():
    first, second = (read(MINIMAL, {}, "host-1").agent_id for _ in range(2))
    assert first.startswith("host-1-")
    assert second.startswith("host-1-")
    assert first != second


def test_several_services_and_patterns():
    options = ["--service", "a.b:1=h:2", "--service", "c.d:3=h:4", "--allow", "x/*:1", "--allow", "y/*:2"]
    settings = read([*MINIMAL, *options], {}, "host-1")
    assert (len(settings.services), len(settings.allow)) == (2, 2)


def test_certificates_of_our_own(tmp_path):
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    settings = read([*MINIMAL, "--ca-file", str(tmp_path / "ca.pem")], {}, "host-1")
    assert settings.tls is not None
    assert settings.tls.verify_mode == ssl.CERT_REQUIRED
    assert len(settings.tls.get_ca_certs()) == 1


@pytest.mark.parametrize("dialect", ["yamux", "json", "chunk"])
def test_every_dialect_can_be_asked_for(dialect):
    assert read([*MINIMAL, "--dialect", dialect], {}, "host-1").dialect == dialect
    assert read(MINIMAL, {"AGENT_DIALECT": dialect}, "host-1").dialect == dialect


def test_secrets_are_in_no_repr():
    environment = {"HTTPS_PROXY": "http://user:hush@proxy:3128"}
    settings = read(["--gateway", "wss://g/agent", "--cluster", "c1", "--token", "hush-hush"], environment, "host-1")
    assert settings.gateways[0].proxy == "http://user:hush@proxy:3128"
    assert "hush" not in repr(settings)


@pytest.mark.parametrize(
    ("given", "dialled"),
    [
        ("https://h", "wss://h/agent"),
        ("https://h/", "wss://h/agent"),
        ("http://127.0.0.1:8080", "ws://127.0.0.1:8080/agent"),
        ("http://[::1]:8080/", "ws://[::1]:8080/agent"),
        ("HTTPS://h", "wss://h/agent"),
        ("https://h/pre", "wss://h/pre/agent"),
        ("https://h/pre/fix//", "wss://h/pre/fix/agent"),
        ("https://h/agent", "wss://h/agent"),
        ("https://h/agent/", "wss://h/agent"),
        ("https://h/pre/agent", "wss://h/pre/agent"),
        ("https://h/my-agent", "wss://h/my-agent/agent"),
        ("https://h/agents", "wss://h/agents/agent"),
        ("https://h?x=1", "wss://h/agent?x=1"),
        ("wss://h", "wss://h/agent"),
        ("ws://h:81", "ws://h:81/agent"),
        ("wss://h?x=1", "wss://h/agent?x=1"),
        ("wss://h/", "wss://h/"),
        ("wss://h/pre", "wss://h/pre"),
        ("wss://h/agent/", "wss://h/agent/"),
        ("ws://h/agent?x=1", "ws://h/agent?x=1"),
    ],
)
def test_what_is_dialled_for_a_url(given, dialled):
    (gateway,) = read(["--gateway", given, "--cluster", "c1", "--token", "t-1"], {}, "host-1").gateways
    assert (gateway.url, gateway.label) == (dialled, dialled.partition("?")[0])
    assert gateway.typed == given.partition("?")[0]
    (again,) = read(["--gateway", gateway.url, "--cluster", "c1", "--token", "t-1"], {}, "host-1").gateways
    assert again == gateway


def test_two_forms_of_one_gateway_are_one():
    with pytest.raises(SettingsError, match="the same URL is given twice"):
        read([*MINIMAL, "--gateway", "http://127.0.0.1:8080"], {}, "host-1")


REFUSED = [
    ("gateway", "AGENT_GATEWAY", "ftp://gateway/agent", "not a ws://, wss://, http:// or https:// URL"),
    ("gateway", "AGENT_GATEWAY", "gateway:8080", "not a ws://.* URL with a host; is it https://gateway:8080[?]$"),
    ("gateway", "AGENT_GATEWAY", "tunnel.example.com/pre", "is it https://tunnel.example.com/pre[?]$"),
    ("gateway", "AGENT_GATEWAY", "8080:gateway?", "URL with a host$"),
    ("gateway", "AGENT_GATEWAY", "ws://", "not a ws://"),
    ("gateway", "AGENT_GATEWAY", "ws://g:99999/agent", "[Pp]ort"),
    ("gateway", "AGENT_GATEWAY", "ws://g:0/agent", "not a ws://"),
    ("gateway", "AGENT_GATEWAY", "ws://g/agent#x", "not a ws://"),
    ("gateway", "AGENT_GATEWAY", "wss://a..example/agent", "not a ws://"),
    ("gateway", "AGENT_GATEWAY", f"wss://{'a' * 64}.example/agent", "not a ws://"),
    ("gateway", "AGENT_GATEWAY", "ws://user:hush@g/agent", "credentials"),
    ("cluster", "AGENT_CLUSTER", "c 1", "letters, digits"),
    ("agent-id", "AGENT_ID", "a/b", "letters, digits"),
    ("dialect", "AGENT_DIALECT", "morse", "not available in this agent; available: yamux, json, chunk"),
    ("dialect", "AGENT_DIALECT", "JSON", "not available in this agent; available: yamux, json, chunk"),
    ("service", "AGENT_SERVICE", "kuma:3001", "run tunnel-agent http kuma:3001"),
    ("service", "AGENT_SERVICE", "kubernetes.default:443=h:1", "never reachable"),
    ("allow", "AGENT_ALLOW", "shop:80", "NAMESPACE/SERVICE:PORT"),
    ("cluster-domain", "AGENT_CLUSTER_DOMAIN", "a..b", "DNS domain"),
    ("grace", "AGENT_GRACE", "soon", "seconds from 0 to 3600"),
    ("grace", "AGENT_GRACE", "nan", "seconds from 0 to 3600"),
    ("ping-interval", "AGENT_PING_INTERVAL", "0", "seconds from 1 to 60"),
    ("dead-after", "AGENT_DEAD_AFTER", "301", "seconds from 1 to 300"),
    ("dial-timeout", "AGENT_DIAL_TIMEOUT", "0", "seconds from 0.1 to 60"),
    ("memory-limit", "AGENT_MEMORY_LIMIT", "1.5", "whole number of MiB"),
    ("ca-file", "AGENT_CA_FILE", "/nowhere/ca.pem", "no file with PEM certificates"),
    ("insecure-skip-verify", "AGENT_INSECURE_SKIP_VERIFY", "maybe", "neither true nor false"),
    ("health-bind", "AGENT_HEALTH_BIND", "8081", "is not HOST:PORT"),
    ("health-bind", "AGENT_HEALTH_BIND", "::1:8081", "is not HOST:PORT"),
    ("health-bind", "AGENT_HEALTH_BIND", "[::1:8081", "is not HOST:PORT"),
    ("health-bind", "AGENT_HEALTH_BIND", "[127.0.0.1]:8081", "is not HOST:PORT"),
    ("health-bind", "AGENT_HEALTH_BIND", "127.0.0.1:65536", "is not HOST:PORT"),
    ("health-bind", "AGENT_HEALTH_BIND", "127.0.0.1:", "is not HOST:PORT"),
    ("health-bind", "AGENT_HEALTH_BIND", "http://h:1", "is not HOST:PORT"),
    ("health-bind", "AGENT_HEALTH_BIND", "a..b:8081", "is not HOST:PORT"),
    ("health-bind", "AGENT_HEALTH_BIND", f"{'a' * 64}.test:8081", "is not HOST:PORT"),
    ("log-format", "AGENT_LOG_FORMAT", "xml", "not one of text, json"),
    ("log-level", "AGENT_LOG_LEVEL", "loud", "not one of debug, info, warning, error"),
    ("token-file", "AGENT_TOKEN_FILE", "/nowhere/token", "cannot be read"),
    ("token", "AGENT_TOKEN", "two words", "printable characters without blanks"),
]


@pytest.mark.parametrize(("option", "variable", "value", "said"), REFUSED)
def test_wrong_values_are_refused_by_name(option, variable, value, said):
    environment = {"AGENT_GATEWAY": GATEWAY, "AGENT_CLUSTER": "c1", "AGENT_TOKEN": "t-1", variable: value}
    with pytest.raises(SettingsError, match=said) as caught:
        read([], environment, "host-1")
    assert f"--{option}" in str(caught.value)
    assert variable in str(caught.value)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("option", "variable", "value", "said"), [row for row in REFUSED if row[0] != "insecure-skip-verify"]
)
def test_the_same_on_the_command_line(option, variable, value, said):
    environment = {"AGENT_GATEWAY": GATEWAY, "AGENT_CLUSTER": "c1"}
    if "token" not in option:
        environment["AGENT_TOKEN"] = "t-1"
    with pytest.raises(SettingsError, match=said) as caught:
        read([f"--{option}", value], environment, "host-1")
    assert f"--{option} ({variable})" in str(caught.value)


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("AGENT_GATEWAY", r"--gateway \(AGENT_GATEWAY\): is required"),
        ("AGENT_CLUSTER", r"--cluster \(AGENT_CLUSTER\): is required"),
        ("AGENT_TOKEN", r"--token-file \(AGENT_TOKEN_FILE\) or --token \(AGENT_TOKEN\)"),
    ],
)
def test_what_is_required(missing, said):
    environment = {"AGENT_GATEWAY": GATEWAY, "AGENT_CLUSTER": "c1", "AGENT_TOKEN": "t-1"}
    del environment[missing]
    with pytest.raises(SettingsError, match=said):
        read([], environment, "host-1")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--gateway", GATEWAY, "--gateway", GATEWAY], "given twice"),
        (["--gateways", GATEWAY], "unrecognized arguments: --gateways"),
        (["--grace"], "expected one argument"),
        (["--insecure-skip-verify", "--ca-file", "ca.pem"], "of no use"),
    ],
)
def test_wrong_combinations(options, said):
    environment = {"AGENT_GATEWAY": GATEWAY, "AGENT_CLUSTER": "c1", "AGENT_TOKEN": "t-1"}
    with pytest.raises(SettingsError, match=said):
        read(options, environment, "host-1")


@pytest.mark.parametrize("content", [b"\xef\xbb\xbft-1\r\n", b"t-1\n"])
def test_a_byte_order_mark_is_no_part_of_a_token(tmp_path, content):
    (tmp_path / "token").write_bytes(content)
    settings = read(["--gateway", GATEWAY, "--cluster", "c1", "--token-file", str(tmp_path / "token")], {}, "host-1")
    assert settings.read_token() == "t-1"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("t-1".encode("utf-16"), "token is UTF-16; save it as UTF-8, with one token in it"),
        ("t-1".encode("utf-16-be"), "has zero bytes, as UTF-16 has; save it as UTF-8"),
        (b"t-\xff", "is not UTF-8 (byte 3); save it as UTF-8"),
    ],
)
def test_token_files_in_another_encoding(tmp_path, content, said):
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(SettingsError, match=re.escape(said)):
        read(["--gateway", GATEWAY, "--cluster", "c1", "--token-file", str(tmp_path / "token")], {}, "host-1")


def test_a_ca_file_with_a_byte_order_mark_is_named(tmp_path):
    (tmp_path / "ca.pem").write_bytes(b"\xef\xbb\xbf-----BEGIN CERTIFICATE-----")
    with pytest.raises(SettingsError, match="begins with a byte-order mark; save it as UTF-8 without one"):
        read([*MINIMAL, "--ca-file", str(tmp_path / "ca.pem")], {}, "host-1")


@pytest.mark.parametrize("content", ["", "  \n", "two words", "t\nu", "caf\xe9"])
def test_token_files_without_a_token(tmp_path, content):
    (tmp_path / "token").write_text(content)
    with pytest.raises(SettingsError, match="must hold one printable token") as caught:
        read(["--gateway", GATEWAY, "--cluster", "c1", "--token-file", str(tmp_path / "token")], {}, "host-1")
    assert "words" not in str(caught.value)


def test_a_proxy_that_cannot_be_dialled_is_refused_without_its_credentials():
    with pytest.raises(SettingsError, match="HTTPS_PROXY or ALL_PROXY is no http://") as caught:
        read([*MINIMAL, "--gateway", "wss://g/agent"], {"ALL_PROXY": "http://user:hush@:3128"}, "host-1")
    assert "hush" not in str(caught.value)


def test_plain_links_take_no_proxy():
    assert read(MINIMAL, {"HTTPS_PROXY": "http://p:1"}, "host-1").gateways[0].proxy is None


@pytest.mark.parametrize(
    ("text", "bind"),
    [
        ("", None),
        (":8081", ("", 8081)),
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("0.0.0.0:8081", ("0.0.0.0", 8081)),
        ("[::1]:8081", ("::1", 8081)),
        ("localhost:65535", ("localhost", 65_535)),
    ],
)
def test_where_the_health_endpoints_listen(text, bind):
    assert read(MINIMAL, {"AGENT_HEALTH_BIND": text}, "host-1").health_bind == bind
    assert read([*MINIMAL, "--health-bind", text], {}, "host-1").health_bind == bind
    assert read(MINIMAL, {}, "host-1").health_bind is None


@pytest.mark.parametrize(
    ("arguments", "bind", "url"),
    [
        ([], None, "http://127.0.0.1:8081"),
        ([], "", "http://127.0.0.1:8081"),
        ([], ":9000", "http://127.0.0.1:9000"),
        ([], "0.0.0.0:9000", "http://127.0.0.1:9000"),
        ([], "[::]:9000", "http://[::1]:9000"),
        ([], "10.0.0.1:9000", "http://10.0.0.1:9000"),
        (["--url", "http://agent:9000/"], ":8081", "http://agent:9000"),
        (["--url", "http://[::1]:9000"], None, "http://[::1]:9000"),
    ],
)
def test_where_status_asks(arguments, bind, url):
    environment = {} if bind is None else {"AGENT_HEALTH_BIND": bind}
    assert url_of_status(options.parse(["status", *arguments]), environment) == url


@pytest.mark.parametrize("url", ["", "agent:9000", "https://agent", "http://", "http://a/status", "http://a?x=1",
                                 "http://u:hush@a", "http://a:99999"])  # fmt: skip
def test_where_status_cannot_ask(url):
    with pytest.raises(SettingsError, match="--url: ") as caught:
        url_of_status(options.parse(["status", "--url", url]), {})
    assert "hush" not in str(caught.value)
