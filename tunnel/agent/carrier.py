"""What a link asks of the dialect it speaks, and what a dialect asks of its link.

The link keeps the connection, the control messages of every dialect and the keep-alive; a carrier keeps the exchanges
and never closes the link itself. All plain calls. A link has one carrier from its start: before yamux is agreed, one
that carries nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from tunnel.agent.traffic import Running
from tunnel.wire.message_limits import NO_LIMIT_BYTES
from tunnel.wire.messages import Envelope
from tunnel.yamux import Batch

CONTROL_WAITING_BYTES = 1024 * 1024
"""A full WebSocket with this much before our next message: the gateway asks for answers and does not read them."""


def _nothing() -> None: ...


def _no_limit() -> int:
    return NO_LIMIT_BYTES


@dataclass(slots=True, frozen=True)
class Wiring:
    """What a carrier needs of its link."""

    send_text: Callable[[str], None]
    """Send one text message."""
    send_bytes: Callable[[Batch], None]
    """Send one binary message."""
    idle: Callable[[], None]
    """The last exchange is over, and everything was sent; told again and again."""
    failed: Callable[[str], None]
    """The gateway broke the dialect's rules: end the link, with this reason."""
    note: Callable[[str], None]
    """Log, once, something that is ignored."""
    going_away: Callable[[], None]
    """Ask the gateway for no new exchanges, in the dialects that have no message of their own for it."""
    stream_refused: Callable[[int, str, str], None]
    """Tell the gateway why a stream got no connection."""
    asked_to_move: Callable[[], None] = _nothing
    """The gateway is about to stop: be elsewhere before this link ends."""
    gateway_limit_bytes: Callable[[], int] = _no_limit
    """The longest message that the gateway accepts, as far as it has told."""


class Carrier(Protocol):
    """The exchanges of one link."""

    @property
    def message_limit_bytes(self) -> int:
        """The longest message that the gateway may send."""

    @property
    def round_trip_seconds(self) -> float | None:
        """What the dialect's own pings measured; None: nothing, yet or ever."""

    def running(self) -> Running:
        """What it carries now."""

    def message_received(self, envelope: Envelope, text: bytes, /) -> bool:
        """A text message of a type that the link does not know; `text` is all of it. False: nor does the carrier.

        Raises MessageError for one that cannot be understood and is skipped.
        """

    def bytes_received(self, data: bytes, now: float, /) -> None:
        """A binary message, or a piece of one: borders mean nothing."""

    def ping_received(self, answer: Callable[[], None], /) -> None:
        """The gateway sent a `ping`: call `answer` when it may be answered."""

    def may_send_control(self, waiting_bytes: int, /) -> bool:
        """Whether a message of the link's own may leave while the WebSocket is full and holds `waiting_bytes`.

        False: the gateway does not read, and the link ends.
        """

    def probe(self, now: float, /) -> bool:
        """Ask the gateway for a sign of life. False: the dialect has no way of its own; send a WebSocket ping."""

    def flush(self) -> None:
        """Send what waits, as far as the WebSocket takes it."""

    def pause(self) -> None:
        """The WebSocket is full: send nothing until `resume`."""

    def resume(self) -> None:
        """The WebSocket has room again."""

    def drain(self) -> None:
        """Tell the gateway to send no new exchanges; `Wiring.idle` is called once the running ones are over."""

    def lost(self, reason: str, /) -> None:
        """The link is gone: reset every connection to a service; idempotent."""
