"""`login` and `logout` without a gateway: where the token comes from, what is kept, and that it is never shown."""

import getpass
import io
import os

import pytest

from tunnel.agent import login, settings, user_settings
from tunnel.agent.check.findings import Finding, Verdict
from tunnel.agent.options import parse
from tunnel.agent.source import SettingsError

TOKEN = "hush-hush"
GATEWAY = "https://tunnel.example.com"


class World:
    """A user with a home, and a gateway that takes some token."""

    def __init__(self, folder, monkeypatch):
        self.environment = {"HOME": str(folder), "APPDATA": str(folder)}
        self.file = user_settings.place(self.environment)
        self.taken = TOKEN
        self.tried = []
        self.monkeypatch = monkeypatch
        world = self

        class Check:
            def __init__(self, settings, gateway):
                self.settings, self.gateway = settings, gateway

            async def run(self):
                world.tried.append((self.gateway.url, self.settings.cluster, self.settings.read_token()))
                verdict, text = Verdict.OK, "the gateway accepts this agent for cluster c1"
                if self.settings.read_token() != world.taken:
                    verdict, text = Verdict.FAILED, "the token is unknown here"
                return [Finding(self.gateway.label, "token", verdict, text, "ask for another")]

        monkeypatch.setattr(login, "GatewayCheck", Check)

    def typed(self, text):
        self.monkeypatch.setattr("sys.stdin", io.StringIO(text))

    def run(self, *arguments):
        return login.log_in(settings.for_login(parse(["login", *arguments]), self.environment, "host-1"))


@pytest.fixture
def world(tmp_path, monkeypatch):
    made = World(tmp_path, monkeypatch)
    made.typed(f"{TOKEN}\n")
    return made


def test_what_works_is_kept(world, capsys):
    assert world.run("--gateway", GATEWAY) == 0
    assert world.tried == [("wss://tunnel.example.com/agent", "", TOKEN)]
    assert user_settings.load(world.file) == user_settings.UserSettings(GATEWAY, TOKEN)
    said = capsys.readouterr()
    assert said.out == (
        f"{GATEWAY}: the gateway accepts this agent for cluster c1\nsaved the gateway and the token in {world.file}\n"
    )
    assert said.err == ""


def test_what_does_not_work_is_not_kept(world, capsys):
    world.taken = "another"
    assert world.run("--gateway", GATEWAY) == 1
    assert not world.file.exists()
    said = capsys.readouterr()
    assert "the token is unknown here" in said.out
    assert "-> ask for another" in said.out
    assert said.err == (
        f"tunnel-agent: nothing was written to {world.file}; --no-check saves the token without trying it\n"
    )
    assert TOKEN not in said.out + said.err


def test_without_a_check_nothing_is_tried(world):
    world.taken = "another"
    assert world.run("--gateway", GATEWAY, "--no-check") == 0
    assert world.tried == []
    assert user_settings.load(world.file).token == TOKEN


def test_a_new_token_for_the_same_gateway(world):
    user_settings.change(world.file, gateway=GATEWAY, token="old", name_seed="seed")
    assert world.run("--cluster", "c2") == 0
    assert world.tried == [("wss://tunnel.example.com/agent", "c2", TOKEN)]
    assert user_settings.load(world.file) == user_settings.UserSettings(GATEWAY, TOKEN, "seed")


def test_a_token_in_a_file(world, tmp_path):
    world.typed("")
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    assert world.run("--gateway", GATEWAY, "--token-file", str(tmp_path / "token")) == 0
    with pytest.raises(SettingsError, match=r"--token-file .* cannot be read: No such file or directory"):
        world.run("--gateway", GATEWAY, "--token-file", str(tmp_path / "none"))


@pytest.mark.parametrize("text", ["", "\n"])
def test_no_token_at_all(world, text):
    world.typed(text)
    with pytest.raises(SettingsError, match="no token was given: type it when asked"):
        world.run("--gateway", GATEWAY)
    assert world.tried == []


@pytest.mark.parametrize("text", ["two words\n", "\x1b[2J", "x" * 5_000, "caf\u00e9"])
def test_what_can_be_no_token(world, text):
    world.typed(text)
    with pytest.raises(SettingsError, match="the token on standard input must be printable characters without blanks"):
        world.run("--gateway", GATEWAY)
    assert world.tried == []


