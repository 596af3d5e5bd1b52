"""What the demonstration consists of, and how it is put together.

A gateway, an agent that publishes the index and the chat, and Uptime Kuma with an agent of its own. All of it listens
on 127.0.0.1; the names end in `.localhost`, which browsers resolve to this machine.
"""

import asyncio
import secrets
import sys
from importlib.util import find_spec
from pathlib import Path

import msgspec

from . import ports, publish
from .board import Board, Snapshot, State
from .children import Children
from .console import Console
from .kuma.part import HOST as KUMA_HOST
from .kuma.part import KumaPart
from .page import Page
from .probe import Answer, answering
from .program import Program

_HERE = __package__ or ""
_GATEWAY = _HERE.rpartition(".")[0]
"""The parent package: `app` in a checkout, `tunnel_gateway` in an installed wheel."""
_CHAT_HOST = "chat.localhost"
_CHAT_PAGE = Path(__file__).with_name("chat.html").read_bytes()


GATEWAY_SECONDS = 60.0
"""For its first answer."""


class DemoError(Exception):
    """The demonstration cannot go on; the text says why."""


class Demo:
    """Its programs and pages. `folder` is a temporary one, which it may write to."""

    def __init__(self, folder: Path, children: Children, console: Console) -> None:
        self._folder = folder
        self._children = children
        self._console = console
        self._board = Board(secrets.token_hex(8))
        self._sockets = {ports.INDEX_HOST: ports.listening(), _CHAT_HOST: ports.listening()}

    async def run(self, wanted_port: int = ports.WANTED) -> None:
        """Run until nothing of it can work any more. Raises DemoError."""
        try:
            choice = await ports.choose(wanted_port)
        except ports.NoPortError as error:
            raise DemoError(str(error)) from None
        if choice.taken is not None:
            self._console.say("demo", f"{choice.taken}; this one uses port {choice.port}")
        with choice.hold:
            await self._run(choice.port)

    async def _run(self, port: int) -> None:
        token_file = self._folder / "token"
        configuration = self._folder / "gateway.toml"
        token = secrets.token_urlsafe(24)
        try:
            token_file.write_text(token)
            configuration.write_text(publish.configuration(token))
        except OSError as error:
            raise DemoError(
                f"{self._folder} cannot be written ({error.strerror}); make room, or set TMPDIR to a folder elsewhere"
            ) from None
        self._board.url = f"http://{ports.INDEX_HOST}:{port}/"
        self._board.command = publish.of_users_own(port, token_file)
        published = {host: each.getsockname()[1] for host, each in self._sockets.items()}

        def command_of(module: str, *arguments: str) -> list[str]:
            return [sys.executable, "-m", module, *arguments]

        gateway = self._program(
            "gateway", command_of(_GATEWAY, "--config", str(configuration), "--host", "127.0.0.1", "--port", str(port))
        )
        agent = self._program("agent", publish.command(port, token_file, published))
        index = self._served("index", ports.INDEX_HOST, reads=True)
        self._board.listeners.append(lambda: self._tell(index))
        kuma = KumaPart(
            self._children,
            self._console,
            self._board,
            gateway=gateway,
            gateway_port=port,
            agent_of=lambda its_port: publish.command(port, token_file, {KUMA_HOST: its_port}),
            folder=self._folder,
        )
        pages = [
            Page(
                "index",
                "Index of what runs",
                ports.INDEX_HOST,
                port,
                [index, agent, gateway],
                self._is_index,
                self._console,
                self._board,
                path="/demo.json",
            )
        ]
        programs = [gateway, index]
        if find_spec("socketio") is None:
            words = "python-socketio is not installed; `pip install 'tunnel-gateway[demo]'` brings it"
            self._board.set("page chat", "Chat (Socket.IO)", State.SKIPPED, words, f"http://{_CHAT_HOST}:{port}/")
            self._console.say("demo", f"Chat (Socket.IO) is skipped: {words}")
        else:
            chat = self._served("chat", _CHAT_HOST)
            programs.append(chat)
            pages.append(
                Page(
                    "chat",
                    "Chat (Socket.IO)",
                    _CHAT_HOST,
                    port,
                    [chat, agent, gateway],
                    _is_chat,
                    self._console,
                    self._board,
                )
            )
        self._console.say("demo", "gateway, agent and applications are starting; Ctrl-C ends them all")
        async with asyncio.TaskGroup() as tasks:
            for keep in [program.keep for program in programs] + [page.keep for page in pages] + [kuma.keep]:
                tasks.create_task(keep())
            tasks.create_task(_keep_behind(port, agent))
            tasks.create_task(self._tell_more())
            await self._board.until(lambda: gateway.is_given_up or all(page.is_given_up for page in pages))
            raise DemoError("nothing can be shown any more; the lines above say why")

    def _program(self, name: str, command: list[str]) -> Program:
        return Program(name, lambda: command, self._children, self._console, self._board)

    def _served(self, name: str, host: str, *, reads: bool = False) -> Program:
        """A module beside this one that serves on the socket of this host."""
        descriptor = self._sockets[host].fileno()
        command = [sys.executable, "-m", f"{_HERE}.{name}", str(descriptor)]
        return Program(
            name,
            lambda: command,
            self._children,
            self._console,
            self._board,
            descriptors=(descriptor,),
            reads=reads,
        )

    async def _tell_more(self) -> None:
        """How to go on from here, once a page is ready."""
        await self._board.until(lambda: any(entry.state is State.READY for entry in self._board.snapshot().entries))
        self._console.say("demo", f"Try it with a port of your own: {self._board.command}")

    def _tell(self, index: Program) -> None:
        """The index gets the board after each change, the one of its own start included."""
        if index.child is not None:
            index.child.tell(msgspec.json.encode(self._board.snapshot()) + b"\n")

    def _is_index(self, answer: Answer) -> bool:
        """The index of this demonstration, not of another."""
        try:
            return answer.status == 200 and msgspec.json.decode(answer.body, type=Snapshot).run == self._board.run
        except msgspec.DecodeError:
            return False


async def _keep_behind(port: int, agent: Program) -> None:
    """Keep an agent from when the gateway answers; later it dials again by itself. Raises DemoError."""
    try:
        async with asyncio.timeout(GATEWAY_SECONDS):
            await answering(port, "127.0.0.1", "/healthz")
    except TimeoutError:
        raise DemoError(f"the gateway has not answered within {GATEWAY_SECONDS:g} s") from None
    await agent.keep()


def _is_chat(answer: Answer) -> bool:
    return answer.status == 200 and answer.body == _CHAT_PAGE
