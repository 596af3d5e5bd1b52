"""The round trips of one link, measured by pings: told to whoever waits for the next one."""

from collections.abc import Callable


class RoundTrips:
    """`latest` is in seconds; None: no ping was answered yet."""

    __slots__ = ("_waiting", "latest")

    def __init__(self) -> None:
        self._waiting: list[Callable[[float], None]] = []
        self.latest: float | None = None

    def tell_next(self, told: Callable[[float], None]) -> None:
        """Call `told` once, with the next round trip. Who waits no longer calls `forget`."""
        self._waiting.append(told)

    def forget(self, told: Callable[[float], None]) -> None:
        """Do not call `told`; idempotent."""
        if told in self._waiting:
            self._waiting.remove(told)

    def answered(self, seconds: float) -> None:
        """A ping was answered after so many seconds."""
        self.latest = seconds
        waiting, self._waiting = self._waiting, []
        for told in waiting:
            told(seconds)

    def __repr__(self) -> str:
        return f"<RoundTrips latest {self.latest}, {len(self._waiting)} waiting>"
