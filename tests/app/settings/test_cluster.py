"""`[cluster]`: what is taken, from the file and the variables, and what is refused, by its key."""

import os
import platform
from pathlib import Path

import pytest

from app.settings import ClusterSettings, ConfigurationError, Settings, load
from app.settings.cluster import FILES, secrets_of
from app.settings.schema import CLUSTER_KEYS

SEED = "SUAACAQDAQCQMBYIBEFAWDANBYHRAEISCMKBKFQXDAMRUGY4DUPB6OSAWE"[:58].ljust(58, "A")
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n"
KEY = "-----BEGIN PRIVATE KEY-----\nMA==\n-----END PRIVATE KEY-----\n"
TEXTS = {
    "password": "correct horse\n",
    "creds": f"-----BEGIN NATS USER JWT-----\ney\n------\n-----BEGIN USER NKEY SEED-----\n{SEED}\n------\n",
    "seed": SEED + "\n",
    "ca.pem": CERTIFICATE,
    "one.crt": CERTIFICATE,
    "one.key": KEY,
    "secret": "0123456789abcdef\n",
    "secrets": "0123456789abcdef\nfedcba9876543210\n",
    "empty": "\n",
    "three": "0123456789abcdef\n" * 3,
    "short": "abc\n",
    "locked.key": KEY.replace("PRIVATE", "ENCRYPTED PRIVATE"),
    "long": "x" * 2_000_000,
}
NEEDED = {"servers": '["nats://nats:4222"]', "peer_bind": '"127.0.0.1:9000"', "peer_secret_file": '"secret"'}