def test_a_person_types_it_unseen(world, capsys):
    asked = []
    world.typed("")
    world.monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    world.monkeypatch.setattr(getpass, "getpass", lambda prompt: asked.append(prompt) or TOKEN)
    assert world.run("--gateway", GATEWAY) == 0
    assert asked == [f"Token for {GATEWAY}: "]
    assert TOKEN not in capsys.readouterr().out


@pytest.mark.parametrize(("raised", "told"), [(KeyboardInterrupt, KeyboardInterrupt), (EOFError, SettingsError)])
def test_a_person_who_types_nothing(world, raised, told):
    def leave(_prompt):
        raise raised

    world.monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    world.monkeypatch.setattr(getpass, "getpass", leave)
    with pytest.raises(told, match="no token was given" if told is SettingsError else None):
        world.run("--gateway", GATEWAY)
    assert not world.file.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], r"--gateway \(AGENT_GATEWAY\): login needs exactly one; for example https://gateway.example.com"),
        (["--gateway", "https://a", "--gateway", "https://b"], "login needs exactly one"),
        (["--gateway", "ftp://a"], r"--gateway \(AGENT_GATEWAY\): 'ftp://a' is not"),
        (["--gateway", GATEWAY, "--cluster", "a b"], "letters, digits"),
    ],
)
def test_wrong_settings(world, arguments, said):
    with pytest.raises(SettingsError, match=said):
        world.run(*arguments)


def test_a_mistyped_gateway_in_the_file_is_named_with_it(world):
    user_settings.change(world.file, gateway="tunnel.example.com")
    with pytest.raises(SettingsError, match=r"settings.toml: gateway: .* is it https://tunnel.example.com[?]"):
        world.run()


def test_a_token_on_the_command_line_is_refused_and_not_shown(world):
    line = parse(["--token", TOKEN, "login", "--gateway", GATEWAY])
    with pytest.raises(SettingsError, match="--token: others on this machine can see it") as caught:
        settings.for_login(line, world.environment, "host-1")
    assert TOKEN not in str(caught.value)


def test_a_user_without_a_home(world):
    world.environment = {}
    with pytest.raises(SettingsError, match="this user has no home directory: set HOME or XDG_CONFIG_HOME"):
        world.run("--gateway", GATEWAY)


def test_a_bad_file_is_named_before_anybody_types_a_token(world):
    world.monkeypatch.setattr("sys.stdin", None)
    world.file.parent.mkdir(parents=True)
    world.file.write_text("tokn = 'x'")
    with pytest.raises(SettingsError, match="'tokn' is not a known key"):
        world.run("--gateway", GATEWAY)


def test_variables_that_win_are_named(world, capsys):
    world.environment |= {"AGENT_GATEWAY": GATEWAY, "AGENT_TOKEN": "other"}
    assert world.run() == 0
    assert world.tried[0][2] == TOKEN
    assert capsys.readouterr().err.splitlines() == [
        f"tunnel-agent: {name} is set, and is used instead of what that file says"
        for name in ("AGENT_GATEWAY", "AGENT_TOKEN")
    ]


def test_a_home_that_cannot_be_written(world, capsys):
    world.file.parent.parent.mkdir(parents=True)
    world.file.parent.write_text("a file where a folder should be")
    assert world.run("--gateway", GATEWAY) == 1
    assert f"tunnel-agent: {world.file} cannot be written: " in capsys.readouterr().err


def test_a_full_disk_is_told_by_both(world, capsys):
    user_settings.change(world.file, gateway=GATEWAY, token="old")

    def refuse(_descriptor):
        raise OSError(28, "No space left on device")

    world.monkeypatch.setattr(os, "fsync", refuse)
    assert world.run() == login.log_out(world.file) == login.FAILED
    assert capsys.readouterr().err == f"tunnel-agent: {world.file} cannot be written: No space left on device\n" * 2
    assert user_settings.load(world.file).token == "old"


def test_logout(world, capsys):
    user_settings.change(world.file, gateway=GATEWAY, token=TOKEN, name_seed="seed")
    assert login.log_out(world.file) == 0
    assert user_settings.load(world.file) == user_settings.UserSettings(GATEWAY, "", "seed")
    assert login.log_out(world.file) == login.log_out(None) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[0] == f"removed the token from {world.file}"
    assert said.count("no token is saved") == 2
