"""The engine: this node's connection to NATS, for as long as the node lives.

One connection is one object (`connection`). When it ends, whatever the cause, another is made, and those who work with
it (`Member`) are told: `connected` with each new one, `lost` when it is known to be gone. Between two dials there are
0.2 to 2 s, drawn anew each time, so that nodes that lost the same server do not come back in step.

Never raises for what the network or the servers do: the state says it, and the log says each change of it once.
"""

import asyncio
import itertools
import logging
import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

from ..settings.cluster import ClusterSettings
from .ending import ended

if TYPE_CHECKING:
    from .connection import Connection

logger = logging.getLogger("gateway.cluster")

SOONEST_SECONDS, LATEST_SECONDS = 0.2, 2.0
"""Between two dials."""

INSTALL = "[cluster] needs the extra `cluster`; install it with: pip install 'tunnel-gateway[cluster]'"


class ExtraMissingError(Exception):
    """nats-py is not installed. The text says how to install it."""


class State(msgspec.Struct, frozen=True):
    """What the operator is told of the connection."""

    name: Literal["connecting", "connected", "away", "stopped"]
    since: float
    """Unix seconds."""
    why: str | None = None
    """Why NATS is away."""
    server: str | None = None

    def __str__(self) -> str:
        return {
            "connected": f"connected to {self.server}",
            "away": f"away: {self.why}",
        }.get(self.name, self.name)


class Member(Protocol):
    """Who works with each connection. The calls are plain and must not raise."""

    def connected(self, connection: "Connection") -> None:
        """There is a connection."""

    def lost(self) -> None:
        """It is gone. Requests on it have failed, or will at once."""

    async def aclose(self) -> None:
        """End what is still running."""


class Engine:
    """Keeps one connection. `name` is what NATS' own monitoring shows of this node.

    Raises ExtraMissingError when it is made, where nats-py is not installed.
    """

    def __init__(
        self,
        settings: ClusterSettings,
        *,
        name: str,
        clock: Callable[[], float] = time.time,
        pause: Callable[[], float] = lambda: random.uniform(SOONEST_SECONDS, LATEST_SECONDS),  # noqa: S311
    ) -> None:
        try:
            from . import connection  # noqa: PLC0415 - only a node with [cluster] needs nats-py
        except ImportError as error:
            if (error.name or "").split(".")[0] in {"nats", "nkeys"}:
                raise ExtraMissingError(INSTALL) from None
            raise
        self._connections = connection
        self._settings = settings
        self._name = name
        self._clock = clock
        self._pause = pause
        self._members: list[Member] = []
        self._task: asyncio.Task[None] | None = None
        self._connection: Connection | None = None
        self._forbidden: set[tuple[str, str]] = set()
        self.state = State("connecting", clock())
        self.losses = 0
        """Connections that ended. For the metrics."""

    @property
    def connection(self) -> "Connection | None":
        """The one in use. None: NATS is away."""
        return self._connection

    @property
    def forbidden(self) -> list[str]:
        """What NATS did not allow this user, as `publish SUBJECT`, in order."""
        return sorted(f"{verb} {subject}" for verb, subject in self._forbidden)

    def attach(self, member: Member) -> None:
        """From now on tell it of connections, of one that there is at once."""
        self._members.append(member)
        if self._connection is not None:
            member.connected(self._connection)

    def start(self) -> None:
        """Begin to connect, in the background."""
        if self._task is None:
            logging.getLogger("asyncio").addFilter(without_eof_warning)
            self._task = asyncio.get_running_loop().create_task(self._run(), name="cluster engine")

    async def aclose(self) -> None:
        """Leave NATS, within three seconds. No task is left. May be called again."""
        await self._close_members()
        task, self._task = self._task, None
        if task is not None:
            await ended({task})
            logging.getLogger("asyncio").removeFilter(without_eof_warning)
        await self._close_members()  # there may have been another connection meanwhile
        self.state = State("stopped", self._clock())

    async def _close_members(self) -> None:
        await asyncio.gather(*(member.aclose() for member in self._members))

    async def _run(self) -> None:
        for server in itertools.cycle(self._settings.servers):
            try:
                connection = await self._connections.dial(
                    self._settings, server, name=self._name, forbidden=self._is_forbidden
                )
            except self._connections.DialError as error:
                self._is_away(f"{server}: {error}")
            else:
                await self._use(connection)
            if self._task is None:  # a cancel was lost: see `ending`
                return
            await asyncio.sleep(self._pause())

    async def _use(self, connection: "Connection") -> None:
        """Until it ends."""
        try:
            self._is_connected(connection)
            if self._task is not None:
                await connection.ended.wait()
        finally:
            died = connection.ended.is_set()
            self._connection = None
            for member in self._members:
                member.lost()
            if died:
                self.losses += 1
                self._is_away(f"{connection.server}: {connection.why}")
                await connection.abort()
            else:
                await connection.end()

    def _is_connected(self, connection: "Connection") -> None:
        self._connection = connection
        self.state = State("connected", self._clock(), server=connection.server)
        logger.info("connected to NATS %s at %s", connection.version, connection.server)
        for member in self._members:
            member.connected(connection)

    def _is_away(self, why: str) -> None:
        if self.state.name == "away":
            if why != self.state.why:
                logger.warning("NATS is still away: %s", why)
                self.state = State("away", self.state.since, why)
            return
        logger.warning("NATS is away: %s; this node serves on, and connects again by itself", why)
        self.state = State("away", self._clock(), why)

    def _is_forbidden(self, verb: str, subject: str) -> None:
        verb = "subscribe" if verb == "subscription" else verb
        if (verb, subject) not in self._forbidden:
            self._forbidden.add((verb, subject))
            logger.error("NATS does not allow this node's user to %s %s; allow it in the user's permissions",
                         verb, subject)  # fmt: skip

    def __repr__(self) -> str:
        return f"<Engine {self.state}, {self.losses} losses>"


def without_eof_warning(record: logging.LogRecord) -> bool:
    """Without what asyncio says of every TLS connection that the far end closes."""
    return not record.getMessage().startswith("returning true from eof_received()")
