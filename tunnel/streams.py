"""An ordered byte stream, push-style: what HTTP/1.1, TLS and WebSockets speak over.

A yamux stream is one, and TLS wraps one into another. A stream has one owner at a time, who is told what comes.
After `reset`, or after `stream_lost`, the owner is never called again. Calls to the owner may nest inside calls to
the stream only where said.
"""

from typing import Protocol

from tunnel.errors import TunnelError


class StreamOwner(Protocol):
    """Told what a stream brings."""

    __slots__ = ()

    def data_received(self, data: bytes, /) -> None:
        """Bytes of the peer, never empty. Each byte must be acknowledged once, when its consumer took it."""

    def end_received(self) -> None:
        """The peer ended its direction (FIN); nothing more comes. Called at most once."""

    def stream_lost(self, error: TunnelError, /) -> None:
        """Reset by the peer, or the link is gone. Both directions are over."""

    def stream_writable(self) -> None:
        """After `write` returned False: the buffer has drained."""


class ByteStream(Protocol):
    """One stream's writing side, and its credit."""

    __slots__ = ("owner",)

    owner: StreamOwner

    @property
    def held_bytes(self) -> int:
        """Received and not acknowledged, and waiting to leave."""

    def write(self, data: bytes, /) -> bool:
        """Take all of `data`; False when the buffer is above its mark: wait for `stream_writable`.

        Silently dropped once the stream is ended, reset or lost (its owner was or will be told).
        """

    def write_end(self) -> None:
        """End our direction (FIN) after what was written; idempotent."""

    def reset(self) -> None:
        """Abort both directions at once, drop what is buffered; idempotent."""

    def acknowledge(self, size: int, /) -> None:
        """The consumer took `size` received bytes: the peer may send as many again."""
