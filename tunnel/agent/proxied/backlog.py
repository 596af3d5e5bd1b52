"""What the gateway sent for one service and the service has not taken yet: a request's body, or WebSocket frames.

These dialects have no flow control: a gateway may send faster than a service takes, and the link's reader never waits
for a service. So the bytes wait here; `pongs` slows down a gateway that paces itself by its pings. When more than
`WAITING_BYTES` wait and more come, that exchange is ended, with this reason, and no other. Invariants: the order is
kept; every waiting byte is in the account; after `discard` nothing is held and nothing is sent.
"""

from collections import deque

from tunnel.account import Account, Holding
from tunnel.port import Exchange

WAITING_BYTES = 4 * 1024 * 1024
"""Sixteen windows of 256 KiB, as our gateway keeps on the way; one message more than this may be held."""


class TooMuchWaitingError(Exception):
    """The service does not take what is sent to it; the text is for logs."""


class Backlog:
    """The bytes for one service, in order."""

    __slots__ = ("_account", "_discarded", "_ended", "_exchange", "_holding", "_waiting", "_welcome")

    def __init__(self, account: Account) -> None:
        self._account = account
        self._holding = Holding(account)
        self._exchange: Exchange | None = None
        self._waiting: deque[bytes] = deque()
        self._welcome = False
        self._ended = False
        self._discarded = False

    def __repr__(self) -> str:
        return f"<Backlog {self.waiting_bytes} bytes waiting{', ended' if self._ended else ''}>"

    @property
    def waiting_bytes(self) -> int:
        """What the service has not taken yet."""
        return self._holding.size_bytes

    def open(self, exchange: Exchange) -> None:
        """Give the service what waits. Raises what `Exchange.send_data` and `end` do."""
        self._exchange = exchange
        self._welcome = True
        self._flush()

    def put(self, data: bytes) -> None:
        """Take the next bytes; ignored once ended. Raises TooMuchWaitingError, and as `open`."""
        if self._ended or self._discarded or not data:
            return
        account = self._account
        if self.waiting_bytes > WAITING_BYTES or (self.waiting_bytes and account.held_bytes > account.hard_mark_bytes):
            msg = f"{self.waiting_bytes} bytes wait for the service, which does not take them"
            raise TooMuchWaitingError(msg)
        self._waiting.append(data)
        self._holding.add(len(data))
        self._flush()

    def end(self) -> None:
        """Nothing more comes. Raises as `open`."""
        if not self._ended:
            self._ended = True
            self._flush()

    def writable(self) -> None:
        """The service takes more. Raises as `open`."""
        self._welcome = True
        self._flush()

    def discard(self) -> None:
        """Hold nothing, send nothing; idempotent."""
        self._discarded = True
        self._exchange = None
        self._waiting.clear()
        self._holding.set(0)

    def _flush(self) -> None:
        while self._waiting and self._welcome and self._exchange is not None:
            data = self._waiting.popleft()
            self._holding.add(-len(data))
            self._welcome = self._exchange.send_data(data)
        if self._ended and not self._waiting and self._exchange is not None:
            exchange, self._exchange = self._exchange, None
            exchange.end()
