"""What the demonstration consists of, and how it is put together.

A gateway, an agent that publishes the index and the chat, and Uptime Kuma with an agent of its own. All of it listens
on 127.0.0.1; the names end in `.localhost`, which browsers resolve to this machine.
"""

import asyncio
import secrets
import sys
from contextlib import ExitStack
from pathlib import Path

from . import applications, ports, publish
from .applications import Application
from .board import Board, State
from .children import Children
from .console import Console
from .kuma.part import HOST as KUMA_HOST
from .kuma.part import KumaPart
from .page import Page
from .probe import answering
from .program import Program
from .scene import DemoError, Scene, written

GATEWAY = (__package__ or "").rpartition(".")[0]
"""The parent package: `app` in a checkout, `tunnel_gateway` in an installed wheel."""
GATEWAY_SECONDS = 60.0
"""For its first answer."""


class Demo:
    """Its programs and pages. `folder` is a temporary one, which it may write to."""

    def __init__(self, folder: Path, children: Children, console: Console) -> None:
        self._folder = folder
        self._token_file = folder / "token"
        self._board = Board(secrets.token_hex(8))
        self._scene = Scene(children, console, self._board)
        self._port = 0

    async def run(self, wanted_port: int = ports.WANTED) -> None:
        """Run until nothing of it can work any more. Raises DemoError."""
        with ExitStack() as sockets:
            try:
                choice = await ports.choose(wanted_port)
            except ports.NoPortError as error:
                raise DemoError(str(error)) from None
            sockets.enter_context(choice.hold)
            self._port = choice.port
            if choice.taken is not None:
                self._scene.say(f"{choice.taken}; this one uses port {choice.port}")
            self._board.url = f"http://{ports.INDEX_HOST}:{choice.port}/"
            self._board.hint = publish.HINT
            self._board.command = publish.of_users_own(choice.port, self._token_file)
            await self._run(
                self._write_configuration(),
                applications.index(self._scene, sockets),
                applications.chat(self._scene, sockets, f"http://{applications.CHAT_HOST}:{choice.port}/"),
            )

    def _write_configuration(self) -> Path:
        token = secrets.token_urlsafe(24)
        written(self._folder, {"token": token, "gateway.toml": publish.configuration(token)})
        return self._folder / "gateway.toml"

    async def _run(self, configuration: Path, index: Application, chat: Application | None) -> None:
        command = [sys.executable, "-m", GATEWAY, "--config", str(configuration)]
        command += ["--host", "127.0.0.1", "--port", str(self._port)]
        gateway = Program("gateway", lambda: command, self._scene)
        served = [index] if chat is None else [index, chat]
        agent = Program("agent", lambda: self._publishing({each.host: each.port for each in served}), self._scene)
        pages = [
            Page(
                each.name, each.title, each.host, self._port, [each.program, agent, gateway],
                each.is_right, self._scene, path=each.path,
            )
            for each in served
        ]  # fmt: skip
        kuma = KumaPart(
            self._scene, gateway=gateway, gateway_port=self._port, folder=self._folder,
            agent_of=lambda port: self._publishing({KUMA_HOST: port}),
        )  # fmt: skip
        self._scene.say("gateway, agent and applications are starting; Ctrl-C stops them all")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(gateway.keep())
            tasks.create_task(self._keep_behind_gateway(agent))
            tasks.create_task(kuma.keep())
            for application, page in zip(served, pages, strict=True):
                tasks.create_task(application.keep())
                tasks.create_task(page.keep())
            tasks.create_task(self._tell_more())
            await self._board.until(lambda: gateway.is_given_up or all(page.is_given_up for page in pages))
            raise DemoError("nothing can be shown any more; the lines above say why")

    def _publishing(self, published: dict[str, int]) -> list[str]:
        return publish.command(self._port, self._token_file, published)

    async def _keep_behind_gateway(self, agent: Program) -> None:
        """Keep an agent from when the gateway answers; later it dials again by itself. Raises DemoError."""
        try:
            async with asyncio.timeout(GATEWAY_SECONDS):
                await answering(self._port, "127.0.0.1", "/healthz")
        except TimeoutError:
            raise DemoError(f"the gateway has not answered within {GATEWAY_SECONDS:g} s") from None
        await agent.keep()

    async def _tell_more(self) -> None:
        """How to go on from here, once a page is ready."""
        await self._board.until(lambda: any(entry.state is State.READY for entry in self._board.snapshot().entries))
        self._scene.say(f"Try it with a port of your own: {self._board.command}")
