"""The body of one request, on its way from the client to the exchange: its limit, its pace, and the 100 that it may
wait for. Plain calls; a service that does not read holds its client back.
"""

import asyncio

from tunnel.account import Account, Holding
from tunnel.http1 import BodyLengthError
from tunnel.port import Exchange, RequestHead

from ..observed.metrics import Stall
from .client_port import HttpClient
from .header_rules import BadRequestError

_CONTINUE_SECONDS = 1.0
"""How long a body waits for the service's 100 (RFC 9110 section 10.1.1: not indefinitely)."""


KEPT_BYTES = 256 * 1024
"""What another node may have been sent, with what waits to be sent, before it says that it takes the request."""


class BodyTooLargeError(Exception):
    """The body is longer than the route allows."""


class Upload:
    """See the module. `progress_at` is the loop's time when bytes were last taken."""

    __slots__ = (
        "_client",
        "_held",
        "_kept",
        "_limit",
        "_timer",
        "bytes_sent",
        "ended",
        "progress_at",
        "stall",
        "stalled",
        "waits_for_100",
    )

    def __init__(self, head: RequestHead, client: HttpClient, limit_bytes: int | None, stall: Stall) -> None:
        """Raises BodyTooLargeError."""
        announced = head.body_length
        if limit_bytes is not None and announced is not None and announced > limit_bytes:
            raise BodyTooLargeError(f"{announced} bytes announced")
        self._client = client
        self._limit = limit_bytes
        self._kept: list[bytes] | None = None  # all that was passed on, while it may have to be once more
        self._held: Holding | None = None  # by this
        self._timer: asyncio.TimerHandle | None = None
        self.waits_for_100 = any(name == b"expect" and value.lower() == b"100-continue" for name, value in head.headers)
        self.stall = stall
        self.bytes_sent = 0
        self.progress_at = 0.0
        self.ended = False
        """The whole body was given to the exchange."""
        self.stalled = False
        """The exchange is full: the service does not read."""

    def begin(self, exchange: Exchange, now: float, keep_in: Account | None = None) -> None:
        """The exchange is open: read the body, or wait for the service's 100 first. What was kept is sent again.

        `keep_in`: another node may decline what is sent: keep it until `let_go`, counted in this account.
        """
        self.progress_at = now
        if keep_in is not None and self._kept is None and not self.bytes_sent:
            self._kept, self._held = [], Holding(keep_in)
        is_full = bool(self._kept) and not exchange.send_data(b"".join(self._kept or ()))
        if self.ended:
            exchange.end()
        if is_full and not self.ended:
            self._stall(now)
        elif self.stalled and not is_full:
            self.writable()
        if not self.ended and not self.waits_for_100:
            self._client.read_body()
        elif not self.ended and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_CONTINUE_SECONDS, self.continue_)

    def rewind(self) -> bool:
        """What was sent was declined: whether the next exchange can be given all of it. The client waits until then."""
        if self._kept is None and (self.bytes_sent or self.ended):
            return False
        if self.waits_for_100:
            self._stop_timer()  # it begins anew with the next exchange
        elif not self.ended:
            self._stall(asyncio.get_running_loop().time())
        return True

    def let_go(self) -> None:
        """What was sent was taken; idempotent."""
        self._kept = None
        if self._held is not None:
            self._held.close()

    def continue_(self) -> None:
        """The service's 100 came, or is not waited for any longer."""
        if self.waits_for_100:
            self.waits_for_100 = False
            self._stop_timer()
            self._client.read_body()

    def pass_on(self, exchange: Exchange | None, data: bytes, *, last: bool) -> None:
        """Give a part to the exchange; None: to the next one, once it is open.

        Raises BodyTooLargeError; BadRequestError if the length is not as announced.
        """
        now = asyncio.get_running_loop().time()
        try:
            if data:
                self.bytes_sent += len(data)
                if self._limit is not None and self.bytes_sent > self._limit:
                    raise BodyTooLargeError(f"more than {self._limit} bytes")
                self.progress_at = now
                if self._kept is not None:
                    self._keep(data, is_only_one=exchange is None)
                if exchange is not None and not exchange.send_data(data) and not last:
                    self._stall(now)
            if last:
                if exchange is not None:
                    exchange.end()
                self.ended = True
        except BodyLengthError as error:
            raise BadRequestError(str(error)) from None

    def writable(self) -> None:
        """The exchange takes more."""
        now = self.progress_at = asyncio.get_running_loop().time()
        if self.stalled:
            self.stalled = False
            self.stall.end(now)
            self._client.resume_body()

    def close(self, now: float) -> tuple[int, float]:
        """Nothing more is passed on; idempotent. Returns the bytes sent, and the seconds of stalls."""
        self.let_go()
        self.stall.end(now)
        self._stop_timer()
        return self.bytes_sent, self.stall.seconds

    def _keep(self, data: bytes, *, is_only_one: bool) -> None:
        """Keep a part. `is_only_one`: nobody else has it; the client was told to wait, so not much more comes."""
        if self._kept is None or self._held is None:
            return
        if self.bytes_sent > KEPT_BYTES and not is_only_one:
            self.let_go()
            return
        self._kept.append(data)
        self._held.set(self.bytes_sent)

    def _stall(self, now: float) -> None:
        if not self.stalled:
            self.stalled = True
            self.stall.begin(now)
            self._client.pause_body()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
