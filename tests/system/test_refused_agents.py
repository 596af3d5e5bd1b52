"""Agents that are refused, ours and the existing one: log, events and metrics of the gateway say which, and why."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.conftest import tunnel_only
from tests.system.existing_json import OneCluster
from tests.system.harness import LOOPBACK, TOKEN, Stack
from tests.system.process import Process, Processes, wait_until
from tests.system.test_drain import ADMIN, BEARER, ask

pytestmark = [tunnel_only]

WRONG = "not-the-token-of-the-system-tests"

Dial = Callable[[Stack, str, str], Process]


def ours(stack: Stack, token: str, cluster: str) -> Process:
    gateway = ("--gateway", f"ws://{LOOPBACK}:{stack.port}/agent")
    options = (*gateway, "--token", token, "--cluster", cluster, "--agent-id", "refused")
    return stack.processes.python("refused agent", "tunnel.agent", *options)


def existing(stack: Stack, token: str, cluster: str) -> Process:
    gateway = ("--gateway", f"ws://{LOOPBACK}:{stack.port}")
    options = (*gateway, "--token", token, "--cluster", cluster, "--agent-id", "refused", "--seed", "7")
    return stack.processes.python("refused stand-in", "tests.existing", *options)


@pytest.fixture(scope="module")
def stack(module_processes: Processes, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    folder: Path = tmp_path_factory.mktemp("refused")
    (folder / "admin-token").write_text(f"{ADMIN}\n")
    stack = OneCluster(folder, module_processes, {"admin_token_file": "admin-token"})
    return stack.start(agent=False)


def refusals(stack: Stack, code: str) -> list[dict[str, str]]:
    body = ask(stack.port, "GET /-/events?kind=link_refused HTTP/1.1", BEARER).body
    found: list[dict[str, str]] = json.loads(body)["events"]
    return [event for event in found if event["code"] == code]


def counted(stack: Stack, reason: str) -> float:
    text = ask(stack.port, "GET /metrics HTTP/1.1", BEARER).body.decode()
    name = f'gateway_agents_refused_total{{reason="{reason}"}}'
    return next(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name))


@pytest.mark.parametrize("dial", [ours, existing])
def test_an_agent_with_an_unknown_token(stack: Stack, dial: Dial) -> None:
    before = len(refusals(stack, "unknown_token"))
    agent = dial(stack, WRONG, "c1")
    wait_until(lambda: len(refusals(stack, "unknown_token")) > before, 30, "it was refused")
    agent.kill()
    event = refusals(stack, "unknown_token")[-1]
    assert (event["address"], event["level"]) == (LOOPBACK, "warning")
    assert event["token"] == f"sha256:{hashlib.sha256(WRONG.encode()).hexdigest()[:8]}"
    stack.gateway.wait_line(event["message"])
    assert counted(stack, "unknown_token") >= before + 1
    assert not [line for line in stack.gateway.output() if WRONG in line or TOKEN in line]


def test_an_agent_of_another_cluster(stack: Stack) -> None:
    agent = ours(stack, TOKEN, "c9")
    wait_until(lambda: bool(refusals(stack, "not_covered")), 30, "it was refused")
    event = refusals(stack, "not_covered")[-1]
    assert (event["cluster"], event["agent"]) == ("c9", "refused")
    agent.wait_line("this token does not serve cluster 'c9'")
    agent.kill()


def test_an_agent_at_a_wrong_path(stack: Stack) -> None:
    options = ("--gateway", f"ws://{LOOPBACK}:{stack.port}/agents", "--token", TOKEN, "--cluster", "c1")
    agent = stack.processes.python("lost agent", "tunnel.agent", *options)
    wait_until(lambda: bool(refusals(stack, "wrong_path")), 30, "it was refused")
    agent.kill()
    stack.gateway.wait_line("refused with 404: nothing for agents at path '/agents' (cluster c1, token sha256:")
