"""One agent's WebSocket: accepts it, reads for its link, and writes what the link wants to send.

Nothing else awaits an agent's WebSocket. The reader never waits for the writer, and the writer sends a bounded amount
per loop turn. The last frames get one second, so a peer that does not read cannot keep the socket open.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

import msgspec

from tunnel.gateway.link import Link
from tunnel.gateway.timing import Timing
from tunnel.port import Headers
from tunnel.wire import message_limits, messages
from tunnel.yamux import Batch

from ..node.gateway import Gateway
from ..observed.events import EventKind
from ..observed.metrics import AgentRefused
from ..rules.request import Request
from ..settings import fingerprint, token_hash
from .publishing import Publishing, decline
from .refused import tell

logger = logging.getLogger("gateway.agents")

TWIN_CODE = 1013
"""With which the registry closes a link whose agent id another process has; nothing else closes a link with it."""
_FLUSH_SECONDS = 1.0
"""Time for the last frames of a link, and again for its close frame."""
_LARGE_MESSAGE_BYTES = 32 * 1024
_TURN_BYTES = 32 * 1024
"""Sent in one loop turn; the message that crosses this limit is the last of the turn."""


class AgentLeftError(Exception):
    """The WebSocket ended."""

    @classmethod
    def with_code(cls, code: int, reason: str) -> "AgentLeftError":
        """In plain words. 1005 and 1006 are never sent (RFC 6455 section 7.4.1): they stand for what did not come."""
        if code == 1006:
            return cls("the connection was lost without a close")
        if code == 1005:
            return cls("closed by the agent without a code")
        return cls(f"closed with {code} {reason}".strip())


class Channel(Protocol):
    """An agent's WebSocket without ASGI, at the door of our own (`app/server/agent_channel.py`)."""

    divides: bool
    """Whether binary messages arrive in the pieces in which they come."""

    def start(
        self, on_text: Callable[[str], None], on_bytes: Callable[[bytes], None], on_writable: Callable[[], None]
    ) -> None:
        """Start to pass messages on."""

    def send(self, message: str | Batch) -> bool:
        """Write one message; False: wait for `on_writable`."""

    def hold_little(self) -> None:
        """Let as little as possible wait below `send`, so that what is small may overtake what is large."""


class AgentWebSocket(Protocol):
    """One agent's WebSocket, from either door. Sending raises OSError once the agent is gone."""

    @property
    def message_limit_bytes(self) -> int:
        """The largest message that the server accepts."""

    @property
    def can_refuse(self) -> bool:
        """Whether the server can answer the handshake with our response."""

    def begin(self) -> Awaitable[bool]:
        """Wait for the server to hand over the handshake. False: the agent has left."""

    def accept(self) -> Awaitable[None]:
        """Answer 101."""

    def refuse(self, status: int, headers: Headers, body: bytes, /) -> Awaitable[None]:
        """Answer the handshake with this response."""

    def channel(self) -> Channel | None:
        """The server's own channel for this WebSocket; None if it has none. Call it once, right after `accept`."""

    def receive(self) -> Awaitable[str | bytes]:
        """The next message. Raises AgentLeftError with the reason when the WebSocket has ended."""

    def send(self, message: str | bytes, /) -> Awaitable[None]:
        """Send one message."""

    def close(self, code: int, reason: str, /) -> Awaitable[None]:
        """Close."""


