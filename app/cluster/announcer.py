"""Announces this node's links on a plain subject, and takes what the others announce: a member of the engine.

No message is kept for later. Links that no entry names yet are announced again with each new connection, and every
`AGAIN_SECONDS`, since nobody says whether a message arrived.
"""

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Final

from .announcement import LONGEST_BYTES, encoded, read
from .directory import Directory
from .ending import ended
from .requests import Message, RequestError
from .values import ValueIgnoredError
from .watch import SLICE_SECONDS

if TYPE_CHECKING:
    from .connection import Connection

logger = logging.getLogger("gateway.cluster")

AGAIN_SECONDS: Final = 10.0
"""A third of the time for which the others keep what they heard."""
_SENT_PER_TURN: Final = 50


class Announcer:
    """See the module. `due` is to be called whenever a link comes, goes or gets a name."""

    def __init__(self, subject: str, directory: Directory) -> None:
        self._subject = subject
        self._directory = directory
        self._due = asyncio.Event()
        self._connection: Connection | None = None
        self._task: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._slice_began = 0.0
        self._complained: set[bool] = set()
        self.sent = 0
        self.heard = 0
        """Those of this node, too."""

    def due(self) -> None:
        """There may be something to announce."""
        self._due.set()

    # Member

    def connected(self, connection: "Connection") -> None:
        """Announce over this connection."""
        self._connection = connection
        self._task = asyncio.get_running_loop().create_task(self._run(connection), name="cluster announcements")

    def lost(self) -> None:
        """Say nothing until there is another."""
        self._connection = None
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def aclose(self) -> None:
        """Announce no more; idempotent."""
        self.lost()
        await ended(self._ending)

    async def _run(self, connection: "Connection") -> None:
        try:
            unsubscribe = await connection.subscribe(self._subject, self._receive)
            try:
                while connection is self._connection:  # cancelling is not enough: see `ending`
                    await self._announce(connection)
            finally:
                await unsubscribe()
        except RequestError as error:
            logger.debug("links are not announced: %s", error)

    async def _announce(self, connection: "Connection") -> None:
        """What is due, and what becomes due until all that has no entry yet is to be announced again."""
        self._directory.own.announce_again()
        again = asyncio.get_running_loop().time() + AGAIN_SECONDS
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(again):
                while True:
                    await self._announce_due(connection)
                    await self._due.wait()

    async def _announce_due(self, connection: "Connection") -> None:
        self._due.clear()
        while (announcement := self._directory.own.take_announcement()) is not None:
            message = encoded(announcement)
            if len(message) <= LONGEST_BYTES:
                await connection.publish(self._subject, message)
                self.sent += 1
                if self.sent % _SENT_PER_TURN == 0:
                    await asyncio.sleep(0)

    async def _receive(self, message: Message) -> None:
        if time.perf_counter() - self._slice_began > SLICE_SECONDS:
            await asyncio.sleep(0)
            self._slice_began = time.perf_counter()
        self.heard += 1
        try:
            announcement = read(message.data)
        except ValueIgnoredError as error:
            self._complain(error)
            return
        if announcement.node == self._directory.presence.node:
            return
        try:
            self._directory.heard(announcement)
        except Exception:
            logger.exception("an announcement of node %s could not be taken", announcement.node)

    def _complain(self, error: ValueIgnoredError) -> None:
        is_newer = error.version is not None
        if is_newer in self._complained:
            return
        self._complained.add(is_newer)
        if is_newer:
            logger.warning(
                "subject %s has messages of version %d, from a gateway of another release: they are ignored here. "
                "Upgrade the older nodes",
                self._subject, error.version,
            )  # fmt: skip
        else:
            logger.warning(
                "subject %s: a message was ignored, because %.200s. Find out who else publishes there",
                self._subject, error,
            )  # fmt: skip

    def __repr__(self) -> str:
        return f"<Announcer on {self._subject}: {self.sent} sent, {self.heard} heard>"
