"""Secrets in every place that can hold one: none is in the file of `tunnel-gateway diag`, nor in the gateway's log."""

import asyncio
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.system.clients import RawClient, websocket
from tests.system.conftest import tunnel_only
from tests.system.harness import LOOPBACK, TOKEN, UNDER_UVICORN, Service, Stack, free_port
from tests.system.hostile import hostile
from tests.system.process import ROOT, Processes, wait_until
from tests.system.test_drain import ADMIN, BEARER, ask

pytestmark = [pytest.mark.anyio, tunnel_only]

ENDS_SECONDS = 60.0
SECRETS = {
    "the admin token": ADMIN,
    "an agent's token": TOKEN,
    "the token of an agent that is refused": "planted-1-refused-token",
    "a header that a route sets": "planted-2-route-header",
    "a header that all routes set": "planted-3-header-of-all",
    "a query string": "planted-4-query",
    "a cookie": "planted-5-cookie",
    "Authorization of a request": "planted-6-authorization",
    "another header of a request": "planted-7-api-key",
    "a query string that no route has": "planted-8-lost-query",
    "a query string of a WebSocket": "planted-9-socket-query",
    "what an agent says went wrong": "planted-10-agent-error",
    "a wrong admin token": "planted-11-wrong-admin",
    "a path of agents, with a query": "planted-12-agent-query",
    "a body": "planted-13-body",
}

FOREIGN = ("uvicorn.", "websockets.") if UNDER_UVICORN else ()
"""Loggers of plain uvicorn and its WebSocket library: they write targets and heads themselves (docs/security.md)."""


def header(name: str, value: str) -> str:
    return f'{{ set = {{ "{name}" = "{value}" }} }}'


class Planted(Stack):
    """A stack whose file has a secret in each place for one."""

    def write_config(self) -> Path:
        path = super().write_config()
        text = path.read_text()
        of_all = f"request_headers = {header('x-all', SECRETS['a header that all routes set'])}\n"
        of_route = f"request_headers = {header('authorization', SECRETS['a header that a route sets'])}\n"
        path.write_text(of_all + text.rstrip("\n") + "\n" + of_route)
        return path


def refused_agent(stack: Stack) -> None:
    """An agent that nobody knows, with a secret for its token."""
    options = ("--gateway", f"ws://{LOOPBACK}:{stack.port}/agent", "--cluster", "c1", "--agent-id", "refused")
    token = SECRETS["the token of an agent that is refused"]
    stack.processes.python("refused agent", "tunnel.agent", *options, "--token", token)
    wait_until(lambda: b"link_refused" in ask(stack.port, "GET /-/events HTTP/1.1", BEARER).body, 30, "it was refused")


def logger_of(line: str) -> str:
    """The third word of a line of the log."""
    return (line.split(maxsplit=3) + [""] * 3)[2]


def diag(stack: Stack, file: Path) -> dict[str, bytes]:
    """The files that the program writes."""
    environment = {**os.environ, "GATEWAY_URL": f"http://{LOOPBACK}:{stack.port}", "GATEWAY_ADMIN_TOKEN": ADMIN}
    command = [sys.executable, "-m", "app", "diag", str(file)]
    ended = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=ENDS_SECONDS, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    found = {}
    with tarfile.open(file) as tar:
        for entry in tar:
            content = tar.extractfile(entry)
            assert content is not None
            found[entry.name.rpartition("/")[2]] = content.read()
    return found


async def test_no_secret_is_in_the_bundle_nor_in_the_log(processes: Processes, tmp_path: Path) -> None:
    (tmp_path / "admin-token").write_text(ADMIN)
    stack = Planted(tmp_path, processes, {"admin_token_file": "admin-token", "log_level": "debug"})
    stack.add_program("ws", "tests.services.websocket")
    stack.add(Service("closed", free_port()))
    stack.add(Service("hostile", free_port(), cluster="c2"))
    stack.add_program("plain", "tests.services.plain")
    stack.start()
    refused_agent(stack)
    planted = SECRETS
    ask(stack.port, "GET /-/status HTTP/1.1", f"Authorization: Bearer {planted['a wrong admin token']}")
    ask(stack.port, f"GET /agent?token={planted['a path of agents, with a query']} HTTP/1.1")
    ask(stack.port, f"GET /x?q={planted['a query string that no route has']} HTTP/1.1", host="nobody.example.test")
    fields = (
        f"Cookie: session={planted['a cookie']}",
        f"Authorization: Bearer {planted['Authorization of a request']}",
        f"X-Api-Key: {planted['another header of a request']}",
    )
    with RawClient((LOOPBACK, stack.port)) as failing:
        failing.request(f"GET /failed?key={planted['a query string']} HTTP/1.1", "closed", *fields)
        assert failing.answer().status == 502
    url = stack.url("ws", f"/echo?token={planted['a query string of a WebSocket']}", "ws")
    async with hostile(stack, "c2") as agent, websocket(url, compression=None):
        with RawClient((LOOPBACK, stack.port)) as broken, RawClient((LOOPBACK, stack.port)) as running:
            broken.request("GET /broken HTTP/1.1", "hostile", *fields)
            said = f"dial http://a.test/?key={planted['what an agent says went wrong']} failed"
            await agent.say("proxy_error", await agent.asked(), {"error": said})
            await asyncio.to_thread(broken.answer)
            body = planted["a body"].encode()
            length = f"Content-Length: {len(body)}"
            line = f"POST /never?id=diag&key={planted['a query string']} HTTP/1.1"
            running.request(line, "plain", *fields, length, body=body)
            wait_until(lambda: b"/never" in ask(stack.port, "GET /-/exchanges HTTP/1.1", BEARER).body, 30, "it runs")
            files = await asyncio.to_thread(diag, stack, tmp_path / "gateway.tar.gz")
            for exchange in json.loads(files["exchanges.json"])["exchanges"]:
                ask(stack.port, f"DELETE /-/exchanges/{exchange['id']} HTTP/1.1", BEARER)
    assert "missing.txt" not in files
    assert len(json.loads(files["exchanges.json"])["exchanges"]) == 2
    assert {"link_ready", "link_refused"} <= {event["kind"] for event in json.loads(files["events.json"])["events"]}
    headers = json.loads(files["configuration.json"])["settings"]["request_headers"]
    assert headers == {"set": {"x-all": "***"}, "remove": []}
    stack.gateway.wait_line("/never")
    log = "\n".join(line for line in stack.gateway.output() if not logger_of(line).startswith(FOREIGN))
    assert [(what, name) for what, one in SECRETS.items() for name, text in files.items() if one.encode() in text] == []
    assert [what for what, one in SECRETS.items() if one in log] == []
