"""The stand-in for the existing agent's JSON path (tests/existing) before the real gateway, and what it says of it.

Each test states by `provoked` which of the stand-in's complaints it provokes; any other, a panic, or an end of the
process fails the test that was running.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp

from tests.system.harness import LOOPBACK, NAMESPACE, TOKEN, Stack
from tests.system.process import Process, Processes, wait_until

BEARABLE = (
    "section 8.6: ",  # ours closes in two steps, of which the service answers the first one; nobody is told of that
    "section 5.5: proxy_cancel of",  # in vain there; an agent that can stop is told that nobody waits
)
"""What a gateway that does as the protocol recommends makes it say all the same."""


class OneCluster(Stack):
    """A stack whose token covers one cluster: this agent names none when it registers."""

    def write_config(self) -> Path:
        path = super().write_config()
        path.write_text(path.read_text().replace('clusters = ["c1", "c2"]', 'clusters = ["c1"]'))
        return path


class Standin:
    """One stand-in."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self._bearable = BEARABLE
        self._looked = 0

    def provoked(self, *beginnings: str) -> None:
        """The running test makes it say lines that begin so."""
        self._bearable += beginnings

    def count(self, beginning: str) -> int:
        return sum(line.startswith(beginning) for line in self.process.output())

    def wait(self, beginning: str, seconds: float = 15, *, times: int = 1) -> None:
        """Until it has said so."""
        wait_until(lambda: self.count(beginning) >= times, seconds, f"{self.process!r} says {beginning!r}")

    def complaints(self) -> list[str]:
        """What it said since the last time that no test provoked."""
        lines = self.process.output()
        new, self._looked = lines[self._looked :], len(lines)
        bearable, self._bearable = self._bearable, BEARABLE
        return [line for line in new if line != "ready" and not line.startswith(bearable)]

    def assert_intact(self) -> None:
        assert self.complaints() == []
        assert self.process.popen.poll() is None, self.process


def serving(gateway: Process) -> int:
    """How many links have come to serve."""
    return sum(" serves cluster " in line for line in gateway.output())


def start(
    stack: Stack, *options: str, port: int | None = None, agent_id: str = "s-1", times: dict[str, float] | None = None
) -> Standin:
    """Start one, and wait until the gateway says that it serves; `port`: where it dials, if not the gateway's own."""
    before = serving(stack.gateway)
    services = [
        f"--service={item.name}.{NAMESPACE}:{item.public_port}={LOOPBACK}:{item.port}"
        for item in stack.services.values()
    ]
    shortened = [f"--{name.replace('_', '-')}={seconds}" for name, seconds in (times or {}).items()]
    process = stack.processes.python(
        f"stand-in {agent_id}",
        "tests.existing",
        *("--gateway", f"ws://{LOOPBACK}:{port or stack.port}", "--token", TOKEN, "--cluster", "c1"),
        *("--agent-id", agent_id, "--seed", "7", *services, *shortened, *options),
    )
    wait_until(lambda: serving(stack.gateway) > before, 30, f"{process!r} serves")
    return Standin(process)


@contextmanager
def existing(
    stack: Stack, *options: str, port: int | None = None, agent_id: str = "s-1", **times: float
) -> Iterator[Standin]:
    """One for a test, which leaves it as it was."""
    agent = start(stack, *options, port=port, agent_id=agent_id, times=times)
    yield agent
    agent.assert_intact()


def own(folder: Path, processes: Processes, **settings: str | bool | float) -> Stack:
    """A running gateway of the test's own, with services and no agent."""
    stack = OneCluster(folder, processes, settings)
    stack.add_program("plain", "tests.services.plain")
    stack.add_program("ws", "tests.services.websocket")
    return stack.start(agent=False)


async def connections(http: aiohttp.ClientSession, stack: Stack, number: int) -> None:
    """Until the service `plain` has so many connections, one of them of who asks."""
    async with asyncio.timeout(15):
        while True:
            async with http.get(stack.control("plain", "/stats")) as answer:
                if (await answer.json())["open"] == number:
                    return
