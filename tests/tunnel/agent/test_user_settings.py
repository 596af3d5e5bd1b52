"""The user's settings file: where it is, what may be in it, who may read it, and what is kept when one key changes."""

import os
import stat
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnel.agent import user_settings
from tunnel.agent.source import SettingsError
from tunnel.agent.user_settings import UserSettings, change, exposed, load, name_seed, place

posix = pytest.mark.skipif(sys.platform == "win32", reason="modes and links of POSIX")
PRINTABLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=60)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "config" / "tunnel-agent" / "settings.toml"


def written(file, text):
    file.parent.mkdir(parents=True)
    file.write_text(text, encoding="utf-8")
    file.chmod(0o600)
    return file


@posix
@pytest.mark.parametrize(
    ("environment", "where"),
    [
        ({"HOME": "/home/me"}, "/home/me/.config/tunnel-agent/settings.toml"),
        ({"HOME": "/home/me", "XDG_CONFIG_HOME": "/x"}, "/x/tunnel-agent/settings.toml"),
        ({"HOME": "/home/me", "XDG_CONFIG_HOME": "relative"}, "/home/me/.config/tunnel-agent/settings.toml"),
        ({"HOME": "/home/me", "XDG_CONFIG_HOME": ""}, "/home/me/.config/tunnel-agent/settings.toml"),
        ({"HOME": "relative"}, None),
        ({"HOME": ""}, None),
        ({}, None),
    ],
)
def test_where_it_is(environment, where):
    assert place(environment) == (Path(where) if where else None)


def test_where_it_is_on_windows(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    assert place({"APPDATA": "/c/me"}) == Path("/c/me/tunnel-agent/settings.toml")
    assert place({"HOME": "/home/me"}) is None


def test_no_file_says_nothing(file):
    assert load(None) == load(file) == UserSettings()
    assert exposed(file) == ""


def test_what_a_person_wrote(file):
    written(file, "\ufeff# mine\r\ngateway = 'https://h'\r\ntoken = \"t-1\"\r\n")
    assert load(file) == UserSettings("https://h", "t-1", "")
    assert "t-1" not in repr(load(file))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tokn = 'hush'", ": 'tokn' is not a known key; the keys are gateway, token, name_seed"),
        ("[a]\nb = 'hush'", ": 'a' is not a known key; the keys are gateway, token, name_seed"),
        ("token = 1", ": token: must be a text in quotes, of printable characters without blanks"),
        ("token = ''", ": token: must be a text in quotes, of printable characters without blanks"),
        ("token = 'hush hush'", ": token: must be a text in quotes, of printable characters without blanks"),
        ("token = ['hush']", ": token: must be a text in quotes, of printable characters without blanks"),
        ("gateway = ['https://hush']", ': gateway: must be the URL of one gateway in quotes, such as "https://tunn'),
        ("name_seed = 'hush\u00e9'", ": name_seed: must be a text in quotes, of 1 to 128 printable ASCII characters"),
        (f"name_seed = '{'h' * 129}'", ": name_seed: must be a text in quotes, of 1 to 128 printable ASCII"),
        ("token = hush", " is not valid TOML (at line 1, column 9)"),
        ("token = 'hush", " is not valid TOML (at"),
        ("token = 'a'\ntoken = 'hush'", " is not valid TOML (at end of document)"),
    ],
)
def test_what_cannot_be_used_is_named_and_not_shown(file, text, said):
    with pytest.raises(SettingsError) as caught:
        load(written(file, text))
    assert f"{file}{said}" in str(caught.value)
    assert "hush" not in str(caught.value)
    with pytest.raises(SettingsError):
        change(file, token="t-1")
    with pytest.raises(SettingsError):
        name_seed(file, "host-1", "me")
    assert file.read_text(encoding="utf-8") == text


def test_another_encoding_is_named(file):
    written(file, "").write_bytes("token = 't'".encode("utf-16"))
    with pytest.raises(SettingsError, match="is UTF-16; save it as UTF-8"):
        load(file)


def test_a_file_that_is_none(file):
    file.mkdir(parents=True)
    with pytest.raises(SettingsError, match=r"settings.toml cannot be read: Is a directory"):
        load(file)


