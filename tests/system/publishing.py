"""`tunnel-agent http` as its user runs it, a publisher under the test's control, and a gateway that lets them publish.

Each publisher has a home of its own: two with the same home are two commands of one person on one machine.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from websockets.asyncio.client import connect

from tests.system.harness import DOMAIN, LOOPBACK, Stack
from tests.system.hostile import SECONDS, Hostile
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


class Publisher(Hostile):
    """An agent under the test's control that publishes, and answers what it is asked. It speaks json."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.asked_for: list[str] = []
        self.told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def _read(self) -> None:
        async for text in self.wire:
            message = json.loads(text)
            if message["type"] == "proxy_request":
                self.asked_for.append(message["payload"]["path"])
                await self.answer(message["request_id"], b"published")
            elif message["type"] == "ping":
                await self.say("pong", message.get("request_id"))
            else:
                self.told.put_nowait(message)

    async def hear(self, kind: str) -> dict[str, Any]:
        """The payload of the next message of this kind."""
        async with asyncio.timeout(SECONDS):
            while (message := await self.told.get())["type"] != kind:
                pass
        return dict(message["payload"])

    async def publish(self, *hosts: str, watch: bool = False) -> list[dict[str, Any]]:
        """What came of each: a route of the answer."""
        routes = [{"key": host, "host": host, "port": 5173} for host in hosts]
        await self.say("publish", "p1", {"routes": routes, "name_seed": "seed", "watch": watch})
        return list((await self.hear("published"))["routes"])


@asynccontextmanager
async def scripted_publisher(
    stack: Stack, agent_id: str = "p1", token: str = TOKENS[WILDCARD], cluster: str = "laptops"
) -> AsyncIterator[Publisher]:
    """One that is registered."""
    url = f"ws://{LOOPBACK}:{stack.port}/agent"
    headers = {"Authorization": f"Bearer {token}"}
    async with connect(url, additional_headers=headers, ping_interval=None, compression=None, proxy=None) as wire:
        agent = Publisher(wire)
        features = {"supports_response_streaming": True, "publishes": True}
        await agent.say("register", "r1", {"agent_id": agent_id, "cluster_id": cluster, "features": features})
        assert (await agent.hear("register_success"))["publishes"] is True
        try:
            yield agent
        finally:
            await agent.end()
