"""`docs/cluster.md`, "A first cluster, in five minutes", as it stands there: its file, its commands, what they show."""

import json
import os
import re
import secrets
import shlex
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from tests.system.harness import LOOPBACK, free_port
from tests.system.process import ROOT, Processes, wait_until

PORTS = ("4222", "8081", "8082", "8083", "9001", "9002", "9003", "3001")
"""As the page has them; the test has others."""
PROGRAMS = {
    "nats-server": [str(Path(sys.executable).with_name("nats-server"))],
    "tunnel-gateway": [sys.executable, "-m", "app"],
    "tunnel-agent": [sys.executable, "-m", "tunnel.agent"],
}


class Section:
    """Its blocks, with these ports in place of those that stand there."""

    def __init__(self) -> None:
        page = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
        text = page.partition("\n## A first cluster, in five minutes\n")[2].partition("\n### ")[0]
        free: set[int] = set()
        while len(free) < len(PORTS):
            free.add(free_port())
        ports = dict(zip(PORTS, map(str, free), strict=True))
        self.service_port = ports["3001"]
        pattern = "|".join(
            f"(?<=127.0.0.1:){port}|(?<=-p ){port}|(?<=--port ){port}|(?<=3001=){port}" for port in PORTS
        )
        text = re.sub(pattern, lambda found: ports[found[0]], text)
        blocks = re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL)
        self.toml = next(block for kind, block in blocks if kind == "toml")
        install, started, asked, (self.check,) = ([*block.splitlines()] for kind, block in blocks if kind == "sh")
        self.secrets = [line.split()[-1] for line in install if line.startswith("openssl rand")]
        self.started, self.asked = started, asked


def argued(line: str) -> tuple[dict[str, str], list[str]]:
    """Variables and command of a shell's line."""
    words = shlex.split(line)
    variables = [word for word in words if re.fullmatch(r"GATEWAY_\w+=.*", word)]
    program, *arguments = words[len(variables) :]
    return dict(word.split("=", 1) for word in variables), [*PROGRAMS[program], *arguments]


def curled(line: str) -> bytes:
    """What `curl -H 'Host: ...' URL` prints; empty: nobody answers yet."""
    _, _, header, url = shlex.split(line)
    parts, (name, value) = urlsplit(url), header.split(": ")
    assert parts.hostname is not None
    connection = HTTPConnection(parts.hostname, parts.port, timeout=10)
    try:
        connection.request("GET", parts.path, headers={name: value})
        return connection.getresponse().read()
    except ConnectionError:
        return b""
    finally:
        connection.close()


def test_it_works_as_it_stands_there(processes: Processes, tmp_path: Path) -> None:
    section = Section()
    (tmp_path / "gateway.toml").write_text(section.toml)
    for name in section.secrets:
        (tmp_path / name).write_text(secrets.token_hex(32))
    (tmp_path / "index.html").write_text("kuma")
    processes.python("service", "http.server", section.service_port, "--bind", LOOPBACK, cwd=tmp_path)
    assert len(section.started) == 5
    for line in section.started:
        variables, command = argued(line)
        processes.start("part", command, {**variables, "PYTHONPATH": str(ROOT)}, tmp_path)

    curl, nodes = section.asked
    wait_until(lambda: curled(curl) == b"kuma", 30, "node c serves what the agent of node a has")
    _, command = argued(f"{nodes} --json")

    def states() -> set[tuple[str, str]]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        asked = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        return {(row["name"], row["state"]) for row in json.loads(asked.stdout)["nodes"]}

    known = {("a", "live"), ("b", "live"), ("c", "connected")}
    wait_until(lambda: states() == known, 30, "node c knows the others")

    variables, command = argued(section.check)
    environment = {**os.environ, **variables, "PYTHONPATH": str(ROOT)}
    tried = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout
    assert {f"({name}) at " in tried for name in "abc"} == {True}
