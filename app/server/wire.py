"""What the channels of open WebSockets need of the connection that they stand on, whoever made it."""

import asyncio
from typing import Protocol


class Wire(Protocol):
    """One connection after its 101."""

    transport: asyncio.Transport
    loop: asyncio.AbstractEventLoop
    heard: bool
    """Something came from the peer: set with each piece of it."""
    close_sent: bool
    """Our close frame was written: nothing may follow it."""
    read_paused: bool
    """What `received` was given waits to be taken, and nothing more is read until then."""

    @property
    def max_message_bytes(self) -> int:
        """The limit for a message."""

    @property
    def is_writable(self) -> bool:
        """The transport's buffer is below its mark."""

    def received(self, message: str | bytes, /) -> None:
        """A message came that is for nobody's callback: somebody awaits it."""

    def await_close(self) -> None:
        """Our close frame was written, and the peer has some time to answer it."""

    def hang_up(self) -> None:
        """Close the connection once all is written, or a peer has not taken it for too long; idempotent."""

    def ended(self, code: int, reason: str, /) -> None:
        """The peer closed, or broke the protocol."""
