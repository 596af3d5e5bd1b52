"""`agent_token_file` and `publish_hosts`: the grant of a gateway without a file, and who makes the token."""

import os
import re
import stat
import threading
from pathlib import Path

import pytest

from app.settings import ConfigurationError, Grant, agent_token, load, token_hash
from tests.app.settings.entries import agent

HOSTS = {"GATEWAY_PUBLISH_HOSTS": "*.dev.test, One.test."}


def wrong(text: str = "", folder: Path | None = None, maker: agent_token.Maker | None = None, **keys: object) -> str:
    """Why this is not a configuration."""
    file = None
    if folder is not None:
        (folder / "gateway.toml").write_text(text, encoding="utf-8")
        file = str(folder / "gateway.toml")
    with pytest.raises(ConfigurationError) as caught:
        load(file, {}, arguments=keys, token_maker=maker)
    return str(caught.value)


def test_it_is_one_more_grant(tmp_path: Path):
    (tmp_path / "token").write_text("the-token\n", encoding="utf-8")
    (tmp_path / "gateway.toml").write_text(
        'agent_token_file = "token"\npublish_hosts = ["*.Dev.test", "*.dev.test"]\n'
        + agent(token='"x"', clusters='["c1"]'),
        encoding="utf-8",
    )
    settings = load(str(tmp_path / "gateway.toml"), {})
    assert settings.grants == {
        token_hash("x"): Grant(("c1",)),
        token_hash("the-token"): Grant(("default",), hosts=("*.dev.test",)),
    }
    assert settings.agent_token_file == str(tmp_path / "token")
    assert settings.files_read == (str(tmp_path / "gateway.toml"), str(tmp_path / "token"))
    assert settings.warnings() == ()


def test_variables_and_options_give_it_too(tmp_path: Path):
    file = tmp_path / "token"
    file.write_text("the-token", encoding="utf-8")
    by_variables = load(None, {"GATEWAY_AGENT_TOKEN_FILE": str(file), **HOSTS})
    assert by_variables.grants == {token_hash("the-token"): Grant(("default",), hosts=("*.dev.test", "one.test"))}
    by_options = load(None, HOSTS, arguments={"agent_token_file": str(file), "publish_hosts": ["a.test"]})
    assert by_options.grants == {token_hash("the-token"): Grant(("default",), hosts=("a.test",))}


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        (
            {"publish_hosts": ["a.test"]},
            "--publish-host: needs agent_token_file (--agent-token-file): the token of those who may publish there",
        ),
        (
            {"agent_token_file": "token"},
            '--agent-token-file: needs publish_hosts (--publish-host): hosts to publish, like "*.dev.example.com"',
        ),
        (
            {"agent_token_file": "token", "publish_hosts": []},
            '--agent-token-file: needs publish_hosts (--publish-host): hosts to publish, like "*.dev.example.com"',
        ),
        (
            {"agent_token_file": "token", "publish_hosts": ["*"]},
            "--publish-host: '*' is not valid; a star stands for whole labels, at the beginning: write *.example.com",
        ),
        (
            {"agent_token_file": "token", "publish_hosts": ["a.test:8080"]},
            "--publish-host: 'a.test:8080' is not valid; routes ignore ports, write a.test",
        ),
        (
            {"agent_token_file": "token", "publish_hosts": ["localhost"]},
            "--publish-host: localhost is a control host and cannot be published; write *.localhost, or another host",
        ),
    ],
)
def test_wrong_values_are_told_by_their_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: dict[str, object], told: str
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "token").write_text("the-token", encoding="utf-8")
    assert wrong(**keys) == told


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("agent_token_file = 5\npublish_hosts = ['a.test']", "1: agent_token_file"),
        ("agent_token_file = ''\npublish_hosts = ['a.test']", "1: agent_token_file"),
        ("agent_token_file = 'token'\npublish_hosts = 'a.test'", "2: publish_hosts"),
        ("agent_token_file = 'token'\npublish_hosts = ['a.test', 5]", "2: publish_hosts[1]"),
        ("agent_token_file = 'token'\npublish_hosts = ['a.test', 'b c']", "2: publish_hosts[1]"),
        ("agent_token_file = 'missing'\npublish_hosts = ['a.test']", "1: agent_token_file"),
        ("agent_token_file = 'two'\npublish_hosts = ['a.test']", "1: agent_token_file"),
        ("agent_token_file = 'empty'\npublish_hosts = ['a.test']", "1: agent_token_file"),
        ("agent_token_file = '.'\npublish_hosts = ['a.test']", "1: agent_token_file"),
        ("agent_token_file = 'pipe'\npublish_hosts = ['a.test']", "1: agent_token_file"),
        (
            "agent_token_file = 'token'\npublish_hosts = ['a.test']\n" + agent(token='"the-token"', clusters='["c1"]'),
            "1: agent_token_file",
        ),
    ],
)
def test_wrong_values_are_told_by_their_line(tmp_path: Path, text: str, place: str):
    (tmp_path / "token").write_text("the-token", encoding="utf-8")
    (tmp_path / "two").write_text("the-token the-other", encoding="utf-8")
    (tmp_path / "empty").write_text("", encoding="utf-8")
    os.mkfifo(tmp_path / "pipe")
    told = wrong(text, tmp_path)
    assert told.startswith(f"{tmp_path}/gateway.toml:{place}: ")
    assert "\n" not in told
    assert "the-token" not in told


