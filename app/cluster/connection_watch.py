"""Tells presence of the engine's connections."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from .presence import Presence

if TYPE_CHECKING:
    from .connection import Connection


class ConnectionWatch:
    """A `Member` of the engine. `on_back`: writes may be done again."""

    def __init__(self, presence: Presence, clock: Callable[[], float], *, on_back: Callable[[], None]) -> None:
        self._presence = presence
        self._clock = clock
        self._on_back = on_back

    def connected(self, _connection: "Connection") -> None:
        """See `Member`."""
        self._presence.back(self._clock())
        self._on_back()

    def lost(self) -> None:
        """See `Member`."""
        self._presence.away(self._clock())

    async def aclose(self) -> None:
        """See `Member`."""
