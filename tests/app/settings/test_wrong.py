"""Wrong configurations: each is refused whole, in one line that names the key, and where it stands."""

import codecs
import os
import re
from pathlib import Path

import pytest

from app.settings import ConfigurationError, load
from app.settings.tokens import token_hash
from tests.app.settings.entries import HTTPS, agent, route

WRONG = [
    # Not a file of ours at all.
    ("public_url = ", "gateway.toml"),
    ("[[routes]", "gateway.toml"),
    ("a = 1\na = 2", "gateway.toml"),
    ("colour = 1", "colour"),
    ("[server]\nport = 1", "server"),
    # Plain keys.
    ("public_url = 8080", "public_url"),
    ('public_url = "gw.example.test"', "public_url"),
    ('public_url = "wss://gw.example.test"', "public_url"),
    ('public_url = "https://"', "public_url"),
    ('public_url = "https://gw.example.test?x=1"', "public_url"),
    ('public_url = "https://gw.example.test#x"', "public_url"),
    ('public_url = "https://[::1"', "public_url"),
    ('public_url = "https://gw.example.test:99999"', "public_url"),
    ('public_url = "https://gw.example.test:http"', "public_url"),
    ('control_hosts = "gw.example.test"', "control_hosts"),
    ("control_hosts = [1]", "control_hosts[0]"),
    ('control_hosts = ["https://gw.example.test"]', "control_hosts[0]"),
    ('control_hosts = ["localhost", "gw example"]', "control_hosts[1]"),
    ('control_hosts = ["*.example.test"]', "control_hosts[0]"),
    ('trusted_proxies = ["10.0.0.0/33"]', "trusted_proxies[0]"),
    ('trusted_proxies = ["10.0.0.1", "proxy.example.test"]', "trusted_proxies[1]"),
    ('trusted_proxies = "10.0.0.1"', "trusted_proxies"),
    ('proxy_protocol = "on"', "proxy_protocol"),
    ('proxy_protocol = 2\ntrusted_proxies = ["10.0.0.0/8"]', "proxy_protocol"),
    ("proxy_protocol = true", "proxy_protocol"),
    ("proxy_protocol = true\ntrusted_proxies = []", "proxy_protocol"),
    ("host = 5", "host"),
    ('host = ""', "host"),
    ('host = "a b"', "host"),
    ('host = "*"', "host"),
    ('host = "*.a.test"', "host"),
    ('host = "127.0.0.1:80"', "host"),
    ('host = "https://a.test"', "host"),
    ('port = "80"', "port"),
    ("port = -1", "port"),
    ("port = 65536", "port"),
    ("port = true", "port"),
    ("reconnect_grace = -1", "reconnect_grace"),
    ("reconnect_grace = 61", "reconnect_grace"),
    ("ready_wait = -1", "ready_wait"),
    ("ready_wait = 301", "ready_wait"),
    ("max_waiting_requests = 0", "max_waiting_requests"),
    ('reconnect_grace = "3"', "reconnect_grace"),
    ("reconnect_grace = true", "reconnect_grace"),
    ("reconnect_grace = nan", "reconnect_grace"),
    ("reconnect_grace = inf", "reconnect_grace"),
    ("response_head_timeout = 0", "response_head_timeout"),
    ("response_head_timeout = 86401", "response_head_timeout"),
    ("upgrade_timeout = -0.1", "upgrade_timeout"),
    ("shutdown_grace = -1", "shutdown_grace"),
    ("max_message_bytes = 1023", "max_message_bytes"),
    ("max_message_bytes = 1.5", "max_message_bytes"),
    ("max_message_bytes = 1073741825", "max_message_bytes"),
    ("max_window_bytes = 262143", "max_window_bytes"),
    ("max_window_bytes = 67108865", "max_window_bytes"),
    ("held_bytes_limit = 1", "held_bytes_limit"),
    ("held_bytes_limit = 2000000\nheld_bytes_hard_limit = 2000000", "held_bytes_hard_limit"),
    ("held_bytes_hard_limit = 2000000", "held_bytes_hard_limit"),
    ("drain_delay = -1", "drain_delay"),
    ("link_ping_interval = 0", "link_ping_interval"),
    ("link_ping_timeout = 0", "link_ping_timeout"),
    ("client_ping_interval = 0", "client_ping_interval"),
    ('client_ping_timeout = "1m"', "client_ping_timeout"),
    ("max_websockets_per_cluster = 0", "max_websockets_per_cluster"),
    ("max_connections = 0", "max_connections"),
    ("max_connections = -1", "max_connections"),
    ("max_connections = 1.5", "max_connections"),
    ('max_connections = "unlimited"', "max_connections"),
    ("max_links_per_cluster = 0", "max_links_per_cluster"),
    ('max_links_per_cluster = "unlimited"', "max_links_per_cluster"),
    ("max_links_per_token = 0", "max_links_per_token"),
    ("max_syncs_per_minute = 0.5", "max_syncs_per_minute"),
    ("tls_certificate = 1", "tls_certificate"),
    ('tls_certificate = ""', "tls_certificate"),
    ('tls_key = ["a.key"]', "tls_key"),
    ('admin_bind = "9090"', "admin_bind"),
    ('admin_bind = "127.0.0.1:0"', "admin_bind"),
    ('admin_bind = "127.0.0.1:65536"', "admin_bind"),
    ('admin_bind = "127.0.0.1:"', "admin_bind"),
    ('admin_bind = "::1:9090x"', "admin_bind"),
    ('admin_bind = "0.0.0.0:9090"', "admin_bind"),
    ('admin_token_file = "missing"', "admin_token_file"),
    ('admin_token_file = "short"', "admin_token_file"),
    ('admin_token = "0123456789abcdef"', "admin_token"),
    ('log_format = "yaml"', "log_format"),
    ('log_level = "loud"', "log_level"),
    # Agents.
    ("agents = 1", "agents"),
    ("agents = [1]", "agents[0]"),
    (agent(clusters='["c1"]'), "agents[0]"),
    (agent(token='"x"'), "agents[0]"),
    (agent(token='"x"', clusters="[]"), "agents[0].clusters"),
    (agent(token='"x"', clusters='[""]'), "agents[0].clusters[0]"),
    (agent(token='"x"', clusters='"c1"'), "agents[0].clusters"),
    (agent(token='""', clusters='["c1"]'), "agents[0].token"),
    (agent(token='"a b"', clusters='["c1"]'), "agents[0].token"),
    (agent(token_file='"missing"', clusters='["c1"]'), "agents[0].token_file"),
    (agent(token_file='"empty"', clusters='["c1"]'), "agents[0].token_file"),
    (agent(token_file='"two"', clusters='["c1"]'), "agents[0].token_file"),
    (agent(token_file='"binary"', clusters='["c1"]'), "agents[0].token_file"),
    (agent(token_file='"long"', clusters='["c1"]'), "agents[0].token_file"),
    (agent(token_file='"pipe"', clusters='["c1"]'), "agents[0].token_file"),
    (agent(token_file='"short"', token='"x"', clusters='["c1"]'), "agents[0]"),
    (agent(token_file='"short"', clusters='["c1"]') + agent(token='"x"', clusters='["c1"]'), "agents[1].token"),
    (agent(token='"x"', clusters='["c1\\n"]'), "agents[0].clusters[0]"),
    (agent(token='"x"', clusters='["c1"]', hosts='["*"]'), "agents[0].hosts[0]"),
    (agent(token='"x"', clusters='["c1"]', hosts='["a.test", "https://b.test"]'), "agents[0].hosts[1]"),
    (agent(token='"x"', clusters='["c1"]', hosts='["10.0.0.1:80/x"]'), "agents[0].hosts[0]"),
    ('[agents]\ntoken = "x"', "agents"),
    ('agents = ["x"]', "agents[0]"),
    (agent(token_sha256='"abc"', clusters='["c1"]'), "agents[0].token_sha256"),
    (agent(token_sha256='"' + "0" * 64 + '\\n"', clusters='["c1"]'), "agents[0].token_sha256"),
    (agent(token='"x"', token_sha256='"' + "0" * 64 + '"', clusters='["c1"]'), "agents[0]"),
    (agent(token='"x"', clusters='["c1"]', revoked='"yes"'), "agents[0].revoked"),
    (agent(token='"x"', clusters='["c1"]', cluster='"c1"'), "agents[0].cluster"),
    (agent(token='"x"', clusters='["c1"]') + agent(token='"x"', clusters='["c2"]'), "agents[1].token"),
    # Routes.
    (route(port=None), "routes[0]"),
    (route(host=None), "routes[0]"),
    (route(colour="1"), "routes[0].colour"),
    (route(port="0"), "routes[0].port"),
    (route(port="65536"), "routes[0].port"),
    (route(port='"80"'), "routes[0].port"),
    (route(host='""'), "routes[0].host"),
    (route(host='"a b.test"'), "routes[0].host"),
    (route(host='"http://a.test"'), "routes[0].host"),
    (route(host='"a..test"'), "routes[0].host"),
    (route(host='"-a.test"'), "routes[0].host"),
    (route(host='"*"'), "routes[0].host"),
    (route(host='"*.*.test"'), "routes[0].host"),
    (route(host='"a.*.test"'), "routes[0].host"),
    (route(host='"*a.test"'), "routes[0].host"),
    (route(host='"[::1]"'), "routes[0].host"),
    (route(host='"' + "a" * 64 + '.test"'), "routes[0].host"),
    (route(host='"' + ".".join(["a" * 60] * 5) + '"'), "routes[0].host"),
    (route(host='"localhost"'), "routes[0].host"),
    (route(host='"LOCALHOST.:80"'), "routes[0].host"),
    ('public_url = "https://gw.test"\n' + route(host='"gw.test"'), "routes[0].host"),
    ('control_hosts = ["gw.test"]\n' + route() + route(host='"gw.test"'), "routes[1].host"),
    (route(path='""'), "routes[0].path"),
    (route(path='"api"'), "routes[0].path"),
    (route(path='"/a b"'), "routes[0].path"),
    (route(path='"/a?b"'), "routes[0].path"),
    (route(path='"/a#b"'), "routes[0].path"),
    (route(path='"/a%2fb"'), "routes[0].path"),
    (route(path="'/a\\b'"), "routes[0].path"),
    (route(path='"/ä"'), "routes[0].path"),
    (route(path='"/a/../b"'), "routes[0].path"),
    (route(path='"/a//b"'), "routes[0].path"),
    (route(cluster='""'), "routes[0].cluster"),
    (route(namespace='"Apps"'), "routes[0].namespace"),
    (route(namespace='""'), "routes[0].namespace"),
    (route(service='"web.apps"'), "routes[0].service"),
    (route(service='"web\\n"'), "routes[0].service"),
    (route(service='"-web"'), "routes[0].service"),
    (route(service='"' + "a" * 64 + '"'), "routes[0].service"),
    (route(service='"kubernetes"', namespace='"default"'), "routes[0].service"),
    (route(scheme='"h2c"'), "routes[0].scheme"),
    (route(verify="false"), "routes[0].verify"),
    (route(ca_file='"ca.pem"'), "routes[0].ca_file"),
    (route(server_name='"x"'), "routes[0].server_name"),
    (route(**HTTPS, ca_file='"missing.pem"'), "routes[0].ca_file"),
    (route() + route(), "routes[1].host"),
    (route() + route(host='"A.test."', path='"/"'), "routes[1].host"),
]


