"""How the demonstration publishes: a configuration that the gateway takes, and a command line that the agent takes."""

import shlex
import sys
from pathlib import Path

from app.demo import publish
from app.settings import load
from tunnel.agent import options


def test_the_gateway_takes_the_configuration(tmp_path: Path):
    file = tmp_path / "gateway.toml"
    file.write_text(publish.configuration("token-of-the-demo"))
    settings = load(str(file))
    (grant,) = settings.grants.values()
    assert (grant.clusters, grant.hosts) == (("demo",), ("*.localhost",))
    assert settings.drain_delay + settings.shutdown_grace < 1


def test_the_agent_takes_the_command(tmp_path: Path):
    command = publish.command(8081, tmp_path / "token", {"demo.localhost": 1234, "chat.localhost": 5678})
    assert command[:5] == ["/usr/bin/env", f"XDG_CONFIG_HOME={tmp_path}", sys.executable, "-m", "tunnel.agent"]
    line = options.parse(command[5:])
    assert line.command == "http"
    assert line.given["gateway"] == ["http://127.0.0.1:8081"]
    assert line.given["host"] == ["demo.localhost", "chat.localhost"]
    assert line.given["targets"] == ["1234", "5678"]


def test_what_the_user_pastes_is_the_same_command(tmp_path: Path):
    pasted = shlex.split(publish.of_users_own(8081, tmp_path / "a folder" / "token"))
    line = options.parse(pasted[3:])
    assert line.given["token_file"] == str(tmp_path / "a folder" / "token")
    assert line.given["host"] == ["me.localhost"]
