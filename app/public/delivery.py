"""What the client's server was given of an answer: how much of it the client has not taken, and since when.

It counts what is held for the client in the process's account, and the seconds that the client lets us wait. While the
client has not taken 16 KiB, the exchange is paused: a service gets its credit back only as the client's server takes
the bytes.
"""

from abc import ABC

from tunnel.account import Holding
from tunnel.port import ResponseHead

from ..node.gateway import Gateway
from ..node.stalls import Lag
from ..rules.request import Request
from ..rules.routes import Route
from .client_port import HttpClient
from .http_states import ANSWERING, CHOOSING, State
from .opening_call import OpeningCall

PAUSE_BYTES = 16 * 1024
"""When the client has not taken this much, the exchange is paused. Less than one yamux frame."""


def is_whole(head: ResponseHead | None, method: str, size_bytes: int) -> bool:
    """Whether so many bytes of body are all that the head announced (RFC 9112 section 6.3).

    In `json` and `chunk` the end of an answer comes by itself, and a client that has everything need not wait for it.
    """
    if head is None:
        return False
    if method == "HEAD" or head.status in (204, 304):
        return True
    lengths = {value for name, value in head.headers if name.lower() == b"content-length"}
    return lengths == {b"%d" % size_bytes}


class Delivering(OpeningCall, ABC):
    """The part of an HTTP call (`http_call.py`) that its client tells what was taken."""

    __slots__ = ("_client", "_done", "_held", "_last_data", "_sending_since", "state")

    def __init__(self, gateway: Gateway, route: Route, request: Request, client: HttpClient) -> None:
        super().__init__(gateway, route, request)
        self._client = client
        self._held: Holding | None = None  # of an answer in parts, or large, or not taken by the first tick
        self._done = False  # the exchange told the end of the answer
        self._sending_since: float | None = None
        self._last_data = self.began
        self.state: State = CHOOSING

    # --- told by the client

    def sending(self) -> None:
        """The client's server has bytes of ours that it has not taken yet."""
        if self._sending_since is None:
            self._sending_since = self._clock()

    def sent(self, size_bytes: int) -> None:
        """It took them."""
        now = self._last_data = self._clock()
        if self._sending_since is not None:
            self._count_stall(now - self._sending_since)
        if size_bytes and self.state is ANSWERING:
            self.bytes_down += size_bytes
            self._gateway.metrics.request_bytes_down += size_bytes
            if self._held is not None:
                self._held.add(-size_bytes)
                if not self._held.size_bytes and not self._done and self._exchange is not None:
                    self._exchange.resume()

    # --- what is held

    @property
    def held_bytes(self) -> int:
        """Bytes that this call holds, here and in its stream."""
        held, exchange = self._held, self._exchange
        return (held.size_bytes if held is not None else 0) + (exchange.held_bytes if exchange is not None else 0)

    def _lag_of_client(self) -> Lag | None:
        since = self._sending_since
        return Lag(since, self._client.unsent_bytes) if since is not None else None

    def _hold(self, size_bytes: int) -> int:
        """The client's server has so many bytes more to take; how many that makes."""
        held = self._held = self._held or Holding(self._gateway.account)
        held.add(size_bytes)
        return held.size_bytes

    def _count_stall(self, seconds: float) -> None:
        """What the client's server was given last is taken, or never will be."""
        self._sending_since = None
        self.stalled_by_client_seconds += seconds
        self._gateway.metrics.stalled_by_client.seconds += seconds
