"""What the demonstration consists of, and how it is put together.

A gateway, an agent that publishes the index and the chat, and Uptime Kuma with an agent of its own. All of it listens
on 127.0.0.1; the names end in `.localhost`, which browsers resolve to this machine.
"""

import asyncio
import secrets
import socket
import sys
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import msgspec

from . import ports, publish
from .board import Board, Snapshot, State
from .children import Children, Needs
from .console import Console
from .kuma.part import HOST as KUMA_HOST
from .kuma.part import KumaPart
from .page import Page
from .probe import Answer, answering
from .program import Program
from .scene import Scene

GATEWAY_SECONDS = 60.0
"""For its first answer."""
_HERE = __package__ or ""
_GATEWAY = _HERE.rpartition(".")[0]
"""The parent package: `app` in a checkout, `tunnel_gateway` in an installed wheel."""
_CHAT_HOST = "chat.localhost"
_CHAT_TITLE = "Chat (Socket.IO)"
_CHAT_PAGE = Path(__file__).with_name("chat.html").read_bytes()


class DemoError(Exception):
    """The demonstration cannot go on; the text says why."""


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
            self._board.command = publish.of_users_own(choice.port, self._token_file)
            await self._run(
                self._write_configuration(),
                sockets.enter_context(ports.listening()),
                sockets.enter_context(ports.listening()),
            )

    def _write_configuration(self) -> Path:
        file = self._folder / "gateway.toml"
        token = secrets.token_urlsafe(24)
        try:
            self._token_file.write_text(token)
            file.write_text(publish.configuration(token))
        except OSError as error:
            where = f"{self._folder} cannot be written ({error.strerror})"
            raise DemoError(f"{where}; make room, or set TMPDIR to a folder elsewhere") from None
        return file

    async def _run(self, configuration: Path, index_socket: socket.socket, chat_socket: socket.socket) -> None:
        address = ["--host", "127.0.0.1", "--port", str(self._port)]
        gateway = self._program("gateway", ["-m", _GATEWAY, "--config", str(configuration), *address])
        published = {ports.INDEX_HOST: _port_of(index_socket), _CHAT_HOST: _port_of(chat_socket)}
        agent = Program("agent", lambda: self._publishing(published), self._scene)
        index = self._application("index", index_socket, reads=True)
        chat = self._application("chat", chat_socket)
        self._board.listeners.append(lambda: self._tell(index))
        pages = [
            Page(
                "index", "Index of what runs", ports.INDEX_HOST, self._port, [index, agent, gateway],
                self._is_index, self._scene, path="/demo.json",
            )
        ]  # fmt: skip
        served = [(index, index_socket)]
        if find_spec("socketio") is not None:
            served.append((chat, chat_socket))
            needs = [chat, agent, gateway]
            pages.append(Page("chat", _CHAT_TITLE, _CHAT_HOST, self._port, needs, _is_chat, self._scene))
        else:
            self._skip_chat()
        kuma = KumaPart(
            self._scene, gateway=gateway, gateway_port=self._port, folder=self._folder,
            agent_of=lambda port: self._publishing({KUMA_HOST: port}),
        )  # fmt: skip
        self._scene.say("gateway, agent and applications are starting; Ctrl-C stops them all")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(gateway.keep())
            tasks.create_task(self._keep_behind_gateway(agent))
            for program, listening in served:
                tasks.create_task(_keep_served(program, listening))
            for page in pages:
                tasks.create_task(page.keep())
            tasks.create_task(kuma.keep())
            tasks.create_task(self._tell_more())
            await self._board.until(lambda: gateway.is_given_up or all(page.is_given_up for page in pages))
            raise DemoError("nothing can be shown any more; the lines above say why")

    def _program(self, name: str, arguments: list[str]) -> Program:
        return Program(name, lambda: [sys.executable, *arguments], self._scene)

    def _application(self, name: str, listening: socket.socket, *, reads: bool = False) -> Program:
        """A module beside this one, which serves on this socket."""
        command = [sys.executable, "-m", f"{_HERE}.{name}", str(listening.fileno())]
        return Program(name, lambda: command, self._scene, Needs(descriptors=(listening.fileno(),), reads=reads))

    def _publishing(self, published: dict[str, int]) -> list[str]:
        return publish.command(self._port, self._token_file, published)

    def _skip_chat(self) -> None:
        words = "python-socketio is not installed; `pip install 'tunnel-gateway[demo]'` brings it"
        self._board.set("page chat", _CHAT_TITLE, State.SKIPPED, words, f"http://{_CHAT_HOST}:{self._port}/")
        self._scene.say(f"{_CHAT_TITLE} is skipped: {words}")

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


async def _keep_served(program: Program, listening: socket.socket) -> None:
    """Once it is given up, its clients are refused. Until then they wait for it."""
    await program.keep()
    listening.close()


def _port_of(listening: socket.socket) -> int:
    port: int = listening.getsockname()[1]
    return port


def _is_chat(answer: Answer) -> bool:
    return answer.status == 200 and answer.body == _CHAT_PAGE
