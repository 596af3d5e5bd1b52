"""Dials every other node that is heard of, and keeps one link to each.

One task per node: dial, wait for the end of the link, dial again after a pause with jitter. A node that refuses (wrong
secret, another node at its address) is asked again rarely; one that is dialled because its address changed is asked at
once. Another node at the address of one that does not beat is no fault: a node was killed and started again there. A
live link is kept when only the address changes: the node at its end has proved who it is.

Invariants: at most one link to each node; `on_change` is told of each change of state, in order; nothing is left after
`close`.
"""

import asyncio
import logging
import random
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from tunnel.account import Account
from tunnel.override import override
from tunnel.yamux import Role

from .counts import HopCounts
from .handshake import ANSWER_BEGINS, HandshakeError, HeadReader, Welcome, read_answer, request
from .session import PeerSession
from .upstream import Asking

logger = logging.getLogger("gateway")

MOST_NODES: Final = 1_000
"""That are dialled. Each is a task and a socket, and whoever may write to the bucket `nodes` can name a million."""
DIAL_SECONDS: Final = 4.0
"""To connect, and for TLS and the handshake."""
_FIRST_PAUSE_SECONDS: Final = 0.2
_LONGEST_PAUSE_SECONDS: Final = 5.0
_REFUSED_PAUSE_SECONDS: Final = 10.0
_OLD_SECONDS: Final = 4.0
"""After these it is known whether the node that was to be at an address beats any more."""
_SETTLED_SECONDS: Final = 5.0
"""A link that lived for so long was a good one: the next pause is the first again."""


class LinkState(Enum):
    """Of the link to one node, for presence."""

    DIALLING = "dialling"
    """For the first time, or at a new address."""
    UP = "up"
    LOST = "lost"
    """The link ended, or the dial failed; it is dialled again."""
    REFUSED = "refused"
    """The node answers, but takes no link from us, or is another one; it is dialled again, rarely."""


@dataclass(slots=True, frozen=True)
class PeerState:
    """The link to one node."""

    state: LinkState
    why: str = ""
    """Of LOST and REFUSED, for the operator."""


@dataclass(slots=True, frozen=True)
class Identity:
    """What this node shows when it dials. `secret` and `tls` are asked at each dial, so they may be renewed."""

    node: str
    build: str
    secret: Callable[[], bytes | None]
    tls: Callable[[], ssl.SSLContext | None] = lambda: None
    """For `https` addresses; None: the system's authorities."""


class Dialler:
    """See the module."""

    def __init__(
        self, identity: Identity, *, account: Account, on_change: Callable[[str, PeerState], None] = lambda *_: None,
        beats: Callable[[str], bool] = lambda _: True,
    ) -> None:  # fmt: skip
        """`beats`: whether a node is known to live."""
        self._identity = identity
        self._account = account
        self._on_change = on_change
        self._beats = beats
        self.counts = HopCounts()
        """What was asked of all nodes."""
        self._peers: dict[str, _Peer] = {}
        self._forgotten: list[_Peer] = []
        """Whose links may not have ended yet."""
        self._was_full = False

    def heard(self, node: str, url: str) -> None:
        """A node is there, at this address: link with it, if there is room. Idempotent: say it again now and then."""
        if node == self._identity.node:
            return
        peer = self._peers.get(node)
        if peer is None and len(self._peers) >= MOST_NODES:
            if not self._was_full:
                logger.warning("more than %d nodes are there: node %s and others are not dialled", MOST_NODES, node)
            self._was_full = True
        elif peer is None:
            self._peers[node] = _Peer(
                self._identity, node, url, self._account, self.counts, self._on_change, lambda: self._beats(node)
            )  # fmt: skip
        else:
            peer.moved(url)

    def forget(self, node: str) -> None:
        """The node is gone: end the link, and dial no more. Idempotent."""
        peer = self._peers.pop(node, None)
        if peer is not None:
            self._was_full = False
            peer.stop("the node is gone")
            self._forgotten = [*(other for other in self._forgotten if not other.is_over), peer]

    def asking(self, node: str) -> Asking | None:
        """What opens exchanges on the link to a node; None while it is not up."""
        peer = self._peers.get(node)
        return peer.asking if peer is not None else None

    def states(self) -> dict[str, PeerState]:
        """Of every node that was heard of."""
        return {node: peer.state for node, peer in self._peers.items()}

    async def close(self, reason: str = "the node stops") -> None:
        """End all links and stop dialling. Idempotent."""
        peers, self._peers = list(self._peers.values()), {}
        for peer in peers:
            peer.stop(reason)
        peers += self._forgotten
        self._forgotten = []
        await asyncio.gather(*(peer.stopped() for peer in peers))

    def __repr__(self) -> str:
        return f"<Dialler {', '.join(f'{node} {peer.state.state.value}' for node, peer in self._peers.items())}>"