FILES = {"short": b"x", "empty": b"\n", "two": b"a\nb\n", "binary": b"\xff", "long": b"x" * 20_000}


@pytest.mark.parametrize(("text", "key"), WRONG, ids=[f"{number}-{row[1]}" for number, row in enumerate(WRONG)])
def test_wrong_files(tmp_path: Path, text: str, key: str):
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
    file = tmp_path / "gateway.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        load(str(file), {})
    message = str(caught.value)
    assert "\n" not in message
    if key == "gateway.toml":
        assert message.startswith(f"{file}: not TOML: ")
        assert "(at " in message
    else:
        assert re.match(rf"{re.escape(str(file))}:[0-9]+: {re.escape(key)}: .", message)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PUBLIC_URL", "gw.example.test"),
        ("TRUSTED_PROXIES", "10.0.0.0/8,nonsense"),
        ("HOST", "a b"),
        ("PORT", "http"),
        ("PORT", ""),
        ("PORT", "65536"),
        ("PORT", "10.0.0.1:80"),
        ("RECONNECT_GRACE", "soon"),
        ("RECONNECT_GRACE", "nan"),
        ("RECONNECT_GRACE", ""),
        ("RESPONSE_HEAD_TIMEOUT", "0"),
        ("MAX_MESSAGE_BYTES", "10MB"),
        ("LOG_LEVEL", "INFO"),
        ("LOG_FORMAT", ""),
        ("ORIGINS", "https://a.test/"),
        ("ALLOW_NULL_ORIGIN", "yes"),
        ("MAX_WEBSOCKETS", "0"),
        ("MAX_WEBSOCKETS", "none"),
        ("HELD_BYTES_HARD_LIMIT", "1048576"),
        ("ADMIN_BIND", "0.0.0.0:9090"),
        ("ADMIN_TOKEN", ""),
        ("ADMIN_TOKEN", "fifteen-charact"),
        ("ADMIN_TOKEN", "sixteen characters"),
        ("ADMIN_TOKEN_FILE", "missing"),
    ],
)
def test_wrong_variables(tmp_path: Path, name: str, value: str):
    file = tmp_path / "gateway.toml"
    file.write_text(route(), encoding="utf-8")
    for path in (None, str(file)):
        with pytest.raises(ConfigurationError) as caught:
            load(path, {f"GATEWAY_{name}": value})
        assert str(caught.value).startswith(f"GATEWAY_{name}: ")
        assert "\n" not in str(caught.value)


