"""TLS of the listener: one context for all handshakes, whose certificate can be exchanged while clients connect.

A handshake uses the certificate that was in force when it began, and its connection keeps it. Each handshake is counted
once, however it ends; the transport tells nobody of one that fails. Scanners, plain HTTP and clients that distrust the
certificate are everyday things: they cost a line at debug level and a count.
"""

import logging
import ssl
from collections.abc import Callable
from typing import Any, Self

from tunnel.override import override

from ..observed.metrics import Tls

logger = logging.getLogger("gateway.tls")

WRITE_BUFFER_BYTES = 64 * 1024
"""The mark of a TLS transport's own buffer, as of a plain one; uvloop's is 512 KiB."""


class ListenerContext(ssl.SSLContext):
    """What a listener is given in place of a context. See the module."""

    def __new__(cls, *_: object) -> Self:
        """A context of its own, which no handshake uses."""
        return super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)

    def __init__(self, in_force: ssl.SSLContext, counts: Tls) -> None:
        self._counts = counts
        self.lets_in: Callable[[int], bool] = _everybody
        """Whether there is room for one more, beside so many handshakes that are under way."""
        self.use(in_force)

    def use(self, context: ssl.SSLContext) -> None:
        """All handshakes from now on use this context."""
        context.sslobject_class = _Session
        self._in_force = context

    @override
    def wrap_bio(self, *args: Any, **options: Any) -> ssl.SSLObject:
        if not self.lets_in(self._counts.under_way):
            raise ConnectionAbortedError("no room for another connection")  # the transport closes it at once
        session = self._in_force.wrap_bio(*args, **options)
        self._counts.begun += 1
        session.counts = self._counts  # type: ignore[attr-defined]
        return session


def _everybody(_: int) -> bool:
    return True


class _Session(ssl.SSLObject):
    """One client's. Its handshake is unfinished if nothing is known of its end when it is dropped."""

    counts: Tls | None = None  # until it has ended

    @override
    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except ssl.SSLWantReadError:
            raise
        except ssl.SSLError as error:
            counts, self.counts = self.counts, None
            if counts is not None:
                counts.failed += 1
                logger.debug("TLS handshake failed: %s", error.reason)
            raise
        counts, self.counts = self.counts, None
        if counts is not None:
            counts.ok += 1

    def __del__(self) -> None:
        if self.counts is not None:
            self.counts.unfinished += 1
            logger.debug("TLS handshake unfinished: the client left, or was too slow")


def limit_buffers(transport: Any) -> None:  # noqa: ANN401  (a TLS transport of uvloop or asyncio)
    """Bound what a TLS transport holds: unsent up to the mark, and, while its owner does not read, one read."""
    transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
    transport.set_read_buffer_limits(high=1)
