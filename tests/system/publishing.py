"""`tunnel-agent http` as its user runs it, and a gateway that lets it publish.

Each publisher has a home of its own: two with the same home are two commands of one person on one machine.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from tests.system.harness import DOMAIN, LOOPBACK, Stack
from tests.system.process import START_SECONDS, Process

WILDCARD = f"dev.{DOMAIN}"
FULL = f"full.{DOMAIN}"
"""The file routes everything below it."""
MANY = f"many.{DOMAIN}"
"""Ten agents may publish a hundred routes each below it."""
MOST = 1_000
TOKENS = {domain: f"token-of-the-publishers-of-{domain}" for domain in (WILDCARD, FULL, MANY, "")}
"""By the domain below which they may publish; that of "" may not."""
PUBLISHED = " is published at "


class Publishing(Stack):
    """A stack that lets agents publish: those of the cluster `laptops` below `WILDCARD`."""

    def write_config(self) -> Path:
        path = super().write_config()
        text = path.read_text()
        for domain, token in TOKENS.items():
            text += f'\n[[agents]]\ntoken = "{token}"\nclusters = ["laptops"]\n'
            text += f'hosts = ["*.{domain}"]\n' if domain else ""
            text += f"max_published = {MOST}\n" if domain == MANY else ""
        path.write_text(text)
        return path


def publish(stack: Stack, *arguments: str, token: str = TOKENS[WILDCARD], home: str = "home") -> Process:
    """Start the command; it prints an address for each port, or why there is none."""
    folder = stack.folder / home
    folder.mkdir(exist_ok=True)
    token_file = folder / "token"
    token_file.write_text(token)
    gateway = ("--gateway", f"http://{LOOPBACK}:{stack.port}", "--token-file", str(token_file))
    return stack.processes.python(
        f"publisher {home}", "tunnel.agent", "http", *arguments, *gateway, HOME=str(folder), XDG_CONFIG_HOME=str(folder)
    )


def address(publisher: Process, port: int, seconds: float = START_SECONDS) -> str:
    """The address that it printed for this port, waiting for it."""
    return publisher.wait_line(f":{port}{PUBLISHED}", seconds=seconds).partition(PUBLISHED)[2].split()[0]


class ScriptedPublisher:
    """One publisher's link, as far as it takes to be refused or taken: it carries nothing."""

    def __init__(self, wire: ClientConnection) -> None:
        self._wire = wire
        self._asked = 0

    async def say(self, kind: str, payload: object, request_id: str = "") -> None:
        message = {"type": kind, "payload": payload}
        await self._wire.send(json.dumps({**message, "request_id": request_id} if request_id else message))

    async def told(self, kind: str) -> dict[str, Any]:
        """The payload of the next message of this kind."""
        while True:
            text = await self._wire.recv()
            if isinstance(text, str) and (message := json.loads(text))["type"] == kind:
                return dict(message["payload"])

    async def publish(self, hosts: list[str]) -> list[dict[str, Any]]:
        """What came of each: a route of the answer."""
        self._asked += 1
        routes = [{"key": str(number), "host": host, "port": 80} for number, host in enumerate(hosts)]
        await self.say("publish", {"routes": routes, "name_seed": "scripted"}, f"publish-{self._asked}")
        return list((await self.told("published"))["routes"])


@asynccontextmanager
async def scripted_publisher(stack: Stack, agent_id: str, below: str = WILDCARD) -> AsyncIterator[ScriptedPublisher]:
    """One that is registered, over yamux."""
    url = f"ws://{LOOPBACK}:{stack.port}/agent"
    headers = {"Authorization": f"Bearer {TOKENS[below]}"}
    async with connect(url, additional_headers=headers, ping_interval=None, proxy=None) as wire:
        publisher = ScriptedPublisher(wire)
        features = {"supports_yamux": True, "publishes": True}
        await publisher.say("register", {"agent_id": agent_id, "features": features}, "r-1")
        assert (await publisher.told("register_success"))["publishes"]
        await publisher.told("gateway_hello")
        await publisher.say("gateway_hello_ack", {"use_yamux": True})
        yield publisher
