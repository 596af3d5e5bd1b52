"""An agent's WebSocket on a connection of our own: an `AgentWebSocket`, and the `Peer` of its connection.

Who admits agents awaits what they send until there is a link (`app/agents/`); one task of this connection does. The
link's own messages go straight from the channel to the link. Answers have a Date, with which `tunnel-agent check` looks
at the agent's clock.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from tunnel.port import Headers

from ..agents.socket import AgentLeftError
from ..public.dates import dated
from .agent_channel import AgentChannel
from .handshake import TurnedDown, accepting
from .upgraded import Upgraded

if TYPE_CHECKING:
    from .connection import Connection

logger = logging.getLogger("gateway")


class AgentHandshake(Upgraded[AgentChannel]):
    """See the module. `serve` is given this object, and runs until the agent's WebSocket has ended."""

    can_refuse = True

    @property
    def message_limit_bytes(self) -> int:
        """See `AgentWebSocket`."""
        return self._settings[1]

    def __init__(
        self, connection: "Connection", key: bytes, pings: tuple[float | None, float | None], max_message_bytes: int,
        serve: "Callable[[AgentHandshake], Awaitable[None]]", tasks: "set[asyncio.Task[None]]",
    ) -> None:  # fmt: skip
        super().__init__(connection, key, pings, max_message_bytes)
        self._serve = serve
        self._tasks = tasks
        self._queue: asyncio.Queue[str | bytes | AgentLeftError] = asyncio.Queue()
        self._refusing: asyncio.Future[None] | None = None
        self._is_gone = False

    # --- told by the connection

    def serve(self) -> None:
        """Serve the agent, in a task."""
        task = self._loop.create_task(self._run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def left(self) -> None:
        """The connection is gone; idempotent."""
        self._is_gone = True
        self._lose()
        self._ended(1006, "")
        self._refused(False)

    def shutdown(self) -> None:
        """The server stops."""
        if self._socket is not None:
            self._ended(1012, "")
            self._socket.close(1012, "")
            self._socket.hang_up()

    # --- awaited by who serves the agent

    async def begin(self) -> bool:
        """See `AgentWebSocket.begin`."""
        return not self._is_gone

    async def accept(self) -> None:
        """Answer 101. Raises OSError if the agent is gone."""
        transport = self._connection.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the agent has left")
        transport.write(accepting(self._key, None, dated([])))
        wire = self._make_socket(transport)
        wire.on_received, wire.on_ended, wire.ping_failed = self._queue.put_nowait, self._ended, self._ping_failed
        channel = self._channel = AgentChannel(wire)
        self._connection.open(self, channel)

    async def refuse(self, status: int, headers: Headers, body: bytes, /) -> None:
        """Answer the handshake with this, and wait until that is with the transport."""
        self._refusing = self._loop.create_future()
        self._connection.turn_down(TurnedDown(self._refused), status, dated(headers), body)
        if self._is_gone or self._connection.transport is None:
            return
        await self._refusing

    def channel(self) -> AgentChannel | None:
        """The channel, after `accept`."""
        return self._channel

    async def receive(self) -> str | bytes:
        """The next message. Raises AgentLeftError."""
        if self._queue.empty() and self._is_gone:
            raise AgentLeftError.with_code(1006, "")
        message = await self._queue.get()
        socket = self._socket
        if socket is not None and socket.read_paused and self._queue.empty():
            socket.read_paused = False
            if not socket.transport.is_closing():
                socket.transport.resume_reading()
        if not isinstance(message, AgentLeftError):
            return message
        try:
            raise message
        finally:
            del message  # else the error and this frame are a circle

    async def send(self, message: str | bytes, /) -> None:
        """Send one message. Raises OSError once the agent is gone."""
        if self._is_gone or self._channel is None:
            raise ConnectionResetError("the agent has left")
        self._channel.send(message)

    async def close(self, code: int, reason: str, /) -> None:
        """Close; idempotent."""
        if self._socket is not None:
            self._socket.close(code, reason)

    # --- inside

    async def _run(self) -> None:
        try:
            await self._serve(self)
        except Exception:  # a bug: it ends only this agent's WebSocket
            logger.exception("serving an agent failed")
        finally:
            if self._refusing is None and (self._socket is None or self._socket.close_timer is None):
                self._connection.close()

    def _refused(self, _: bool) -> None:
        if self._refusing is not None and not self._refusing.done():
            self._refusing.set_result(None)

    def _ended(self, code: int, reason: str) -> None:
        self._queue.put_nowait(AgentLeftError.with_code(code, reason))

    def _ping_failed(self, _: int) -> None:
        self._queue.put_nowait(AgentLeftError("nothing was received after a WebSocket ping"))