def test_a_missing_file_is_an_error_that_says_how_to_make_it(tmp_path: Path):
    with pytest.raises(ConfigurationError) as caught:
        load(None, {"GATEWAY_AGENT_TOKEN_FILE": str(tmp_path / "token"), **HOSTS})
    assert str(caught.value) == (
        f"GATEWAY_AGENT_TOKEN_FILE: {tmp_path}/token does not exist; make it with (umask 077; tunnel-gateway token > "
        f"{tmp_path}/token), or start the gateway with tunnel-gateway serve, which makes it"
    )
    assert list(tmp_path.iterdir()) == []


def test_it_is_made_for_a_configuration_that_is_right(tmp_path: Path):
    file = tmp_path / "token"
    keys = {"agent_token_file": str(file), "publish_hosts": ["a.test"]}
    told = wrong(maker=agent_token.make, **keys, log_level="loud")
    assert told.startswith("--log-level: 'loud' is not valid; ")
    assert "\n" not in told
    assert list(tmp_path.iterdir()) == []
    before = os.umask(0)
    try:
        settings = load(None, {}, arguments=keys, token_maker=agent_token.make)
    finally:
        os.umask(before)
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}\n", text := file.read_text(encoding="utf-8"))
    assert list(settings.grants) == [token_hash(text.strip())]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]
    assert load(None, {}, arguments=keys, token_maker=agent_token.make).grants == settings.grants


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("nowhere/token", "does not exist and cannot be made: No such file or directory"),
        ("token/token", "does not exist and cannot be made: Not a directory"),
        ("dangling", "cannot be read: No such file or directory"),
    ],
)
def test_one_that_cannot_be_made(tmp_path: Path, name: str, told: str):
    (tmp_path / "token").write_text("the-token", encoding="utf-8")
    (tmp_path / "dangling").symlink_to("nowhere")
    before = sorted(tmp_path.iterdir())
    keys = {"agent_token_file": str(tmp_path / name), "publish_hosts": ["a.test"]}
    assert wrong(maker=agent_token.make, **keys) == f"--agent-token-file: {tmp_path / name} {told}"
    assert sorted(tmp_path.iterdir()) == before


def test_all_that_make_it_at_once_have_the_same(tmp_path: Path):
    barrier = threading.Barrier(8)
    found = []

    def one() -> None:
        barrier.wait()
        found.append(agent_token.make(tmp_path / "token"))

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) == {(tmp_path / "token").read_text(encoding="utf-8").strip()}
    assert [path.name for path in tmp_path.iterdir()] == ["token"]