class _Peer:
    """One node that is dialled."""

    def __init__(
        self, identity: Identity, node: str, url: str, account: Account, counts: HopCounts,
        on_change: Callable[[str, PeerState], None], beats: Callable[[], bool],
    ) -> None:  # fmt: skip
        self._identity = identity
        self._node = node
        self._url = url
        self._account = account
        self._counts = counts
        self._on_change = on_change
        self._beats = beats
        self._failures = 0
        self._refused_at: float | None = None  # for the first time
        self._has_warned = False  # of that
        self._moved = asyncio.Event()
        self._session: PeerSession | None = None
        self._closing: PeerSession | None = None
        self.asking: Asking | None = None
        self.state = PeerState(LinkState.DIALLING)
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"peer link to {node}")

    def moved(self, url: str) -> None:
        """The node's address, which may be a new one."""
        if url != self._url:
            self._url = url
            self._failures = 0
            self._moved.set()

    def stop(self, reason: str) -> None:
        """End the link, and dial no more."""
        self._task.cancel()
        session = self._closing = self._session
        if session is not None:
            session.close(reason)

    @property
    def is_over(self) -> bool:
        """It was stopped, and nothing is left of it."""
        return self._task.done() and (self._closing is None or self._closing.is_gone)

    async def stopped(self) -> None:
        """Wait for that."""
        await asyncio.gather(self._task, return_exceptions=True)
        if self._closing is not None:
            await self._closing.gone()

    # --- the task

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._moved.clear()
            pause = _LONGEST_PAUSE_SECONDS
            over: asyncio.Future[None] = loop.create_future()
            try:
                await self._dial(over)
                since = loop.time()
                await over
                self._failures = 0 if loop.time() - since >= _SETTLED_SECONDS else self._failures + 1
            except HandshakeError as error:
                if error.status not in {0, HTTPStatus.SERVICE_UNAVAILABLE}:
                    self._refused(error)
                    pause = _REFUSED_PAUSE_SECONDS
                else:
                    self._lost(str(error))
            except (OSError, TimeoutError, ValueError) as error:  # ValueError: the address
                self._lost(f"{type(error).__name__}: {error}" if str(error) else "no answer in time")
            except Exception:
                logger.exception("dialling node %s failed", self._node)
                self._lost("internal error")
            await self._pause(min(pause, _FIRST_PAUSE_SECONDS * 2 ** min(self._failures, 10)))

    async def _pause(self, seconds: float) -> None:
        """Ends early when the node has moved."""
        try:
            async with asyncio.timeout(seconds * random.uniform(0.5, 1.0)):  # noqa: S311 (jitter)
                await self._moved.wait()
            self._become(LinkState.DIALLING)
        except TimeoutError:
            pass

    async def _dial(self, over: asyncio.Future[None]) -> None:
        """Returns when the link is up; `over` is told of its end."""
        url = urlsplit(self._url)
        host, port = url.hostname, url.port
        if url.scheme not in {"http", "https"} or not host or not port:
            raise ValueError(f"the node's address is no http(s)://HOST:PORT: {self._url:.200}")
        tls = None
        if url.scheme == "https":
            tls = self._identity.tls() or ssl.create_default_context()
        loop = asyncio.get_running_loop()
        made: asyncio.Future[PeerSession] = loop.create_future()
        async with asyncio.timeout(DIAL_SECONDS):
            transport, _ = await loop.create_connection(
                lambda: _Dialled(self._identity, self._node, url.netloc, self._account, self._counts, made),
                host, port, ssl=tls, server_hostname=host if tls is not None else None,
            )  # fmt: skip
            try:
                session = await made
            except BaseException:
                transport.abort()
                raise
        self._up(session, over)

    def _up(self, session: PeerSession, over: asyncio.Future[None]) -> None:
        user = session.user
        if not isinstance(user, _Watched):
            raise HandshakeError(f"the link ended at once: {session.reason}")
        self._session, self.asking = session, user
        user.on_closed = lambda reason: self._ended(reason, over)
        logger.info("linked with node %s at %s", self._node, self._url)
        self._become(LinkState.UP)

    def _ended(self, reason: str, over: asyncio.Future[None]) -> None:
        self._session = self.asking = None
        logger.info("the link with node %s ended: %s", self._node, reason)
        if not over.done():
            over.set_result(None)
        self._become(LinkState.LOST, reason)

    def _lost(self, why: str) -> None:
        self._failures += 1
        if self.state.state is not LinkState.LOST:
            logger.warning("node %s cannot be dialled at %s: %s", self._node, self._url, why)
        self._become(LinkState.LOST, why)

    def _refused(self, error: HandshakeError) -> None:
        self._failures += 1
        now = asyncio.get_running_loop().time()
        first = self._refused_at = now if self._refused_at is None else self._refused_at
        if error.status == HTTPStatus.MISDIRECTED_REQUEST and (now - first < _OLD_SECONDS or not self._beats()):
            if self.state.state is not LinkState.REFUSED:
                logger.info("another node is at %s, where node %s was: %s", self._url, self._node, error)
        elif not self._has_warned:
            self._has_warned = True
            logger.warning("node %s at %s takes no link from this node: %s", self._node, self._url, error)
        self._become(LinkState.REFUSED, str(error))

    def _become(self, state: LinkState, why: str = "") -> None:
        if state is not LinkState.REFUSED:
            self._refused_at, self._has_warned = None, False
        self.state = PeerState(state, why)
        self._on_change(self._node, self.state)


