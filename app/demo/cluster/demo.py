"""The demonstration of several nodes, and how it is put together.

Three gateways that NATS tells of each other, two agents that dial one of them each, and the index and the chat behind
both. Every page is served by every node. Whoever ends or freezes a process sees what becomes of the pages; what ended
stays away for AWAY_SECONDS, long enough to be seen, and is started again.
"""

import asyncio
import secrets
import sys
from collections.abc import Awaitable
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

from .. import applications, ports
from ..applications import Application
from ..board import Board
from ..children import Children
from ..console import Console
from ..demo import GATEWAY, GATEWAY_SECONDS
from ..probe import answering
from ..program import Program
from ..scene import DemoError, Scene, written
from . import nodes
from .experiments import Experiments
from .nats import NatsServer
from .nodes import Node
from .page import NodePage

AWAY_SECONDS = 20.0
_NODES = ("node-1", "node-2", "node-3")
_AGENTS = ("agent-1", "agent-2")
"""Each dials the node of its number."""
_HINT = "What the nodes know of each other, in another terminal, in the folder of the demo:"


class ClusterDemo:
    """Its programs and pages. `folder` is a temporary one, which it may write to."""

    def __init__(self, folder: Path, children: Children, console: Console) -> None:
        self._folder = folder
        self._board = Board(secrets.token_hex(8))
        self._scene = Scene(children, console, self._board)

    async def run(self, wanted_port: int = ports.WANTED) -> None:
        """Run until nothing of it can work any more. Raises DemoError."""
        if find_spec("nats") is None:
            raise DemoError("nats-py is not installed; `pip install 'tunnel-gateway[cluster,demo]'` brings it")
        with ExitStack() as sockets:
            public = await self._ports(wanted_port, sockets)
            self._board.url = f"http://{ports.INDEX_HOST}:{public[0]}/"
            index = applications.index(self._scene, sockets)
            chat = applications.chat(self._scene, sockets, f"http://{applications.CHAT_HOST}:{public[0]}/")
            await self._run(public, [index] if chat is None else [index, chat])

    async def _ports(self, wanted: int, sockets: ExitStack) -> list[int]:
        """One for each node, held until `sockets` are closed."""
        found: list[int] = []
        for name in _NODES:
            try:
                choice = await ports.choose(wanted)
            except ports.NoPortError as error:
                raise DemoError(str(error)) from None
            sockets.enter_context(choice.hold)
            found.append(choice.port)
            if choice.taken is not None:
                self._scene.say(f"{choice.taken}; {name} uses port {choice.port}")
            wanted = choice.port + 1 if choice.port < 65535 else 0
        return found

    async def _run(self, public: list[int], served: list[Application]) -> None:
        nats = NatsServer(self._scene, self._folder, away_seconds=AWAY_SECONDS)
        secret = {name: secrets.token_urlsafe(24) for name in ("token", "admin-token", "peer-secret")}
        written(self._folder, secret)
        gateways = [self._node(name, port, nats, served) for name, port in zip(_NODES, public, strict=True)]
        agents = [self._agent(name, node, served) for name, node in zip(_AGENTS, gateways, strict=False)]
        pages = [NodePage(each, node, self._scene) for each in served for node in gateways]
        self._board.hint = _HINT
        self._board.command = nodes.watch_command(GATEWAY, gateways[-1], self._folder)
        programs = [*(node.program for node in gateways), nats.program, *agents]
        experiments = Experiments(programs, pages, self._scene, AWAY_SECONDS)
        self._scene.say("three nodes, NATS, two agents and applications are starting; Ctrl-C stops them all")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(nats.program.keep())
            for application in served:
                tasks.create_task(application.keep())
            for page in pages:
                tasks.create_task(page.keep())
            await self._within(nats.listening(), "the NATS server")
            for node in gateways:
                tasks.create_task(node.program.keep())
            for agent, node in zip(agents, gateways, strict=False):
                await self._within(answering(node.port, "127.0.0.1", "/healthz"), node.name)
                tasks.create_task(agent.keep())
            tasks.create_task(experiments.keep())
            await self._board.until(lambda: all(each.program.is_given_up for each in served))
            raise DemoError("nothing can be shown any more; the lines above say why")

    def _node(self, name: str, port: int, nats: NatsServer, served: list[Application]) -> Node:
        file = f"{name}.toml"
        written(self._folder, {file: nodes.configuration(name, ports.unused(), nats, served)})
        command = [sys.executable, "-m", GATEWAY, "--config", str(self._folder / file)]
        command += ["--host", "127.0.0.1", "--port", str(port)]
        return Node(Program(name, lambda: command, self._scene, away_seconds=AWAY_SECONDS), port)

    def _agent(self, name: str, node: Node, served: list[Application]) -> Program:
        command = nodes.agent_command(name, node, self._folder, served)
        return Program(name, lambda: command, self._scene)

    async def _within(self, ready: Awaitable[None], who: str) -> None:
        """Wait for the first answer. Raises DemoError."""
        try:
            async with asyncio.timeout(GATEWAY_SECONDS):
                await ready
        except TimeoutError:
            raise DemoError(f"{who} has not answered within {GATEWAY_SECONDS:g} s; the lines above say why") from None
