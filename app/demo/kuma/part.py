"""Uptime Kuma as a part of the demonstration: is it possible here, install it, then keep it running and published.

Nothing of it delays the rest. Whatever it waits for has a deadline and is said in words: what it is, for how long
already, and when it will be given up. If it is not possible, that is said once, with what to do.
"""

import asyncio
import re
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from .. import ports
from ..board import State
from ..children import Child, Needs, ended
from ..page import Page
from ..probe import answering
from ..program import Program
from ..scene import Scene
from . import NODE_VERSIONS, KumaError, command, missing, runs_on

TITLE = "Uptime Kuma"
HOST = "kuma.localhost"
INSTALL_SECONDS = 600.0
"""Over a slow line npm needs minutes; after this nobody waits any more."""
REMIND_SECONDS = 15.0
"""Between two lines about what is waited for."""
NODE_SECONDS = 10.0
"""For `node --version`."""
_STOP_SECONDS = 2.0
_LATE_SECONDS = 90.0
"""It makes its database at its first start."""
_PAGE = "page kuma"


class KumaPart:
    """Uptime Kuma, its agent and its page."""

    def __init__(
        self,
        scene: Scene,
        *,
        gateway: Program,
        gateway_port: int,
        agent_of: Callable[[int], Sequence[str]],
        folder: Path,
        install_seconds: float = INSTALL_SECONDS,
        remind_seconds: float = REMIND_SECONDS,
        node_seconds: float = NODE_SECONDS,
    ) -> None:
        """`agent_of` gives the command that publishes a port as HOST. `folder`: for its database."""
        self._scene = scene
        self._gateway = gateway
        self._gateway_port = gateway_port
        self._agent_of = agent_of
        self._folder = folder
        self._install_seconds = install_seconds
        self._remind_seconds = remind_seconds
        self._node_seconds = node_seconds
        self._step = ""
        self._result = ""

    async def keep(self) -> None:
        """Keep it until it is given up."""
        self._scene.board.set(_PAGE, TITLE, State.STARTING, "looking for Node.js", self._url)
        try:
            await self._check_node()
            program = await self._install()
            port = ports.unused()
            arguments = command(program, port, self._folder / "kuma")
        except (KumaError, OSError) as error:
            self._scene.board.set(_PAGE, TITLE, State.SKIPPED, str(error), self._url)
            self._scene.say(f"{TITLE} is skipped: {error}. The other pages work without it.")
            return
        kuma = Program(
            "kuma",
            lambda: arguments,
            self._scene,
            # SIGKILL: it takes half a minute otherwise, and its database is temporary.
            Needs(cwd=program, end_signal=signal.SIGKILL),
            is_shown=False,
        )
        agent = Program("kuma's agent", lambda: self._agent_of(port), self._scene)
        page = Page(
            "kuma",
            TITLE,
            HOST,
            self._gateway_port,
            [kuma, agent, self._gateway],
            lambda answer: answer.status < 400,
            self._scene,
            late_seconds=_LATE_SECONDS,
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(kuma.keep())
            tasks.create_task(page.keep())
            if await self._listens(kuma, port):
                tasks.create_task(agent.keep())

    async def _listens(self, kuma: Program, port: int) -> bool:
        """Wait for its first answer, before it is published, and say that it is late. False: it was given up."""
        waited = 0.0
        while not kuma.is_given_up:
            try:
                async with asyncio.timeout(_LATE_SECONDS):
                    await answering(port, HOST)
                    return True
            except TimeoutError:
                waited += _LATE_SECONDS
                self._say(f"it is installed and has been starting for {waited:.0f} s")
        return False

    @property
    def _url(self) -> str:
        return f"http://{HOST}:{self._gateway_port}/"

    async def _check_node(self) -> None:
        """Raises KumaError if there is no Node, or none that it runs on; OSError if it cannot be started."""
        need = f"{TITLE} needs Node.js {NODE_VERSIONS}"
        if (reason := missing()) is not None:
            raise KumaError(f"{reason}; {need} (https://nodejs.org)")
        node = await self._scene.children.start("node", ["node", "--version"], lambda _: None)
        try:
            async with asyncio.timeout(self._node_seconds):
                status = await node.wait()
        except TimeoutError:
            node.signal(signal.SIGKILL)
            raise KumaError(f"`node --version` had not answered after {self._node_seconds:g} s; {need}") from None
        said = next((line for line in node.lines if line.strip()), "nothing")
        version = re.fullmatch(r"v(\d{1,4})\.(\d{1,4})\..*", said)
        if status != 0 or version is None:
            raise KumaError(f"`node --version` {ended(status)} and printed {said!r}; {need}")
        if not runs_on(int(version[1]), int(version[2])):
            raise KumaError(f"Node.js {said} is installed; {need} (https://nodejs.org)")

    async def _install(self) -> Path:
        """The program's folder. Raises KumaError, or OSError if the installation cannot be started."""
        self._step = "checking whether it is installed"
        child = await self._scene.children.start("npm", [sys.executable, "-m", __package__ or ""], self._hear)
        status = await self._until_over(child)
        word, _, text = self._result.partition(" ")
        if word == "installed" and status == 0:
            return Path(text)
        if word == "failed":
            raise KumaError(text)
        last = next(reversed(child.lines), "it printed nothing")
        raise KumaError(f"its installation {ended(status)} ({last})")

    async def _until_over(self, child: Child) -> int:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while (left := begun + self._install_seconds - loop.time()) > 0:
            try:
                async with asyncio.timeout(min(self._remind_seconds, left)):
                    return await child.wait()
            except TimeoutError:
                passed = f"{loop.time() - begun:.0f} s so far, {self._install_seconds:.0f} s at most"
                self._say(f"{self._step}: {passed}. The other pages work meanwhile")
        await _stop(child)
        raise KumaError(
            f"its installation had not ended after {self._install_seconds:.0f} s ({self._step}) and was stopped; "
            "start the demo again to try again"
        )

    def _hear(self, line: str) -> None:
        """A line of the installation."""
        word, _, text = line.partition(" ")
        if word == "step":
            self._step = text.partition(" (")[0]
            self._say(text)
        elif word in {"installed", "failed"}:
            self._result = line

    def _say(self, words: str) -> None:
        self._scene.board.set(_PAGE, TITLE, State.STARTING, words, self._url)
        self._scene.say(f"{TITLE}: {words}")


async def _stop(child: Child) -> None:
    """End one process before the others."""
    child.signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await child.gone()
    except TimeoutError:
        child.signal(signal.SIGKILL)