def test_the_line_is_the_one_of_the_key(tmp_path: Path):
    file = tmp_path / "gateway.toml"
    file.write_text("# a comment\n\n" + route() + route(host='"b.test"', port="0"), encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        load(str(file), {})
    assert str(caught.value) == (f"{file}:14: routes[1].port: 0 is not valid; valid: a whole number from 1 to 65535")


def test_a_key_that_is_nearly_right_is_named(tmp_path: Path):
    file = tmp_path / "gateway.toml"
    file.write_text("reconect_grace = 1", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r":1: reconect_grace: unknown key, did you mean reconnect_grace\?"):
        load(str(file), {})


def test_the_valid_keys_are_named(tmp_path: Path):
    file = tmp_path / "gateway.toml"
    file.write_text(route(hots='"a.test"'), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"valid keys: .*host.*, namespace"):
        load(str(file), {})


def test_a_token_is_never_shown(tmp_path: Path):
    file = tmp_path / "gateway.toml"
    for text in (
        agent(token='"s3cret"', clusters='["c1"]') * 2,
        agent(token='"s3cret"', clusters='["c1"]', colour="1"),
        agent(token='"s3cret"', token_sha256='"' + "0" * 64 + '"', clusters='["c1"]'),
        agent(token='"s3cret s3cret"', clusters='["c1"]'),
        agent(token='["s3cret"]', clusters='["c1"]'),
        agent(token_sha256='"s3cret"', clusters='["c1"]'),
        '[agents]\ntoken = "s3cret"',
        'agents = ["s3cret"]',
        'request_headers = { set = { authorization = "s3cret\\n" } }',
        'request_headers = { set = { authorization = ["s3cret"] } }',
        'request_headers = { set = "s3cret" }',
    ):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigurationError) as caught:
            load(str(file), {})
        assert "s3cret" not in str(caught.value)


