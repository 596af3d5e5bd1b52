"""The sockets of the agent's own endpoints: bounded, and apart from everything that is carried.

Invariants: a connection has one request and one answer, and lives for twice `DEADLINE_SECONDS` at most; there are at
most `CONNECTIONS_MAX`, and a new one takes the place of the oldest, so that nobody who opens many and says nothing
keeps a probe out; the client ends a connection that was answered, because what a close finds unread would destroy the
answer; after `close` no socket and no timer is left.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import cast

from tunnel.agent.health.pages import page
from tunnel.agent.health.request import Page, Reader, RefusedError, answer, refusal
from tunnel.agent.report import AgentReport

log = logging.getLogger(__name__)

CONNECTIONS_MAX = 32
DEADLINE_SECONDS = 5.0
"""For a request; and again for its answer and the client's end of the connection."""


class HealthListener:
    """Answers with pages made of `report`."""

    def __init__(self, report: Callable[[], AgentReport]) -> None:
        self._report = report
        self._server: asyncio.Server | None = None
        self._closed = False
        self._connections: dict[_Connection, None] = {}
        """Oldest first."""

    def __repr__(self) -> str:
        return f"<HealthListener {len(self._connections)} connections>"

    async def start(self, host: str, port: int) -> None:
        """Listen; an empty `host` is every address. Raises OSError."""
        loop = asyncio.get_running_loop()
        self._closed = False
        self._server = await loop.create_server(lambda: _Connection(self), host or None, port)
        for sock in self._server.sockets:
            bound, number = sock.getsockname()[:2]
            log.info("health endpoints at http://%s:%d", f"[{bound}]" if ":" in bound else bound, number)

    def close(self) -> None:
        """Listen no more, and end every connection, also one that was just accepted; idempotent."""
        self._closed = True
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in list(self._connections):
            connection.abort()

    # --- told by the connections

    def came(self, connection: "_Connection") -> None:
        """A connection is open."""
        if self._closed:
            connection.abort()
            return
        if len(self._connections) >= CONNECTIONS_MAX:
            next(iter(self._connections)).abort()
        self._connections[connection] = None

    def left(self, connection: "_Connection") -> None:
        """It is gone; idempotent."""
        self._connections.pop(connection, None)

    def answer(self, reader: Reader, data: bytes) -> bytes | None:
        """What to write after `data`, once the request is there."""
        try:
            request = reader.feed(data)
            return None if request is None else answer(page(request.path, self._report), head_only=request.head_only)
        except RefusedError as error:
            return refusal(error)
        except Exception:
            log.exception("an answer of the health endpoints failed")
            return answer(Page(500, "this failed; the agent's log has the reason\n"))


class _Connection(asyncio.Protocol):
    """One request, its answer, and the wait for the client's end."""

    def __init__(self, listener: HealthListener) -> None:
        self._listener = listener
        self._reader: Reader | None = Reader()
        """None once the answer was written."""
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the request."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its classes
        self._end_within(self._late)
        self._listener.came(self)

    def data_received(self, data: bytes) -> None:
        """Answer once the request is complete; what comes after it is dropped."""
        if self._reader is not None and (text := self._listener.answer(self._reader, data)) is not None:
            self._say(text)

    def eof_received(self) -> bool:
        """The client has said all: it still gets an answer that waits, but none if its request is unfinished."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (asyncio calls it so)
        """Gone."""
        self._transport = None
        if self._deadline is not None:
            self._deadline.cancel()
        self._listener.left(self)

    def abort(self) -> None:
        """End it now."""
        self._listener.left(self)
        if self._transport is not None:
            self._transport.abort()

    def _say(self, text: bytes) -> None:
        self._reader = None
        self._end_within(self.abort)
        if self._transport is not None:
            self._transport.write(text)
            self._transport.write_eof()

    def _end_within(self, late: Callable[[], None]) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = asyncio.get_running_loop().call_later(DEADLINE_SECONDS, late)

    def _late(self) -> None:
        self._say(refusal(RefusedError(408, f"no whole request within {DEADLINE_SECONDS:g} s")))
