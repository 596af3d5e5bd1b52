"""The internal listener: where other nodes dial, and nobody else. A plain asyncio server, whatever serves our clients.

Who presents a secret, or a client certificate, gets a peer link, on which it opens streams; all others get a short
refusal. Bounds of what is not admitted yet: `ARRIVALS` connections, a head of `HEAD_LIMIT_BYTES`, `ARRIVAL_SECONDS` to
the end of the handshake. The latest link of a node replaces its older one: a node that dials again has lost it.
"""

import asyncio
import logging
from collections.abc import Callable
from http import HTTPStatus
from math import inf
from ssl import SSLContext
from typing import Any, Final

from tunnel.account import Account
from tunnel.yamux import Role

from . import handshake
from .handshake import Access, HeadReader, Hello, RefusedError
from .serving import Serving
from .session import PeerSession

logger = logging.getLogger("gateway")

ARRIVALS: Final = 64
"""Not admitted yet. Every node of a cluster may dial at the same moment."""
ARRIVAL_SECONDS: Final = 5.0
_BACKLOG: Final = 512


class PeerListener:
    """See the module. `node` and `build` are this node's; `access` may be replaced at any time."""

    def __init__(
        self, serving: Serving, *, node: str, build: str, host: str, port: int, access: Access, account: Account,
        tls: SSLContext | None = None, on_change: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self.access = access
        self.links: dict[str, PeerSession] = {}
        """By the ids of the nodes that dialled."""
        self.builds: dict[str, str] = {}
        """Of these nodes."""
        self._serving = serving
        self._node = node
        self._build = build
        self._host = host
        self._port = port
        self._account = account
        self._tls = tls
        self._on_change = on_change
        self._arrivals: set[Arrival] = set()
        self._server: asyncio.Server | None = None
        self._is_stopping = False
        self.refused = 0
        """Connections that were not admitted."""
        self._warned_at = -inf

    async def open(self) -> None:
        """Listen. Raises OSError."""
        loop = asyncio.get_running_loop()
        options: dict[str, Any] = {"backlog": _BACKLOG}
        if self._tls is not None:
            options |= {"ssl": self._tls, "ssl_handshake_timeout": ARRIVAL_SECONDS, "ssl_shutdown_timeout": 1.0}
        self._server = await loop.create_server(self.arrival, self._host, self._port, **options)

    @property
    def address(self) -> tuple[str, int]:
        """The first address that it listens on. Not to be asked before `open` or after `close`."""
        if self._server is None:
            raise RuntimeError("the peer listener is not open")
        host, port = self._server.sockets[0].getsockname()[:2]
        return host, port

    def drain(self) -> None:
        """Take no new links and no new streams; what runs goes on. Idempotent."""
        self._is_stopping = self._serving.is_draining = True

    async def close(self, reason: str = "the node stops") -> None:
        """End all links, and listen no more. Idempotent."""
        self.drain()
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for arrival in list(self._arrivals):
            arrival.drop()
        sessions = list(self.links.values())
        for session in sessions:
            session.close(reason)
        await asyncio.gather(*(session.gone() for session in sessions))

    # --- told by arrivals

    def arrival(self) -> "Arrival":
        """The protocol of a new connection."""
        return Arrival(self)

    def came(self, arrival: "Arrival") -> None:
        """A connection was made. Raises RefusedError if there is no room for it."""
        if self._is_stopping:
            raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "the node is stopping")
        if len(self._arrivals) >= ARRIVALS:
            raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections wait for admission")
        self._arrivals.add(arrival)

    def left(self, arrival: "Arrival") -> None:
        """It was admitted, refused, or lost; idempotent."""
        self._arrivals.discard(arrival)

    def note_refused(self, address: str, error: RefusedError) -> None:
        """Tell the operator, once a second at the most: anybody can be refused as often as he likes.

        Who looks for another node here has proved that it is one of ours, and says itself whether that is a fault.
        """
        self.refused += 1
        if error.status == HTTPStatus.MISDIRECTED_REQUEST:
            logger.info("peer link from %s refused: %s", address, error)
            return
        now = asyncio.get_running_loop().time()
        if now - self._warned_at >= 1.0:
            self._warned_at = now
            logger.warning(
                "peer link from %s refused: %d: %s (%d since the start)", address, error.status, error, self.refused
            )  # fmt: skip

    def admit(self, hello: Hello, *, has_certificate: bool) -> PeerSession:
        """The session for who dials. Raises RefusedError."""
        if not self.access.allows(hello.secret, has_certificate=has_certificate):
            raise RefusedError(
                HTTPStatus.UNAUTHORIZED, "present a secret of this cluster (peer_secret_file), or a client certificate"
            )
        if hello.wanted != self._node:
            itself = ", which has dialled itself" if hello.node == self._node else ""
            raise RefusedError(HTTPStatus.MISDIRECTED_REQUEST, f"another node is here by now: {self._node}{itself}")
        if hello.node == self._node:
            raise RefusedError(HTTPStatus.MISDIRECTED_REQUEST, "another node may not have the id of this one")
        if self._is_stopping:
            raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "the node is stopping")
        loop = asyncio.get_running_loop()
        session = PeerSession(Role.SERVER, hello.node, account=self._account, loop=loop)
        older = self.links.get(hello.node)
        self.links[hello.node] = session
        self.builds[hello.node] = hello.build
        if older is not None:
            older.close("the node has dialled again")
        return session

    def start(self, session: PeerSession, transport: asyncio.Transport, early: bytes) -> None:
        """Answer 101, and let the node open streams."""
        transport.write(handshake.welcome(self._node, self._build))
        session.start(transport, self._serving.user_of(session, lambda reason: self._lost(session, reason)), early)
        logger.info("node %s at %s has linked", session.node, session.address)
        self._on_change()

    def _lost(self, session: PeerSession, reason: str) -> None:
        if self.links.get(session.node) is session:
            del self.links[session.node]
            del self.builds[session.node]
        logger.info("the link of node %s ended: %s", session.node, reason)
        self._on_change()

    def __repr__(self) -> str:
        return f"<PeerListener {self._host}:{self._port}, {len(self.links)} links, {len(self._arrivals)} arrivals>"


