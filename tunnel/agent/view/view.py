"""What a person sees of a publisher: where its ports are published, how its link is, and the requests that pass.

The port between `tunnel-agent http`, which knows what happens, and the views, which show it. All calls are plain and
return at once: a view never blocks the link, whatever its output does. A view gets texts of strangers (paths, methods,
addresses) as they came, and makes them harmless itself. After `close` every call does nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tunnel.wire.publishing import RequestRow


@dataclass(slots=True, frozen=True)
class Address:
    """One published port: the service as its user named it (`http://localhost:5173`), and where clients reach it."""

    service: str
    url: str


class View(Protocol):
    """Shows what it is told."""

    takes_log: bool
    """It has the terminal to itself: lines of the log would spoil it, so they become notes."""

    def published(self, addresses: Sequence[Address]) -> None:
        """This is everything that is published now; earlier addresses that are missing here are gone."""

    def state(self, text: str, *, well: bool = False, round_trip: float | None = None) -> None:
        """The state of the link, in words; `well`: it serves. `round_trip` in seconds, if it is known."""

    def requests(self, rows: Sequence[RequestRow], left_out: int = 0) -> None:
        """These exchanges have ended, the oldest first, and `left_out` more."""

    def note(self, text: str) -> None:
        """Something else that the person has to know, such as a warning."""

    def close(self) -> None:
        """Give the terminal back, and wait at most a second until what was shown is out. Idempotent."""
