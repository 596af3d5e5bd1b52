"""An ordered byte stream, push-style: what HTTP/1.1, TLS and WebSockets run over.

A yamux stream is one; TLS wraps one into another. A stream has one owner at a time, which is told what arrives.
After `reset` or `stream_lost` the owner is never called again. A call to the stream calls the owner only where its
docstring says so.
"""

from typing import Protocol

from tunnel.errors import TunnelError


class StreamOwner(Protocol):
    """Receives what a stream delivers."""

    __slots__ = ()

    def data_received(self, data: bytes, /) -> None:
        """Bytes from the peer, never empty. Acknowledge each byte once, when its consumer took it."""

    def end_received(self) -> None:
        """The peer ended its direction (FIN). Called at most once."""

    def stream_lost(self, error: TunnelError, /) -> None:
        """The peer reset the stream, or the link is gone. Both directions are over."""

    def stream_writable(self) -> None:
        """After `write` returned False: the buffer has drained."""


class ByteStream(Protocol):
    """The writing side of a stream, and its credit."""

    __slots__ = ("owner",)

    owner: StreamOwner

    @property
    def held_bytes(self) -> int:
        """Received and not acknowledged, or waiting to be sent."""

    def write(self, data: bytes, /) -> bool:
        """Take all of `data`. False: the buffer is above its mark, so wait for `stream_writable`.

        Data for a stream that was ended, reset or lost is dropped (the owner was told, or will be).
        """

    def write_end(self) -> None:
        """End our direction (FIN) after what was written; idempotent."""

    def reset(self) -> None:
        """Abort both directions now and drop what is buffered; idempotent."""

    def acknowledge(self, size: int, /) -> None:
        """The consumer took `size` received bytes; the peer may send as many again."""
