"""One connection of a TCP balancer until its PROXY header was read: at most `HEADER_SECONDS`.

The header is taken from the socket to its last byte and no further: what follows is TLS or HTTP, and is read by others.
So bytes are looked at first (MSG_PEEK), and then taken. While the header is not complete all of them belong to it and
are taken, so a sender that trickles costs one look a piece, and a readable socket is never asked in vain.

Invariants: `done` or `refused` is called once, or `close` was; the socket is in no set of the loop any more by then.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from ..observed.metrics import HeaderFault
from .proxy_header import HEADER_BYTES, ProxyHeader, ProxyHeaderError, read_proxy_header

HEADER_SECONDS: Final = 5.0
"""The protocol asks for 3 s at least, the time of one lost segment (its section 2). A balancer sends it at once."""


class Arrival:
    """See the module. `refused` is told why, or nothing: the balancer only tried whether the port is open."""

    __slots__ = ("_done", "_loop", "_refused", "_taken", "_timer", "peer", "sock")

    def __init__(
        self, sock: socket.socket, peer: str, done: "Callable[[Arrival, ProxyHeader], None]",
        refused: "Callable[[Arrival, HeaderFault | None, str], None]",
    ) -> None:  # fmt: skip
        self.sock = sock
        self.peer = peer
        """The balancer's address."""
        self._done = done
        self._refused = refused
        self._taken = b""
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Read what is there, and wait for the rest."""
        if self._read():
            self._timer = self._loop.call_later(HEADER_SECONDS, self._late)
            self._loop.add_reader(self.sock, self._read)

    def refuse(self, fault: HeaderFault | None, text: str) -> None:
        """Close it, and tell why."""
        self.close()
        self._refused(self, fault, text)

    def close(self) -> None:
        """Close the connection, and tell nobody; idempotent."""
        self._let_go()
        self.sock.close()

    def _read(self) -> bool:
        """Whether more is needed."""
        try:
            seen = self.sock.recv(HEADER_BYTES, socket.MSG_PEEK)
            header = read_proxy_header(self._taken + seen)
            self._taken += self.sock.recv(header.size_bytes - len(self._taken) if header else len(seen))
        except (BlockingIOError, InterruptedError):
            return True
        except OSError:  # reset
            seen, header = b"", None
        except ProxyHeaderError as error:
            self.refuse(HeaderFault.INVALID, str(error))
            return False
        if header is not None:
            self._let_go()
            self._done(self, header)
        elif not seen:
            self._end()
        return header is None and bool(seen)

    def _end(self) -> None:
        if self._taken:
            self.refuse(HeaderFault.INVALID, "it ended within the header")
        else:
            self.refuse(None, "")

    def _late(self) -> None:
        self._timer = None
        self.refuse(HeaderFault.LATE, f"no whole header within {HEADER_SECONDS:g} s")

    def _let_go(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.sock.fileno() >= 0:
            self._loop.remove_reader(self.sock)

    def __repr__(self) -> str:
        return f"<Arrival from {self.peer}, {len(self._taken)} bytes of its header>"
