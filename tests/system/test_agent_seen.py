"""An agent that can be seen: its own endpoints, `status` and `check`, with real processes.

What a rollout rests on: an agent with a wrong token is never ready and says why, in its page, in its log and to
`tunnel-agent status`; one that a gateway has taken is ready; and a check disturbs neither.
"""

import http.client
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.clients import RawClient
from tests.system.conftest import tunnel_only
from tests.system.harness import LOOPBACK, TOKEN, UNDER_UVICORN, Stack, free_port
from tests.system.process import ROOT, Process, wait_until

pytestmark = [tunnel_only]

Make = Callable[..., Stack]
UNKNOWN = "nobody-knows-this-token"


class SeenAgent:
    """An agent with its own endpoints, and with a token in a file."""

    def __init__(self, stack: Stack, token: str, *more: str) -> None:
        self.stack = stack
        self.port = free_port()
        self.token_file = stack.folder / "agent-token"
        self.token_file.write_text(token)
        self.options = (
            *("--gateway", f"ws://{LOOPBACK}:{stack.port}/agent", "--cluster", "c1", "--agent-id", "seen"),
            *("--token-file", str(self.token_file), "--dialect", stack.dialect),
            *(service.option for service in stack.services.values()),
            *more,
        )
        self.bind = f"{LOOPBACK}:{self.port}"
        self.process: Process = stack.processes.python(
            "agent seen", "tunnel.agent", *self.options, AGENT_HEALTH_BIND=self.bind
        )
        self.process.wait_line("health endpoints at")

    def get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`tunnel-agent` with these arguments, in the environment of the running one."""
        return subprocess.run(
            [sys.executable, "-m", "tunnel.agent", *arguments],
            cwd=ROOT, env={"AGENT_HEALTH_BIND": self.bind, "PATH": ""}, capture_output=True, text=True, check=False,
            timeout=60,
        )  # fmt: skip

    def refused(self) -> int:
        """Dials that the gateway refused."""
        refused: int = json.loads(self.get("/status")[1])["gateways"][0]["dials"]["refused"]
        return refused

    def wait_ready(self) -> None:
        wait_until(lambda: self.get("/readyz")[0] == 200, 30, "the agent is ready")


def links_lines(stack: Stack) -> list[str]:
    return [line for line in stack.gateway.output() if "link-" in line]


@pytest.mark.skipif(UNDER_UVICORN, reason="without a refusal's body: the server answers with its own")
def test_an_agent_with_a_wrong_token_is_never_ready_and_says_why(own_stack: Make) -> None:
    stack = own_stack().start(agent=False)
    agent = SeenAgent(stack, UNKNOWN)
    agent.process.wait_line(
        "the gateway answered 503 (agent_refused): The agent's token is unknown here", "next attempt"
    )
    assert agent.get("/healthz") == (200, "ok\n")
    for attempts in (1, 3):
        wait_until(lambda n=attempts: agent.refused() >= n, 30, f"{attempts} attempts")  # type: ignore[misc]
        status, text = agent.get("/readyz")
        assert status == 503
        assert text.startswith(f"not ready: registered at no gateway\nws://{LOOPBACK}:{stack.port}/agent: ")
    told = agent.run("status", "--json")
    assert told.returncode == 1
    (gateway,) = json.loads(told.stdout)["gateways"]
    assert "(agent_refused)" in gateway["last_failure"]["text"]
    assert gateway["dials"]["ready"] == 0
    assert gateway["dials"]["refused"] >= 3
    assert "(agent_refused)" in agent.run("status").stdout
    pages = "".join(agent.get(path)[1] for path in ("/readyz", "/status", "/metrics"))
    assert UNKNOWN not in pages + "".join(agent.process.output()) + told.stdout

    agent.token_file.write_text(TOKEN)  # the Secret is put right: the running pod takes it up
    agent.wait_ready()
    assert agent.run("status").returncode == 0
    assert agent.process.stop() == 0


def test_what_an_agent_shows_of_its_traffic(own_stack: Make) -> None:
    stack = own_stack().start(agent=False)
    agent = SeenAgent(stack, TOKEN)
    agent.wait_ready()
    with RawClient(stack.address("plain")) as client:
        client.request("GET /small?n=1 HTTP/1.1", "plain")
        assert client.answer().status == 200
    report = json.loads(agent.get("/status")[1])
    assert (report["ready"], report["cluster"], report["agent_id"]) == (True, "c1", "seen")
    assert report["client_to_service_bytes"] > 0
    assert report["service_to_client_bytes"] > 0
    (gateway,) = report["gateways"]
    assert (gateway["state"], gateway["reconnects"], gateway["dials"]["ready"]) == ("ready", 0, 1)
    wait_until(lambda: " round trip " in agent.run("status").stdout, 30, "the round trip was measured")
    assert f'agent_links{{gateway="ws://{LOOPBACK}:{stack.port}/agent",state="ready"}} 1' in agent.get("/metrics")[1]

    stack.gateway.stop()
    wait_until(lambda: agent.get("/readyz")[0] == 503, 30, "the agent is not ready")
    assert agent.get("/healthz")[0] == 200
    stack.start_gateway()
    agent.wait_ready()
    (gateway,) = json.loads(agent.get("/status")[1])["gateways"]
    assert (gateway["reconnects"], gateway["last_failure"] is not None) == (1, True)


def test_a_check_disturbs_no_running_agent(own_stack: Make) -> None:
    stack = own_stack().start(agent=False)
    agent = SeenAgent(stack, TOKEN)
    agent.wait_ready()
    link = json.loads(agent.get("/status")[1])["gateways"][0]["link"]
    checked = agent.run("check", *agent.options, "--json")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    found = {(entry["subject"], entry["step"]): entry["verdict"] for entry in json.loads(checked.stdout)["checks"]}
    assert set(found.values()) == {"ok"}
    assert {step for _, step in found} == {"dns", "tcp", "clock", "upgrade", "token"}
    assert ("service apps/plain:80", "tcp") in found
    wait_until(lambda: any("only a check" in line for line in links_lines(stack)), 30, "the check has left")
    assert not [line for line in links_lines(stack) if "-check-" in line and "serves cluster" in line]
    gateway = json.loads(agent.get("/status")[1])["gateways"][0]
    assert (gateway["link"], gateway["state"], gateway["reconnects"]) == (link, "ready", 0)


def test_a_check_names_a_wrong_path_cluster_and_service(own_stack: Make) -> None:
    stack = own_stack().start(agent=False)
    agent = SeenAgent(stack, TOKEN)
    wrong = agent.run(
        "check", "--gateway", f"ws://{LOOPBACK}:{stack.port}/nowhere", "--gateway", f"ws://{LOOPBACK}:{stack.port}/agent",
        "--token", TOKEN, "--cluster", "c9", "--service", f"gone.apps:80={LOOPBACK}:9",
    )  # fmt: skip
    assert wrong.returncode == 1
    assert "a gateway's is /agent" in wrong.stdout
    assert "does not serve cluster 'c9'" in wrong.stdout
    assert "check that the service runs and listens on this port" in wrong.stdout
    assert wrong.stdout.endswith("3 failed, 0 to look at\n")
    assert TOKEN not in wrong.stdout + wrong.stderr
    unusable = agent.run("check", "--gateway", "nowhere", "--token", TOKEN, "--cluster", "c1")
    assert (unusable.returncode, unusable.stdout) == (2, "")
    assert unusable.stderr.startswith("tunnel-agent: --gateway (AGENT_GATEWAY): ")


def test_a_token_that_sets_another_dialect(own_stack: Make) -> None:
    stack = own_stack()
    file = stack.write_config()
    stack.write_config = lambda: file  # type: ignore[method-assign]
    file.write_text(file.read_text().replace("[[agents]]", '[[agents]]\ndialect = "json"'))
    stack.start(agent=False)
    base = ("check", "--gateway", f"ws://{LOOPBACK}:{stack.port}/agent", "--token", TOKEN, "--cluster", "c1")
    run = [sys.executable, "-m", "tunnel.agent", *base]
    fits = subprocess.run([*run, "--dialect", "json"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert fits.returncode == 0, fits.stdout
    other = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=False)
    assert other.returncode == 1
    assert "speaks json with this token's agents" in other.stdout


def test_status_without_an_agent(tmp_path: Path) -> None:
    asked = [sys.executable, "-m", "tunnel.agent", "status", "--url", f"http://{LOOPBACK}:{free_port()}"]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, "")
    assert "no agent answers at" in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_address_that_is_taken_is_one_line_and_status_two(own_stack: Make) -> None:
    stack = own_stack().start(agent=False)
    agent = SeenAgent(stack, TOKEN)
    second = agent.run(*agent.options)
    assert second.returncode == 2
    assert second.stderr.splitlines()[-1].startswith(
        "tunnel-agent: --health-bind (AGENT_HEALTH_BIND): cannot listen on"
    )
    assert "Traceback" not in second.stderr