@posix
def test_what_is_written_is_for_its_user_only(file):
    mask = os.umask(0)
    try:
        change(file, gateway="https://h", token="t-1")
    finally:
        os.umask(mask)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert exposed(file) == ""
    assert [found.name for found in file.parent.iterdir()] == ["settings.toml"]


@posix
@pytest.mark.parametrize(
    ("mode", "what"),
    [(0o640, "read the token in"), (0o604, "read the token in"), (0o666, "read the token in"), (0o622, "change")],
)
def test_a_file_that_others_reach_is_warned_of_and_mended_when_it_is_written(file, mode, what):
    written(file, "token = 't'").chmod(mode)
    assert exposed(file) == f"others can {what} {file}: run chmod 600 {file}"
    change(file, token="t-2")
    assert exposed(file) == ""


def test_other_keys_are_kept(file):
    change(file, gateway="https://h", token="t-1")
    seed = name_seed(file, "host-1", "me").seed
    assert change(file, token="t-2") == load(file) == UserSettings("https://h", "t-2", seed)
    assert change(file, token="") == load(file) == UserSettings("https://h", "", seed)


@posix
def test_a_symbolic_link_stays_one(file, tmp_path):
    kept = written(tmp_path / "dotfiles" / "settings.toml", "token = 't'")
    file.parent.mkdir(parents=True)
    file.symlink_to(kept)
    change(file, token="t-2")
    assert file.is_symlink()
    assert load(kept).token == "t-2"


def test_a_write_that_fails_leaves_the_old_file_alone(file, monkeypatch):
    change(file, token="t-1")
    monkeypatch.setattr(os, "fsync", lambda _descriptor: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        change(file, token="t-2")
    assert load(file).token == "t-1"
    assert [found.name for found in file.parent.iterdir()] == ["settings.toml"]


@given(PRINTABLE, PRINTABLE, PRINTABLE)
def test_every_value_comes_back(tmp_path_factory, gateway, token, seed):
    file = tmp_path_factory.mktemp("any") / "settings.toml"
    values = UserSettings(gateway, token, seed)
    assert change(file, gateway=gateway, token=token, name_seed=seed) == values
    assert load(file) == values


def test_the_seed_is_made_once(file):
    first = name_seed(file, "host-1", "me")
    assert first == name_seed(file, "host-2", "you") == user_settings.NameSeed(load(file).name_seed)
    assert len(first.seed) == 32
    assert name_seed(file.with_name("other.toml"), "host-1", "me") != first


def test_without_names_to_give_no_file_is_made_for_a_seed(file):
    first = name_seed(file, "host-1", "me", gives_names=False)
    assert first == name_seed(None, "host-1", "me", gives_names=False)
    assert first.warning == ""
    assert not file.parent.exists()
    kept = name_seed(file, "host-1", "me")
    assert kept != first
    assert kept == name_seed(file, "host-1", "me", gives_names=False)


def test_many_that_start_at_once_have_one_seed(file):
    seeds: list[str] = []
    threads = [threading.Thread(target=lambda: seeds.append(name_seed(file, "h", "me").seed)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(seeds) == {load(file).name_seed}
    assert len(seeds) == 16


def test_a_seed_that_cannot_be_kept_is_the_same_the_next_time(tmp_path):
    (tmp_path / "home").write_text("a file where a folder should be")
    file = tmp_path / "home" / ".config" / "settings.toml"
    first = name_seed(file, "host-1", "me")
    assert first == name_seed(file, "host-1", "me")
    assert first.warning == (
        f"{file} cannot be written: Not a directory; "
        "given addresses change when the name of this machine does"
    )  # fmt: skip
    assert len({first.seed, name_seed(file, "host-2", "me").seed, name_seed(file, "host-1", "you").seed}) == 3
    assert name_seed(None, "host-1", "me").warning.startswith("this user has no home directory; given addresses")


def test_a_home_that_cannot_be_read(file, monkeypatch):
    def refuse(_file):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert name_seed(file, "host-1", "me").warning.startswith(f"{file} cannot be read: Permission denied; given")
    with pytest.raises(SettingsError, match="cannot be read: Permission denied"):
        load(file)