class Arrival(asyncio.Protocol):
    """A connection that is not admitted yet."""

    def __init__(self, listener: PeerListener) -> None:
        self._listener = listener
        self._reader = HeadReader(handshake.REQUEST_BEGINS)
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody connected: the handshake has a deadline."""
        self._transport = transport  # type: ignore[assignment]
        self._deadline = asyncio.get_running_loop().call_later(ARRIVAL_SECONDS, self.drop)
        try:
            self._listener.came(self)
        except RefusedError as error:
            self._refuse(error)

    def data_received(self, data: bytes) -> None:
        """A part of the request."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        try:
            head = self._read(data)
            if head is None:
                return
            certificate = transport.get_extra_info("peercert")
            session = self._listener.admit(handshake.read_request(head), has_certificate=bool(certificate))
        except RefusedError as error:
            self._refuse(error)
            return
        self._release()
        self._listener.start(session, transport, self._reader.rest)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  (the transport's)
        """It is gone."""
        self._transport = None
        self._release()

    def drop(self) -> None:
        """End the connection without an answer."""
        if self._transport is not None:
            self._transport.abort()
        self._release()

    def _read(self, data: bytes) -> bytes | None:
        try:
            return self._reader.feed(data)
        except ValueError as error:
            raise RefusedError(HTTPStatus.BAD_REQUEST, str(error)) from None

    def _refuse(self, error: RefusedError) -> None:
        transport = self._transport
        if transport is not None:
            peer = transport.get_extra_info("peername")
            self._listener.note_refused(peer[0] if peer else "?", error)
            transport.write(handshake.refusal(error))
            transport.close()
        self._listener.left(self)  # the deadline stays, for one that does not read

    def _release(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self._listener.left(self)
