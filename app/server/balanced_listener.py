"""Where a TCP balancer connects: each connection begins with a PROXY header, which says who the client is.

The header comes before TLS, so these connections are accepted here and not by the loop's server: a header is read
(`arrival.py`), then the socket becomes a transport as any other. Only peers that are trusted may send one; others are
closed unread. A connection without a header is closed too: the protocol forbids to guess (its section 2).

Invariant: `len` counts every connection that was accepted and whose protocol is not connected yet. Those without a
header are at most `MOST_WAITING`, and fewer where there is no room: the oldest has to go for a new one.
"""

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Callable
from functools import partial
from ssl import SSLContext
from typing import Final

from ..observed.metrics import HeaderFault
from .arrival import Arrival
from .doorman import Doorman
from .listener import ACCEPTS_PER_TURN, TLS_ACCEPTS_PER_TURN, TLS_HANDSHAKE_SECONDS, TLS_SHUTDOWN_SECONDS
from .proxy_header import ProxyHeader
from .sockets import keep_alive

logger = logging.getLogger("gateway")

MOST_WAITING: Final = 512
"""Connections whose header has not come: a balancer may wait for its client's first bytes before it sends one. They
hold at most 1 MiB (`HEADER_BYTES` each)."""
LAST_SECONDS: Final = 1.0
"""For headers and TLS handshakes that are under way when it closes."""
_REST_SECONDS: Final = 1.0
"""Before it accepts again, after the system had no room."""
_NO_ROOM: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class BalancedListener:
    """See the module. `make`: the protocol of a client's address and the one it connected to; empty: the socket's.

    `room`: how many connections more there may be, besides those that have their protocol.
    """

    def __init__(
        self, make: Callable[[str, str], asyncio.Protocol], host: str, port: int, *, backlog: int, doorman: Doorman,
        tls: SSLContext | None = None, room: Callable[[], int] = lambda: MOST_WAITING,
    ) -> None:  # fmt: skip
        self._make = make
        self._host = host
        self._port = port
        self._backlog = backlog
        self._doorman = doorman
        self._tls = tls
        self._accepts = ACCEPTS_PER_TURN if tls is None else TLS_ACCEPTS_PER_TURN
        self._room = room
        self._loop = asyncio.get_running_loop()
        self._sockets: list[socket.socket] = []
        self._rest: asyncio.TimerHandle | None = None
        self._waiting: dict[Arrival, None] = {}
        """By age."""
        self._connecting: set[asyncio.Task[None]] = set()
        self._empty: asyncio.Future[None] | None = None  # somebody waits for the last one

    async def open(self) -> None:
        """Listen on every address of the host. Raises OSError if one of them cannot be had."""
        flags = socket.AI_PASSIVE
        found = await self._loop.getaddrinfo(self._host or None, self._port, type=socket.SOCK_STREAM, flags=flags)
        try:
            for family, _, protocol, _, address in dict.fromkeys(found):
                self._sockets.append(self._listening(family, protocol, address))
        except OSError:
            for sock in self._sockets:
                sock.close()
            self._sockets = []
            raise
        self._accept_all()

    @property
    def address(self) -> tuple[str, int]:
        """The first address that it listens on. Not to be asked before `open` or after `close`."""
        host, port = self._sockets[0].getsockname()[:2]
        return host, port

    async def close(self) -> None:
        """Accept what waits in the backlog, listen no more, and wait a moment for headers. Again: wait no more."""
        sockets, self._sockets = self._sockets, []
        if self._rest is not None:
            self._rest.cancel()
        for sock in sockets:
            self._loop.remove_reader(sock)
        for _ in range(self._backlog):  # clients that come all the time must not keep it open
            if not sum(self._accept(sock) for sock in sockets):
                break
            await asyncio.sleep(0)
        for sock in sockets:
            sock.close()
        if sockets and len(self):
            self._empty = self._loop.create_future()
            await asyncio.wait((self._empty,), timeout=LAST_SECONDS)
        for arrival in [*self._waiting]:
            arrival.close()
        self._waiting.clear()
        connecting = [*self._connecting]
        for task in connecting:
            task.cancel()
        if connecting:
            await asyncio.wait(connecting)
        self._look()

    # --- sockets

    def _listening(self, family: int, protocol: int, address: tuple[object, ...]) -> socket.socket:
        sock = socket.socket(family, socket.SOCK_STREAM, protocol)  # asyncio sets TCP_NODELAY if it is TCP by name
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # 0.0.0.0 is another socket's
            keep_alive(sock)
            sock.setblocking(False)
            sock.bind(address)
            sock.listen(self._backlog)
        except OSError as error:
            sock.close()
            text = f"cannot listen on {address[0]} port {address[1]}: {(error.strerror or str(error)).lower()}"
            raise OSError(error.errno, text) from None
        return sock

    def _accept_all(self) -> None:
        self._rest = None
        for sock in self._sockets:
            self._loop.add_reader(sock, self._accept, sock)

    def _accept(self, listening: socket.socket) -> bool:
        """Accept what is there, so many at most. Whether there was one."""
        for count in range(self._accepts):
            try:
                sock, (peer, *_) = listening.accept()
            except (BlockingIOError, InterruptedError):
                return count > 0
            except OSError as error:
                if error.errno in _NO_ROOM:
                    self._pause(error)
                    return False
                continue  # that client's own (accept(2))
            self._meet(sock, peer)
        return True

    def _pause(self, error: OSError) -> None:
        """The socket stays readable, and would cost all the loop's time."""
        logger.error("cannot accept connections: %s; next try in %g s", error.strerror, _REST_SECONDS)
        for sock in self._sockets:
            self._loop.remove_reader(sock)
        if self._rest is None and self._sockets:
            self._rest = self._loop.call_later(_REST_SECONDS, self._accept_all)

    # --- connections

    def _meet(self, sock: socket.socket, peer: str) -> None:
        if not self._doorman.is_trusted(peer):
            sock.close()
            self._doorman.refused(HeaderFault.UNTRUSTED, peer, "it is not in trusted_proxies")
            return
        sock.setblocking(False)
        arrival = Arrival(sock, peer, self._greeted, self._refused)
        self._waiting[arrival] = None
        arrival.begin()
        if len(self._waiting) > 1 and len(self._waiting) > min(MOST_WAITING, self._room() - len(self._connecting)):
            next(iter(self._waiting)).refuse(HeaderFault.CROWDED, "too many newer ones wait for their header")

    def _refused(self, arrival: Arrival, fault: HeaderFault | None, text: str) -> None:
        self._waiting.pop(arrival, None)
        if fault is not None:
            self._doorman.refused(fault, arrival.peer, text)
        self._look()

    def _greeted(self, arrival: Arrival, header: ProxyHeader) -> None:
        task = self._loop.create_task(self._connect(arrival.sock, header))
        self._connecting.add(task)
        self._waiting.pop(arrival, None)
        task.add_done_callback(self._connected)

    async def _connect(self, sock: socket.socket, header: ProxyHeader) -> None:
        peer = local = ""
        if header.source is not None and header.destination is not None:
            peer, local = header.source[0], header.destination[0]
        handshake, shutdown = (None, None) if self._tls is None else (TLS_HANDSHAKE_SECONDS, TLS_SHUTDOWN_SECONDS)
        with contextlib.suppress(OSError):  # the client left, or does not speak TLS
            await self._loop.connect_accepted_socket(
                partial(self._make, peer, local), sock, ssl=self._tls,
                ssl_handshake_timeout=handshake, ssl_shutdown_timeout=shutdown,
            )  # fmt: skip

    def _connected(self, task: asyncio.Task[None]) -> None:
        self._connecting.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a connection could not be made", exc_info=error)
        self._look()

    def _look(self) -> None:
        if self._empty is not None and not len(self) and not self._empty.done():
            self._empty.set_result(None)

    def __len__(self) -> int:
        return len(self._waiting) + len(self._connecting)

    def __repr__(self) -> str:
        return f"<BalancedListener {self._host}:{self._port}, {len(self)} connections begin>"
