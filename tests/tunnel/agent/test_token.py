"""Where gateway and token come from: the command line, else the variables, else the user's settings."""

import pytest

from tunnel.agent import user_settings
from tunnel.agent.settings import read
from tunnel.agent.source import SettingsError

CLUSTER = ["--cluster", "c1"]


@pytest.fixture
def home(tmp_path):
    """An environment with the settings of a user who is logged in."""
    environment = {"HOME": str(tmp_path), "APPDATA": str(tmp_path)}
    file = user_settings.place(environment)
    user_settings.change(file, gateway="https://kept", token="kept-token")
    return environment, file


def access(arguments, environment):
    settings = read([*CLUSTER, *arguments], environment, "host-1")
    return [gateway.label for gateway in settings.gateways], settings.read_token()


def test_the_users_settings_are_enough(home):
    environment, _ = home
    assert access([], environment) == (["wss://kept/agent"], "kept-token")


@pytest.mark.parametrize(
    ("arguments", "variables", "gateway", "token"),
    [
        (["--gateway", "https://given", "--token", "t"], {}, "wss://given/agent", "t"),
        ([], {"AGENT_GATEWAY": "https://named", "AGENT_TOKEN": "t"}, "wss://named/agent", "t"),
        (["--gateway", "https://g"], {"AGENT_GATEWAY": "https://named", "AGENT_TOKEN": "t"}, "wss://g/agent", "t"),
        (["--token", "t"], {}, "wss://kept/agent", "t"),
        ([], {"AGENT_TOKEN": "t"}, "wss://kept/agent", "t"),
        (["--token", "t"], {"AGENT_TOKEN": "other"}, "wss://kept/agent", "t"),
        ([], {"AGENT_GATEWAY": "wss://kept/agent"}, "wss://kept/agent", "kept-token"),
        ([], {"AGENT_GATEWAY": "", "AGENT_TOKEN": "", "AGENT_TOKEN_FILE": ""}, "wss://kept/agent", "kept-token"),
    ],
)  # fmt: skip
def test_the_order(home, arguments, variables, gateway, token):
    environment, _ = home
    assert access(arguments, {**environment, **variables}) == ([gateway], token)


def test_a_token_file_comes_before_the_settings(home, tmp_path):
    environment, _ = home
    (tmp_path / "token").write_text("from-file\n")
    for arguments, more in (
        (["--token-file", str(tmp_path / "token")], {}),
        ([], {"AGENT_TOKEN_FILE": str(tmp_path / "token")}),
    ):
        assert access(arguments, {**environment, **more}) == (["wss://kept/agent"], "from-file")


def test_settings_that_are_not_needed_are_not_read(home):
    environment, file = home
    file.write_text("nonsense")
    assert access(["--gateway", "https://given", "--token", "t"], environment) == (["wss://given/agent"], "t")
    with pytest.raises(SettingsError, match=r"settings.toml is not valid TOML"):
        access(["--token", "t"], environment)
    with pytest.raises(SettingsError, match=r"settings.toml is not valid TOML"):
        access(["--gateway", "https://given"], environment)


def test_the_token_is_told_to_no_other_gateway(home):
    environment, file = home
    with pytest.raises(SettingsError) as caught:
        access(["--gateway", "https://given"], environment)
    assert str(caught.value) == (
        "--token-file (AGENT_TOKEN_FILE) or --token (AGENT_TOKEN): one of them is required: "
        f"the token in {file} is for https://kept, not https://given"
    )
    with pytest.raises(SettingsError, match="is for https://kept"):
        access(["--gateway", "https://kept", "--gateway", "https://given"], environment)


def test_the_query_of_a_gateway_is_not_shown(home):
    environment, file = home
    user_settings.change(file, gateway="https://kept?key=hush")
    with pytest.raises(SettingsError, match="is for https://kept, not") as caught:
        access(["--gateway", "https://given"], environment)
    assert "hush" not in str(caught.value)


def test_a_token_that_was_kept_without_a_gateway_is_for_any(home):
    environment, file = home
    user_settings.change(file, gateway="")
    assert access(["--gateway", "https://given"], environment) == (["wss://given/agent"], "kept-token")


def test_another_login_is_taken_up_at_the_next_dial(home):
    environment, file = home
    settings = read(CLUSTER, environment, "host-1")
    user_settings.change(file, token="new-token")
    assert settings.read_token() == "new-token"
    user_settings.change(file, gateway="https://other", token="other-token")
    with pytest.raises(SettingsError, match="is for https://other, not https://kept"):
        settings.read_token()
    user_settings.change(file, gateway="https://kept", token="")
    with pytest.raises(SettingsError, match="or run `tunnel-agent login`, which saves the token in"):
        settings.read_token()
    file.write_text("gateway = 'ftp://hush'\ntoken = 't'")
    with pytest.raises(SettingsError, match=r"settings.toml: gateway: 'ftp://hush' is not a ws://"):
        settings.read_token()


def test_a_gateway_that_a_person_mistyped_is_named_with_its_file(home):
    environment, file = home
    user_settings.change(file, gateway="tunnel.example.com")
    with pytest.raises(SettingsError) as caught:
        access([], environment)
    assert str(caught.value).startswith(f"{file}: gateway: 'tunnel.example.com' is not a ws://")
    assert str(caught.value).endswith("; is it https://tunnel.example.com?")


def test_what_is_missing_without_them(home):
    environment, file = home
    file.unlink()
    with pytest.raises(SettingsError, match=r"--gateway \(AGENT_GATEWAY\): is required.*`tunnel-agent login` saves it"):
        access(["--token", "t"], environment)
    with pytest.raises(SettingsError, match="one of them is required; or run `tunnel-agent login`, which saves"):
        access(["--gateway", "https://given"], environment)


def test_a_file_that_others_can_read_is_warned_of(home):
    environment, file = home
    file.chmod(0o644)
    assert read(CLUSTER, environment, "host-1").token.warning == (
        f"others can read the token in {file}: run chmod 600 {file}"
    )
    assert read([*CLUSTER, "--token", "t"], environment, "host-1").token.warning == ""