class AgentSocket:
    """One agent's WebSocket, before and after it has a link."""

    def __init__(self, gateway: Gateway, request: Request, websocket: AgentWebSocket) -> None:
        self.gateway = gateway
        self.request = request
        self._websocket = websocket
        self._loop = asyncio.get_running_loop()  # kept, because each get_running_loop() is a system call (getpid)
        self._wake = asyncio.Event()
        self._over = asyncio.Event()  # the link has ended
        self._announced = False
        self._channel: Channel | None = None
        self._flush_turn: asyncio.Handle | None = None
        self._full = False
        self._close_sent = False
        self.link: Link | None = None
        self._publishing: Publishing | None = None  # of a link that publishes
        self._accepts_bytes = 0  # as we told the agent
        self._agent_limit = msgspec.Raw()  # as the agent told us
        self.last_text = ""
        """Text of the last envelope that `envelope` returned."""

    async def accept(self) -> None:
        """Accept the handshake. Raises AgentLeftError."""
        if not await self._websocket.begin():
            raise AgentLeftError("the agent left before the handshake")
        await self._websocket.accept()
        self._channel = self._websocket.channel()

    async def envelope(self, *kinds: str) -> messages.Envelope:
        """The next control message of one of these types; skips others. Raises AgentLeftError, MessageError."""
        while True:
            message = await self._websocket.receive()
            envelope = messages.decode_envelope(message)
            if envelope.type in kinds:
                self.last_text = message if isinstance(message, str) else message.decode()
                return envelope

    async def send_text(self, text: str) -> None:
        """Send one control message, before there is a link that sends."""
        await self._websocket.send(text)

    async def confirm(
        self, register: messages.Register, request_id: str | None, cluster: str, gateway_ws_url: str = "",
        *, publishes: bool = False,
    ) -> None:  # fmt: skip
        """Answer a registration. The link will keep to what both ends said about their messages."""
        self._accepts_bytes = min(self._websocket.message_limit_bytes, self.gateway.settings.server_message_bytes)
        self._agent_limit = register.message_limit_bytes
        success = messages.RegisterSuccess(
            cluster_id=cluster,
            cluster_uuid=cluster,
            name=register.name,
            gateway_ws_url=gateway_ws_url,
            message_limit_bytes=message_limits.told(self._accepts_bytes),
            publishes=publishes,
        )
        await self.send_text(messages.encode("register_success", success, request_id))

    async def close(self, code: int, reason: str) -> None:
        """Close the WebSocket; idempotent."""
        if self._close_sent:
            return
        self._close_sent = True
        short = reason.encode()[:123].decode(errors="ignore")  # a close frame has no room for more
        with contextlib.suppress(OSError, RuntimeError):
            await self._websocket.close(code, short)

    def new_link(self, cluster: str, agent_id: str | None, *, publishes: bool = False) -> Link:
        """Make the link that this socket serves. One that publishes has an agent id."""
        registry = self.gateway.registry
        self.link = Link(
            cluster=cluster,
            agent_id=agent_id,
            publisher=agent_id or "" if publishes else "",
            wake=self._wake_up,
            on_ready=self._ready,
            on_identified=registry.identified,
            on_closed=self._closed,
            clock=time.monotonic,
            timing=Timing(
                ping_interval=self.gateway.settings.link_ping_interval,
                ping_timeout=self.gateway.settings.link_ping_timeout,
            ),
        )
        self.link.address, self.link.since = self.request.client, time.time()
        self.link.token_hash = token_hash(self.request.bearer_token)
        self.link.accepts_bytes = self._accepts_bytes
        self.link.agent_accepts(self._agent_limit)
        if self.link.publisher:
            self._publishing = Publishing(self.gateway, self.link, self.request)
        else:
            self.link.on_publish = partial(decline, self.link)
        return self.link

    async def serve(self, link: Link) -> None:
        """Read and write until the link or the WebSocket ends."""
        try:
            await self._serve(link)
        finally:
            # No circle is left: agents come and go, and the collector seldom looks for any.
            self.link = self._publishing = self._channel = None

    async def _serve(self, link: Link) -> None:
        if self._channel is not None:
            self._channel.start(link.text_received, link.bytes_received, self._drained)
        writer = asyncio.get_running_loop().create_task(self._write(link))
        reader = asyncio.get_running_loop().create_task(self._read(link))
        over = asyncio.get_running_loop().create_task(self._over.wait())
        reason = "connection lost"
        here = asyncio.current_task()
        self.gateway.sockets.add(here)
        try:
            done, _ = await asyncio.wait((reader, writer, over), return_when=asyncio.FIRST_COMPLETED)
            if link.close_code is not None:
                # Send the streams' resets first, but do not let a peer that does not read hold us here.
                await asyncio.wait((writer,), timeout=_FLUSH_SECONDS)
            for task in done:
                if (error := task.exception()) is not None:
                    reason = str(error) or type(error).__name__
                    if not isinstance(error, AgentLeftError | OSError):
                        logger.error("%s failed", link.name, exc_info=error)
                        link.close(1011, "internal error")
        finally:
            link.lost(reason, forget=True)
            for task in (reader, writer, over):
                task.cancel()
            await asyncio.gather(reader, writer, over, return_exceptions=True)
            self.gateway.sockets.discard(here)
        if link.close_code is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_FLUSH_SECONDS):
                    await self.close(link.close_code, link.close_reason)

    async def _read(self, link: Link) -> None:
        while True:
            message = await self._websocket.receive()
            if isinstance(message, str):
                link.text_received(message)
            else:
                link.bytes_received(message)

    # --- on the server's own channel

    def _wake_up(self) -> None:
        if self._flush_turn is not None or self._full:
            return
        if self._channel is None:
            self._wake.set()
        else:
            self._flush_turn = self._loop.call_soon(self._flush)

    def _drained(self) -> None:
        self._full = False
        if self.link is not None:
            self.link.pace.drained(self._loop.time())
        self._wake_up()

    def _flush(self) -> None:
        """Send what the link has, up to one turn's limit.

        Several messages per turn, because each turn costs a poll of the whole event loop.
        """
        self._flush_turn = None
        link, channel = self.link, self._channel
        if link is None or channel is None:
            return
        sent = 0
        while (message := link.next_message()) is not None:
            if not channel.send(message):
                self._full = True
                link.pace.blocked(len(message), self._loop.time())
                return
            sent += len(message)
            if sent >= _TURN_BYTES:
                link.pace.taken(sent)
                self._wake_up()
                return
            if not link.has_more:
                break
        if link.close_code is not None and link.has_said_all:
            self._wake.set()  # everything is sent

    async def _write(self, link: Link) -> None:
        """Send the link's messages until it is closed."""
        wake = self._wake
        if self._channel is not None:
            self._wake_up()
            await wake.wait()
            return
        while True:
            message = link.next_message()
            if message is None:
                if link.has_said_all:
                    return
                wake.clear()
                await wake.wait()
            else:
                await self._websocket.send(message if isinstance(message, str) else bytes(message))
                if len(message) >= _LARGE_MESSAGE_BYTES:
                    await asyncio.sleep(0)

    def _ready(self, link: Link) -> None:
        what = f"agent {self._name_of(link)} serves cluster {link.cluster}"
        if link.publisher:
            what = f"agent {self._name_of(link)} of cluster {link.cluster} may publish"
        logger.info("%s: %s", link.name, what)
        if self._channel is not None:
            self._channel.divides = link.dialect == "yamux"
            if self._channel.divides:
                self._channel.hold_little()
        self.gateway.registry.ready(link)
        if self._announced:
            return  # a doubted link has become ready again
        self._announced = True
        if not link.publisher:
            self.gateway.metrics.link_joined(link.cluster)
        self._tell(EventKind.LINK_READY, link, what)

    def _closed(self, link: Link, reason: str) -> None:
        self.gateway.registry.remove(link)
        if self._publishing is not None:
            self._publishing.end()
        else:
            self.gateway.last_seen.ended(link.cluster, time.time())
        self._over.set()
        logger.info("%s: agent %s of cluster %s is gone: %s", link.name, self._name_of(link), link.cluster, reason)
        if link.close_code == TWIN_CODE:
            tell(self.gateway, self.request, AgentRefused.TWIN, TWIN_CODE, reason,
                 cluster=link.cluster, agent=link.agent_id or "")  # fmt: skip
        if self._announced:
            text = f"agent {self._name_of(link)} of cluster {link.cluster} is gone: {reason}"
            self._tell(EventKind.LINK_GONE, link, text)

    def _tell(self, kind: EventKind, link: Link, text: str) -> None:
        self.gateway.events.emit(
            kind, text, cluster=link.cluster, agent=link.agent_id or "", link=link.name, address=self.request.client,
            token=fingerprint(link.token_hash),
        )  # fmt: skip

    def _name_of(self, link: Link) -> str:
        """As the log names the agent: by its address until it has named itself."""
        return link.agent_id or f"at {self.request.client}"
