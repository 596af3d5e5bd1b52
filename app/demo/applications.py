"""The demonstration's own applications: the index, and the chat where python-socketio is installed.

Each is a module beside this one, served in a process of its own on a socket that the demonstration holds.
"""

import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import msgspec

from . import ports
from .board import Board, Snapshot, State
from .children import Needs
from .probe import Answer
from .program import Program
from .scene import Scene

CHAT_HOST = "chat.localhost"
_HERE = __package__ or ""
_CHAT_TITLE = "Chat (Socket.IO)"
_CHAT_PAGE = Path(__file__).with_name("chat.html").read_bytes()


@dataclass(frozen=True)
class Application:
    """A program that listens, and the page that it serves. `path`: what is asked for to see whether it works."""

    program: Program
    listening: socket.socket
    title: str
    host: str
    is_right: Callable[[Answer], bool]
    path: str = "/"

    @property
    def name(self) -> str:
        """Of its program."""
        return self.program.name

    @property
    def port(self) -> int:
        """Of 127.0.0.1."""
        number: int = self.listening.getsockname()[1]
        return number

    async def keep(self) -> None:
        """Once it is given up, its clients are refused. Until then they wait for it."""
        await self.program.keep()
        self.listening.close()


def index(scene: Scene, sockets: ExitStack) -> Application:
    """The page that lists what runs. It gets the board after each change, the one of its own start included."""
    board, listening = scene.board, sockets.enter_context(ports.listening())
    program = _program("index", listening, scene, reads=True)

    def tell() -> None:
        if program.child is not None:
            program.child.tell(msgspec.json.encode(board.snapshot()) + b"\n")

    board.listeners.append(tell)
    is_right = partial(_is_index, board)
    return Application(program, listening, "Index of what runs", ports.INDEX_HOST, is_right, path="/demo.json")


def chat(scene: Scene, sockets: ExitStack, url: str) -> Application | None:
    """The chat, at `url`. None: it is skipped, which is said."""
    if find_spec("socketio") is None:
        words = "python-socketio is not installed; `pip install 'tunnel-gateway[demo]'` brings it"
        scene.board.set("page chat", _CHAT_TITLE, State.SKIPPED, words, url)
        scene.say(f"{_CHAT_TITLE} is skipped: {words}")
        return None
    listening = sockets.enter_context(ports.listening())
    return Application(_program("chat", listening, scene), listening, _CHAT_TITLE, CHAT_HOST, _is_chat)


def _program(name: str, listening: socket.socket, scene: Scene, *, reads: bool = False) -> Program:
    command = [sys.executable, "-m", f"{_HERE}.{name}", str(listening.fileno())]
    return Program(name, lambda: command, scene, Needs(descriptors=(listening.fileno(),), reads=reads))


def _is_index(board: Board, answer: Answer) -> bool:
    """The index of this demonstration, not of another."""
    try:
        return answer.status == 200 and msgspec.json.decode(answer.body, type=Snapshot).run == board.run
    except msgspec.DecodeError:
        return False


def _is_chat(answer: Answer) -> bool:
    return answer.status == 200 and answer.body == _CHAT_PAGE
