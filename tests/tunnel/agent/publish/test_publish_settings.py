"""What `tunnel-agent http` is told: by options, variables, the user's settings and defaults."""

import pytest

from tunnel.agent import options
from tunnel.agent.settings import PublishSettings, for_publishing
from tunnel.agent.source import SettingsError

GIVEN = ["--gateway", "https://g.example.com", "--token", "t-1"]


@pytest.fixture
def home(tmp_path):
    """A user's, in which settings may be kept."""
    folder = tmp_path / ".config" / "tunnel-agent"
    folder.mkdir(parents=True)
    return tmp_path


def settings(home, *arguments: str, **environment: str) -> PublishSettings:
    line = options.parse(["http", *arguments])
    return for_publishing(line, {"HOME": str(home), "USER": "me", **environment}, "host-1")


def test_the_smallest_command_line(home):
    chosen = settings(home, "5173", *GIVEN)
    agent = chosen.agent
    assert [gateway.url for gateway in agent.gateways] == ["wss://g.example.com/agent"]
    assert (agent.cluster, agent.dialect, agent.log_level, agent.read_token()) == ("", "yamux", "warning", "t-1")
    assert [str(entry.destination) for entry in agent.services] == ["localhost:5173"]
    assert (agent.allow, agent.health_bind) == ((), None)
    assert agent.agent_id.startswith("host-1-")
    assert agent.agent_id.endswith("-5173")
    assert chosen.warnings == ()


def test_the_user_has_everything_in_a_file(home):
    file = home / ".config" / "tunnel-agent" / "settings.toml"
    file.write_text('gateway = "https://g.example.com"\ntoken = "t-2"\nname_seed = "seed-1"\n')
    file.chmod(0o600)
    chosen = settings(home, "5173")
    assert [gateway.url for gateway in chosen.agent.gateways] == ["wss://g.example.com/agent"]
    assert (chosen.agent.read_token(), chosen.name_seed) == ("t-2", "seed-1")
    file.chmod(0o644)
    (warning,) = settings(home, "5173").warnings
    assert "others can read the token" in warning


def test_a_running_agent_s_variables_mean_nothing_here(home):
    """A shell in a pod may have them all."""
    more = {"AGENT_ID": "agent-7", "AGENT_SERVICE": "a.b:1=c:2", "AGENT_ALLOW": "*/*:*", "AGENT_DIALECT": "json"}
    agent = settings(home, "5173", *GIVEN, **more, AGENT_CLUSTER="c1", KUBERNETES_SERVICE_HOST="10.96.0.1").agent
    assert [str(entry.destination) for entry in agent.services] == ["localhost:5173"]
    assert (agent.allow, agent.dialect, agent.cluster) == ((), "yamux", "c1")
    assert agent.agent_id.startswith("host-1-")
    assert agent.api_hosts == ("10.96.0.1",)


def test_the_id_is_the_same_at_the_next_start_and_for_other_ports_another(home):
    ids = [settings(home, *ports, *GIVEN).agent.agent_id for ports in (["1"], ["1"], ["2"], ["1", "2"])]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


def test_rewrites(home):
    arguments = ["80", "--host", "a.b/x", "--strip-prefix", "--add-prefix", "/y", "--https-redirect"]
    (route,) = settings(home, *arguments, "--host-header", "keep", *GIVEN).plan.routes
    assert (route.host, route.path, route.host_header) == ("a.b", "/x", "")
    assert (route.strip_prefix, route.add_prefix, route.https_redirect) == (True, "/y", True)


def test_the_first_target_may_have_a_given_name(home):
    plan = settings(home, "80", "81", "--host", "", "--host", "b.c", *GIVEN).plan
    assert [(route.port, route.host) for route in plan.routes] == [(80, ""), (81, "b.c")]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["web", *GIVEN], "TARGET: 'web' has no port"),
        (["80", "--host", "a:1", *GIVEN], "--host: 'a:1' has a port"),
        (["80", "--host", "a", "--host", "b", *GIVEN], "--host: more of them"),
        (["80", "--strip-prefix", *GIVEN], "--strip-prefix: needs a --host with a path"),
        (["80", "--token", "t"], "--gateway (AGENT_GATEWAY): is required"),
        (["80", "--gateway", "https://g"], "--token-file (AGENT_TOKEN_FILE) or --token (AGENT_TOKEN)"),
        (["80", "--cluster", "a b", *GIVEN], "--cluster (AGENT_CLUSTER): 'a b' is not"),
        (["80", "--log-level", "loud", *GIVEN], "--log-level (AGENT_LOG_LEVEL): 'loud' is not one of"),
        (["80", "--token-file", "/nowhere/token", *GIVEN], "--token-file (AGENT_TOKEN_FILE): /nowhere/token cannot"),
    ],
)
def test_wrong_settings_are_refused_by_name(home, arguments: list[str], said: str):
    with pytest.raises(SettingsError) as caught:
        settings(home, *arguments)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("option", ["--service=a.b:1=c:2", "--allow=a/b:1", "--dialect=json", "--agent-id=x",
                                    "--health-bind=:1"])  # fmt: skip
def test_options_of_a_running_agent_before_the_command_are_of_no_use(home, option: str):
    with pytest.raises(SettingsError, match=rf"^{option.partition('=')[0]}: has no effect on http"):
        for_publishing(options.parse([option, "http", "80", *GIVEN]), {"HOME": str(home)}, "host-1")
