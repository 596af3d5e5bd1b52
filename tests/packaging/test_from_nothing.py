"""README's "Publish a port", as it stands there: from the wheels to a page, without a file but the token."""

import re
import shlex
import stat
from pathlib import Path

import pytest

from tests.packaging.environment import Environment
from tests.system.clients import RawClient
from tests.system.harness import LOOPBACK, free_port
from tests.system.process import ROOT, Process, Processes
from tests.system.publishing import PUBLISHED

pytestmark = pytest.mark.slow

MOST_COMMANDS = 3
TARGET, GATEWAY_PORT = "5173", "8080"
"""As README has them; each test has ports of its own."""


def commands() -> list[list[str]]:
    """Those of the first block of the section."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## Publish a port\n")[2]
    block = re.search(r"```sh\n(.*?)```", section, re.DOTALL)
    assert block is not None
    lines = [shlex.split(line, comments=True) for line in block[1].replace("\\\n", " ").splitlines()]
    return [words for words in lines if words]


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def test_three_commands_publish_a_port(installed: Environment, processes: Processes, tmp_path: Path) -> None:
    home, here = tmp_path / "home", tmp_path / "here"
    home.mkdir()
    here.mkdir()
    service = processes.python("plain", "tests.services.plain").wait_line("ready ").split()[-1]
    port = str(free_port())

    def start(words: list[str], **variables: str) -> Process:
        """A program of the wheels, as it is written, on ports that are free here."""
        words = [word.replace(TARGET, service).replace(GATEWAY_PORT, port) for word in words]
        clean = {"PYTHONPATH": "", "HOME": str(home), "XDG_CONFIG_HOME": "", **variables}
        return processes.start(words[0], [installed.program(words[0]), *words[1:]], clean, here)

    assert len(commands()) <= MOST_COMMANDS
    install, gateway, agent = commands()
    assert install == ["pip", "install", "./tunnel", "."]  # `installed` did
    assert (gateway[0], agent[:3]) == ("tunnel-gateway", ["tunnel-agent", "http", TARGET])
    start(gateway, GATEWAY_PORT=port).wait_line(" ready: ")
    line = start(agent).wait_line(PUBLISHED)
    where = f"me.localhost:{port}"
    assert line == f"http://localhost:{service}{PUBLISHED}http://{where}/"
    with RawClient((LOOPBACK, int(port))) as client:
        client.send(f"GET /small?n=1 HTTP/1.1\r\nHost: {where}\r\nConnection: close\r\n\r\n".encode())
        answer = client.answer()
    assert (answer.status, answer.body) == (200, b"small 1")
    assert files(here) == ["token"]
    assert stat.S_IMODE((here / "token").stat().st_mode) == 0o600
    assert files(home) == []
