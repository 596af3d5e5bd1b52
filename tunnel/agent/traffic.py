"""What all links of this process have carried so far, as plain numbers.

Streams that have ended add what they carried; what running ones have carried is asked of their carriers when somebody
wants to know. So nothing is counted twice, and a request costs nothing.
"""

from dataclasses import dataclass, field

from tunnel.wire import refusals

OTHER = "other"
KINDS = (refusals.REFUSED, refusals.NOT_ALLOWED, refusals.NO_SUCH_NAME, refusals.SLOW, OTHER)
"""Why a stream got no connection, as metrics and status name it."""


@dataclass(slots=True, frozen=True)
class Running:
    """What one link carries now: its streams, and what these have carried so far."""

    streams: int = 0
    to_service_bytes: int = 0
    to_gateway_bytes: int = 0


@dataclass(slots=True)
class Traffic:
    """The counts of one process, from 0 at its start. They leave out what runs still."""

    to_service_bytes: int = 0
    to_gateway_bytes: int = 0
    refused: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    """Streams that got no connection to their service, by kind."""

    def ended(self, to_service_bytes: int, to_gateway_bytes: int) -> None:
        """A stream is over that carried this much."""
        self.to_service_bytes += to_service_bytes
        self.to_gateway_bytes += to_gateway_bytes

    def refuse(self, kind: str) -> None:
        """A stream got no connection; `kind` is one of `tunnel.wire.refusals`."""
        self.refused[kind if kind in self.refused else OTHER] += 1