class _Watched(Asking):
    """Tells its peer of the end of the link."""

    on_closed: Callable[[str], None] = staticmethod(lambda _: None)

    @override
    def closed(self, reason: str, /) -> None:
        super().closed(reason)
        on_closed = self.on_closed
        on_closed(reason)


class _Dialled(asyncio.Protocol):
    """A connection that we made, before its 101."""

    def __init__(
        self, identity: Identity, node: str, host: str, account: Account, counts: HopCounts,
        made: asyncio.Future[PeerSession],
    ) -> None:  # fmt: skip
        self._identity = identity
        self._node = node
        self._host = host
        self._account = account
        self._counts = counts
        self._made = made
        self._reader = HeadReader(ANSWER_BEGINS)
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the link."""
        self._transport = transport  # type: ignore[assignment]
        identity = self._identity
        head = request(self._host, identity.node, identity.build, identity.secret(), to=self._node)
        transport.write(head)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        """A part of the answer."""
        transport = self._transport
        if transport is None or self._made.done():
            return
        try:
            head = self._reader.feed(data)
            if head is None:
                return
            self._check(read_answer(head, self._reader.rest))
        except (HandshakeError, ValueError) as error:
            self._made.set_exception(error)
            return
        session = PeerSession(Role.CLIENT, self._node, account=self._account, loop=asyncio.get_running_loop())
        session.start(transport, _Watched(session, self._counts), self._reader.rest)
        self._made.set_result(session)

    def _check(self, answered: Welcome) -> None:
        """Raises HandshakeError unless it is the node that was dialled."""
        if answered.node == self._identity.node:
            raise HandshakeError("the address leads to this node itself", HTTPStatus.MISDIRECTED_REQUEST)
        if answered.node != self._node:
            text = f"another node answers at the address: {answered.node}"
            raise HandshakeError(text, HTTPStatus.MISDIRECTED_REQUEST)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._transport = None
        if not self._made.done():
            self._made.set_exception(exc or ConnectionResetError("the node closed the connection"))