TABLE = 'log_level = "debug"\n[[agents]]\ntoken_file = "token"\nclusters = ["a"]\n'


@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path: Path, mark: bytes):
    """Windows' editors write it, and line ends of their own."""
    (tmp_path / "gateway.toml").write_bytes(mark + TABLE.replace("\n", "\r\n").encode())
    (tmp_path / "token").write_bytes(mark + b"s3cret\r\n")
    settings = load(str(tmp_path / "gateway.toml"), {})
    assert settings.log_level == "debug"
    assert list(settings.grants) == [token_hash("s3cret")]
    (tmp_path / "gateway.toml").write_bytes(mark + (TABLE + "x = 1").encode())
    with pytest.raises(ConfigurationError, match=r"gateway.toml:5: agents\[0\].x: unknown key"):
        load(str(tmp_path / "gateway.toml"), {})


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("name", ["gateway.toml", "token"])
def test_another_encoding_is_named(tmp_path: Path, name: str, encoding: str):
    texts = {"gateway.toml": TABLE, "token": "s3cret-s3cret-s3cret"}
    for file, text in texts.items():
        (tmp_path / file).write_bytes(text.encode(encoding if file == name else "utf-8"))
    with pytest.raises(ConfigurationError) as caught:
        load(str(tmp_path / "gateway.toml"), {})
    message = str(caught.value)
    named = "UTF-32" if encoding == "utf-32" else "UTF-16"
    assert re.search(rf"{name}:? (is {named}|has zero bytes, as UTF-16 has); save it as UTF-8", message)
    assert "s3cret" not in message