def loaded(folder: Path, keys: dict[str, str], **variables: str) -> Settings:
    for name, text in TEXTS.items():
        (folder / name).write_text(text)
    if hasattr(os, "mkfifo") and not (folder / "pipe").exists():
        os.mkfifo(folder / "pipe")
    file = folder / "gateway.toml"
    file.write_text("[cluster]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items()))
    return load(str(file), {f"GATEWAY_{name}": value for name, value in variables.items()})


def cluster(folder: Path, keys: dict[str, str], **variables: str) -> ClusterSettings:
    found = loaded(folder, keys, **variables).cluster
    assert found is not None
    return found


def test_without_the_table_there_is_no_cluster():
    assert load(None, {}).cluster is None


def test_the_least_that_is_needed(tmp_path: Path):
    assert cluster(tmp_path, NEEDED) == ClusterSettings(
        ("nats://nats:4222",),
        node_name=platform.node(),
        peer_bind=("127.0.0.1", 9000),
        peer_url="http://127.0.0.1:9000",
        peer_secret_file=str(tmp_path / "secret"),
    )


def test_all_of_it(tmp_path: Path):
    found = cluster(tmp_path, {
        "servers": '["nats://a.test", "tls://[::1]:7422/", "nats://10.0.0.1"]',
        "user": '"gateway"',
        "password_file": '"password"',
        "ca_file": '"ca.pem"',
        "certificate": '"one.crt"',
        "key": '"one.key"',
        "bucket_prefix": '"blue-1"',
        "replicas": "3",
        "node_name": '"left"',
        "peer_bind": '"0.0.0.0:9000"',
        "peer_url": '"https://10.0.0.7:9443"',
        "peer_secret_file": '"secrets"',
        "peer_ca_file": '"ca.pem"',
        "peer_certificate": '"one.crt"',
        "peer_key": '"one.key"',
    })  # fmt: skip
    assert found.servers == ("nats://a.test:4222", "tls://[::1]:7422", "nats://10.0.0.1:4222")
    assert (found.user, found.bucket_prefix, found.replicas, found.node_name) == ("gateway", "blue-1", 3, "left")
    assert (found.peer_bind, found.peer_url) == (("0.0.0.0", 9000), "https://10.0.0.7:9443")
    assert found.needs_tls
    named = {name: getattr(found, name) for name in FILES}
    assert {name for name, value in named.items() if value is None} == {"credentials_file", "nkey_file"}
    assert all(Path(value).parent == tmp_path for value in named.values() if value is not None)


@pytest.mark.parametrize(
    ("keys", "url"),
    [
        ({"peer_bind": '"[::1]:9000"'}, "http://[::1]:9000"),
        ({"peer_certificate": '"one.crt"', "peer_key": '"one.key"'}, "https://127.0.0.1:9000"),
        ({"peer_bind": '"[::]:9000"', "peer_url": '"http://pod-1.peers:9000/"'}, "http://pod-1.peers:9000"),
    ],
)
def test_where_others_dial(keys: dict[str, str], url: str, tmp_path: Path):
    assert cluster(tmp_path, NEEDED | keys).peer_url == url


VARIABLES = {
    "servers": ("nats://a, tls://b:1", ("nats://a:4222", "tls://b:1")),
    "user": ("other", "other"),
    "bucket_prefix": ("green", "green"),
    "replicas": ("5", 5),
    "node_name": ("right", "right"),
    "peer_bind": ("10.0.0.1:9001", ("10.0.0.1", 9001)),
    "peer_url": ("http://10.0.0.9:9001", "http://10.0.0.9:9001"),
}


@pytest.mark.parametrize("key", CLUSTER_KEYS)
def test_the_environment_beats_the_file(key: str, tmp_path: Path):
    (tmp_path / "other").mkdir()
    same = {"password_file": "password", "credentials_file": "creds", "nkey_file": "seed", "key": "one.key",
            "peer_key": "one.key", "peer_secret_file": "secret"}  # fmt: skip
    name = same.get(key, "one.crt")
    (tmp_path / "other" / name).write_text(TEXTS[name])
    value, expected = VARIABLES.get(key, (f"other/{name}", str(tmp_path / "other" / name)))
    file = NEEDED | {"user": '"gateway"', "password_file": '"password"'}
    if key in ("credentials_file", "nkey_file"):
        file = NEEDED
    for pair in (("certificate", "key"), ("peer_certificate", "peer_key")):
        if key in (*pair, "peer_ca_file"):
            file = file | {pair[0]: '"one.crt"', pair[1]: '"one.key"'}
    found = cluster(tmp_path, file, **{f"CLUSTER_{key.upper()}": value})
    assert getattr(found, key) == expected
    assert getattr(cluster(tmp_path, file), key) != expected


def test_variables_alone_are_a_cluster(tmp_path: Path):
    (tmp_path / "secret").write_text(TEXTS["secret"])
    settings = load(None, {
        "GATEWAY_CLUSTER_SERVERS": "nats://nats",
        "GATEWAY_CLUSTER_PEER_BIND": "127.0.0.1:9000",
        "GATEWAY_CLUSTER_PEER_SECRET_FILE": str(tmp_path / "secret"),
    })  # fmt: skip
    assert settings.cluster is not None
    assert settings.cluster.servers == ("nats://nats:4222",)


WRONG = [
    ({"servers": '"nats://nats"'}, "servers", "a list of strings"),
    ({"servers": "[]"}, "servers", "nats://host"),
    ({"servers": '["http://nats:4222"]'}, "servers[0]", "nats://host"),
    ({"servers": '["nats://nats", "nats"]'}, "servers[1]", "nats://host"),
    ({"servers": '["nats://"]'}, "servers[0]", "nats://host"),
    ({"servers": '["nats://a:99999"]'}, "servers[0]", "nats://host"),
    ({"servers": '["nats://a b"]'}, "servers[0]", "host name"),
    ({"servers": '["nats://a/x"]'}, "servers[0]", "nats://host"),
    ({"servers": '["nats://user:hunter2@a"]'}, "servers[0]", "user and password_file"),
    ({"user": '"x"'}, "user", "password_file"),
    ({"password_file": '"password"'}, "password_file", "user"),
    ({"user": '"x"', "password_file": '"missing"'}, "password_file", "cannot be read"),
    ({"user": '"x"', "password_file": '"empty"'}, "password_file", "no password"),
    ({"user": '"x"', "password_file": '"secrets"'}, "password_file", "one line"),
    ({"user": '"x"', "password_file": '"long"'}, "password_file", "too long"),
    ({"user": '"x"', "password_file": '"pipe"'}, "password_file", "is a pipe"),
    ({"user": '""', "password_file": '"password"'}, "user", "at least one character"),
    ({"user": '"x"', "password_file": '"password"', "nkey_file": '"seed"'}, "nkey_file", "one of"),
    ({"credentials_file": '"creds"', "nkey_file": '"seed"'}, "nkey_file", "one of"),
    ({"credentials_file": '"seed"'}, "credentials_file", "nsc"),
    ({"nkey_file": '"creds"'}, "nkey_file", "SU"),
    ({"ca_file": '"password"'}, "ca_file", "PEM"),
    ({"ca_file": '"."'}, "ca_file", "cannot be read"),
    ({"certificate": '"one.crt"'}, "certificate", "needs key"),
    ({"key": '"one.key"'}, "key", "needs certificate"),
    ({"certificate": '"one.crt"', "key": '"locked.key"'}, "key", "passphrase"),
    ({"certificate": '"one.key"', "key": '"one.key"'}, "certificate", "PEM"),
    ({"bucket_prefix": '"a.b"'}, "bucket_prefix", "letters"),
    ({"bucket_prefix": '""'}, "bucket_prefix", "1 to 32"),
    ({"bucket_prefix": f'"{"a" * 33}"'}, "bucket_prefix", "1 to 32"),
    ({"replicas": "0"}, "replicas", "from 1 to 5"),
    ({"replicas": "6"}, "replicas", "from 1 to 5"),
    ({"replicas": '"3"'}, "replicas", "from 1 to 5"),
    ({"node_name": '""'}, "node_name", "at least one character"),
    ({"peer_bind": '"9000"'}, "peer_bind", "host:port"),
    ({"peer_bind": '"0.0.0.0:9000"'}, "peer_url", "http://host:port"),
    ({"peer_bind": '"[::]:9000"'}, "peer_url", "http://host:port"),
    ({"peer_url": '"10.0.0.1:9000"'}, "peer_url", "http://host"),
    ({"peer_url": '"http://10.0.0.1"'}, "peer_url", "http://host:port"),
    ({"peer_url": '"http://10.0.0.1:9000/x"'}, "peer_url", "http://host:port"),
    ({"peer_url": '"http://10.0.0.1:1"', "peer_certificate": '"one.crt"', "peer_key": '"one.key"'}, "peer_url",
     "https://host:port"),
    ({"peer_secret_file": '"empty"'}, "peer_secret_file", "write one secret"),
    ({"peer_secret_file": '"three"'}, "peer_secret_file", "3 lines"),
    ({"peer_secret_file": '"short"'}, "peer_secret_file", "16"),
    ({"peer_certificate": '"one.crt"'}, "peer_certificate", "needs peer_key"),
    ({"peer_ca_file": '"ca.pem"'}, "peer_ca_file", "needs peer_certificate"),
    ({"peer_secrets": '"x"'}, "peer_secrets", "did you mean peer_secret_file"),
]  # fmt: skip


@pytest.mark.parametrize(("keys", "key", "says"), WRONG, ids=[f"{n}-{row[1]}" for n, row in enumerate(WRONG)])
def test_what_is_wrong_is_named_with_what_is_valid(keys: dict[str, str], key: str, says: str, tmp_path: Path):
    with pytest.raises(ConfigurationError) as caught:
        loaded(tmp_path, NEEDED | keys)
    (line,) = caught.value.errors
    assert f": cluster.{key}: " in line
    assert says in line
    assert "hunter2" not in line


@pytest.mark.parametrize("value", ["true", "2026-11-29", "{ a = 1 }", "[1]"])
@pytest.mark.parametrize("key", CLUSTER_KEYS)
def test_each_key_refuses_what_is_of_another_type(key: str, value: str, tmp_path: Path):
    with pytest.raises(ConfigurationError) as caught:
        loaded(tmp_path, NEEDED | {key: value})
    (line,) = [line for line in caught.value.errors if f": cluster.{key}" in line]
    assert "is not valid; valid: " in line


BAD_FILES = {
    "missing": "cannot be read",
    ".": "cannot be read",
    "empty": "write",
    "utf-16": "UTF-8",
    "long": "too long",
    "pipe": "is a pipe",
    "other": "write",
}


@pytest.mark.parametrize(("file", "says"), BAD_FILES.items(), ids=BAD_FILES)
@pytest.mark.parametrize("key", FILES)
def test_each_key_refuses_a_file_that_is_not_one_of_its_kind(key: str, file: str, says: str, tmp_path: Path):
    (tmp_path / "utf-16").write_bytes("0123456789abcdef".encode("utf-16"))
    (tmp_path / "other").write_text("a\nb\nc\n")
    with pytest.raises(ConfigurationError) as caught:
        loaded(tmp_path, NEEDED | _beside(key) | {key: f'"{file}"'})
    (line,) = caught.value.errors
    assert f": cluster.{key}: " in line
    assert says in line


def _beside(key: str) -> dict[str, str]:
    """What this key needs, so that only its file is wrong."""
    pairs = {"certificate": "one.crt", "key": "one.key", "peer_certificate": "one.crt", "peer_key": "one.key"}
    prefix = "peer_" if key.startswith("peer_") else ""
    if key in pairs or key == "peer_ca_file":
        return {name: f'"{pairs[name]}"' for name in (f"{prefix}certificate", f"{prefix}key")}
    return {"user": '"gateway"'} if key == "password_file" else {}


TOGETHER = [
    ({"password_file": '"password"', "nkey_file": '"seed"'}, {"password_file", "nkey_file"}),
    ({"user": '"x"', "credentials_file": '"creds"'}, {"user", "credentials_file"}),
    ({"user": '"x"', "password_file": '"password"', "credentials_file": '"creds"', "nkey_file": '"seed"'},
     {"credentials_file", "nkey_file"}),
    ({"peer_key": '"one.key"'}, {"peer_key"}),
    ({"peer_ca_file": '"ca.pem"', "peer_key": '"one.key"'}, {"peer_key", "peer_ca_file"}),
]  # fmt: skip


@pytest.mark.parametrize(("keys", "named"), TOGETHER)
def test_keys_that_contradict_each_other_are_named(keys: dict[str, str], named: set[str], tmp_path: Path):
    with pytest.raises(ConfigurationError) as caught:
        loaded(tmp_path, NEEDED | keys)
    found = {line.partition(": cluster.")[2].partition(":")[0] for line in caught.value.errors}
    assert found
    assert found <= named


@pytest.mark.parametrize("missing", ["servers", "peer_bind"])
def test_what_is_missing(missing: str, tmp_path: Path):
    with pytest.raises(ConfigurationError, match=f"cluster: {missing} is missing"):
        loaded(tmp_path, {key: value for key, value in NEEDED.items() if key != missing})


def test_a_listener_for_everybody_is_refused(tmp_path: Path):
    with pytest.raises(ConfigurationError, match=r"cluster\.peer_bind: needs peer_secret_file"):
        loaded(tmp_path, {key: value for key, value in NEEDED.items() if key != "peer_secret_file"})


def test_a_table_it_must_be(tmp_path: Path):
    file = tmp_path / "gateway.toml"
    file.write_text("cluster = 3")
    for variables in ({}, {"GATEWAY_CLUSTER_REPLICAS": "3"}):
        with pytest.raises(ConfigurationError, match=r"cluster: 3 is not valid; write a table"):
            load(str(file), variables)


def test_a_wrong_variable_is_named_as_such_and_once(tmp_path: Path):
    with pytest.raises(ConfigurationError) as caught:
        loaded(tmp_path, NEEDED, CLUSTER_REPLICAS="x", CLUSTER_SERVERS="nats://u:hunter2@a")
    assert [error.partition(":")[0] for error in caught.value.errors] == [
        "GATEWAY_CLUSTER_REPLICAS",
        "GATEWAY_CLUSTER_SERVERS",
    ]
    assert "hunter2" not in str(caught.value)


def test_a_variable_that_is_nearly_one_is_named():
    (warning,) = load(None, {"GATEWAY_CLUSTER_SERVER": "nats://a"}).warnings()
    assert "did you mean GATEWAY_CLUSTER_SERVERS?" in warning


def test_what_is_shown_of_it(tmp_path: Path):
    assert repr(cluster(tmp_path, NEEDED | {"node_name": '"left"'})) == (
        "<node left at http://127.0.0.1:9000, of nats://nats:4222>"
    )


def test_two_secrets():
    assert secrets_of(TEXTS["secrets"]) == ("0123456789abcdef", "fedcba9876543210")
