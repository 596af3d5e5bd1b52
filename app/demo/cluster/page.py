"""A page as one node serves it, asked for again and again: what is said of it is what a client would see now.

A page of the single gateway is asked once, and its programs say the rest. Here they do not: a frozen node is still
a process that runs, and a node whose agents are gone serves nothing.
"""

import asyncio

from ..applications import Application
from ..board import State
from ..probe import NoAnswerError, ask
from ..scene import Scene
from .nodes import Node

ASK_SECONDS = 1.0
"""Between two requests. What waits longer than a request may is said to be down."""
LATE_SECONDS = 30.0
"""How long the first answer may take before that is said."""


class NodePage:
    """One application, through one node."""

    def __init__(self, application: Application, node: Node, scene: Scene) -> None:
        self.title = f"{application.name.capitalize()} through {node.name}"
        self.url = f"http://{application.host}:{node.port}/"
        self.node = node
        self._application = application
        self._scene = scene
        self._asking = asyncio.Lock()
        self._was_ready = False
        self._begun = 0.0
        self._state = State.STARTING
        self._set(State.STARTING)

    @property
    def is_ready(self) -> bool:
        """Whether the last request was answered."""
        return self._state is State.READY

    async def keep(self) -> None:
        """Ask for ever."""
        self._begun = asyncio.get_running_loop().time()
        while True:
            await self.ask()
            await asyncio.sleep(ASK_SECONDS)

    async def ask(self) -> None:
        """Ask now, and say what has changed."""
        async with self._asking:
            try:
                answer = await ask("127.0.0.1", self.node.port, self._application.host, self._application.path)
                why = "" if self._application.is_right(answer) else f"the answer has status {answer.status}"
            except NoAnswerError as error:
                why = str(error)
            if not why:
                self._works()
            else:
                self._fails(self._cause() or why)

    def _works(self) -> None:
        if self._was_ready and not self.is_ready:
            self._scene.say(f"{self.title} works again: {self.url}")
        elif not self._was_ready:
            self._scene.say(f"{self.title + ':':<22} {self.url}")
        self._was_ready = True
        self._set(State.READY)

    def _fails(self, why: str) -> None:
        is_late = asyncio.get_running_loop().time() - self._begun > LATE_SECONDS
        if self._state is State.STARTING and not is_late:
            return
        if self._state is not State.DOWN:
            self._scene.say(f"{self.title} is down: {why}")
        self._set(State.DOWN, why)

    def _cause(self) -> str:
        """A program that has ended, in words. Empty: none that this page needs."""
        needed = (self.node.program, self._application.program)
        return next((f"{each.name} {each.why_down}" for each in needed if each.child is None), "")

    def _set(self, state: State, words: str = "") -> None:
        self._state = state
        self._scene.board.set(f"page {self.title}", self.title, state, words, self.url)
