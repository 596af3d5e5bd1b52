"""Wrong configurations: each is refused whole, in one line that names the key, and the file where there is one."""

from pathlib import Path

import pytest

from app.settings import ConfigurationError, load

ROUTE = {
    "host": '"a.test"', "cluster": '"c1"', "namespace": '"apps"', "service": '"web"', "port": "80"
}  # fmt: skip


def route(**changes: str | None) -> str:
    lines = {**ROUTE, **changes}
    return "[[routes]]\n" + "".join(f"{key} = {value}\n" for key, value in lines.items() if value is not None)


def agent(**lines: str) -> str:
    return "[[agents]]\n" + "".join(f"{key} = {value}\n" for key, value in lines.items())


HTTPS = {"scheme": '"https"'}

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
    ("control_hosts = [1]", "control_hosts"),
    ('control_hosts = ["https://gw.example.test"]', "control_hosts"),
    ('control_hosts = ["gw example"]', "control_hosts"),
    ('trusted_proxies = ["10.0.0.0/33"]', "trusted_proxies[0]"),
    ('trusted_proxies = ["10.0.0.1", "proxy.example.test"]', "trusted_proxies[1]"),
    ('trusted_proxies = "10.0.0.1"', "trusted_proxies"),
    ("reconnect_grace = -1", "reconnect_grace"),
    ("reconnect_grace = 61", "reconnect_grace"),
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
    ('log_format = "yaml"', "log_format"),
    ('log_level = "loud"', "log_level"),
    # Agents.
    ("agents = 1", "agents"),
    ("agents = [1]", "agents[0]"),
    (agent(clusters='["c1"]'), "agents[0]"),
    (agent(token='"x"'), "agents[0]"),
    (agent(token='"x"', clusters="[]"), "agents[0].clusters"),
    (agent(token='"x"', clusters='[""]'), "agents[0].clusters"),
    (agent(token='"x"', clusters='"c1"'), "agents[0].clusters"),
    (agent(token='""', clusters='["c1"]'), "agents[0].token"),
    (agent(token_sha256='"abc"', clusters='["c1"]'), "agents[0].token_sha256"),
    (agent(token='"x"', token_sha256='"' + "0" * 64 + '"', clusters='["c1"]'), "agents[0]"),
    (agent(token='"x"', clusters='["c1"]', revoked='"yes"'), "agents[0].revoked"),
    (agent(token='"x"', clusters='["c1"]', cluster='"c1"'), "agents[0]"),
    (agent(token='"x"', clusters='["c1"]') + agent(token='"x"', clusters='["c2"]'), "agents[1]"),
    # Routes.
    (route(port=None), "routes[0]"),
    (route(host=None), "routes[0]"),
    (route(colour="1"), "routes[0]"),
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
    (route(verify="false"), "routes[0]"),
    (route(ca_file='"ca.pem"'), "routes[0]"),
    (route(server_name='"x"'), "routes[0]"),
    (route(**HTTPS, ca_file='"missing.pem"'), "routes[0].ca_file"),
    (route() + route(), "routes[1]"),
    (route() + route(host='"A.test."', path='"/"'), "routes[1]"),
]


@pytest.mark.parametrize(("text", "key"), WRONG, ids=[f"{number}-{row[1]}" for number, row in enumerate(WRONG)])
def test_wrong_files(tmp_path: Path, text: str, key: str):
    file = tmp_path / "gateway.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        load(str(file), {})
    message = str(caught.value)
    assert key in message.replace(str(tmp_path), "")
    assert message.startswith(str(file))
    assert "\n" not in message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PUBLIC_URL", "gw.example.test"),
        ("TRUSTED_PROXIES", "10.0.0.0/8,nonsense"),
        ("RECONNECT_GRACE", "soon"),
        ("RECONNECT_GRACE", "nan"),
        ("RECONNECT_GRACE", ""),
        ("RESPONSE_HEAD_TIMEOUT", "0"),
        ("MAX_MESSAGE_BYTES", "10MB"),
        ("LOG_LEVEL", "INFO"),
        ("LOG_FORMAT", ""),
    ],
)
def test_wrong_variables(name: str, value: str):
    with pytest.raises(ConfigurationError) as caught:
        load(None, {f"GATEWAY_{name}": value})
    assert name.lower() in str(caught.value).lower()
    assert "\n" not in str(caught.value)


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
    ):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigurationError) as caught:
            load(str(file), {})
        assert "s3cret" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path):
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    for path in (tmp_path / "missing.toml", tmp_path, binary):
        with pytest.raises(ConfigurationError) as caught:
            load(str(path), {})
        assert str(path) in str(caught.value)