def test_a_byte_that_is_not_utf_8_is_found(tmp_path: Path):
    (tmp_path / "gateway.toml").write_bytes("# für\n".encode("latin-1"))
    with pytest.raises(ConfigurationError, match=r"gateway\.toml: is not UTF-8 \(byte 4\); save it as UTF-8"):
        load(str(tmp_path / "gateway.toml"), {})


@pytest.mark.parametrize("mark", [codecs.BOM_UTF8, codecs.BOM_UTF16_LE])
def test_a_ca_file_with_a_mark_is_named(tmp_path: Path, mark: bytes):
    """OpenSSL would overlook its first certificate."""
    (tmp_path / "ca.pem").write_bytes(mark + b"-----BEGIN CERTIFICATE-----\n")
    (tmp_path / "gateway.toml").write_text(route(**HTTPS, ca_file='"ca.pem"'))
    with pytest.raises(ConfigurationError, match=r"ca_file: .*ca\.pem (begins with a byte-order mark|is UTF-16); save"):
        load(str(tmp_path / "gateway.toml"), {})


def test_files_that_cannot_be_read(tmp_path: Path):
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    for path in (tmp_path / "missing.toml", tmp_path, binary):
        with pytest.raises(ConfigurationError) as caught:
            load(str(path), {})
        assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("port = " + "9" * 5_000, "a number has thousands of digits"),
        ("port = " + "[" * 100_000, "hundreds of tables or lists are inside one another"),
        ("port = " + "{a=" * 10_000, "hundreds of tables or lists are inside one another"),
    ],
    ids=["digits", "lists", "tables"],
)
def test_what_the_parser_cannot_take_is_no_traceback(tmp_path: Path, text: str, told: str):
    file = tmp_path / "gateway.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        load(str(file), {})
    assert caught.value.errors == (f"{file}: not TOML: {told}",)


def test_a_token_file_without_an_end_is_not_read_to_it(tmp_path: Path):
    file = tmp_path / "gateway.toml"
    file.write_text('[[agents]]\ntoken_file = "/dev/zero"\nclusters = ["c1"]\n', encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"agents\[0\]\.token_file: /dev/zero is too long; write one token"):
        load(str(file), {})


def test_a_configuration_without_an_end_is_not_read_to_it():
    with pytest.raises(ConfigurationError, match=r"^/dev/zero: has more than 64 MiB; name a configuration file$"):
        load("/dev/zero", {})
