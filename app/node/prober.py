"""`Prober`: the public side, as the operator knows it."""

from collections.abc import Awaitable
from typing import Protocol

from ..observed.record import Record
from ..rules.request import Request


class Prober(Protocol):
    """Carries requests of our own like those of clients."""

    @property
    def running(self) -> int:
        """How many it carries now."""

    def probe(self, request: Request, seconds: float, /) -> Awaitable[Record]:
        """Carry a request without a body; its record, once it has ended. Its client leaves after so many seconds."""
