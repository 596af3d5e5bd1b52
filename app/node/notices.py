"""Makes events of what is only counted where it happens: limits that were hit, and files that were set aside.

A limit is hit on the path of a request or a message, so it is counted there, and nothing more. Each tick of the gateway
compares the counts with those of the last event: at most one event of a limit in ten seconds, with how many hits it
stands for. Gets the time with each call.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from ..observed.events import EventKind, Events
from ..observed.metrics import Limit, Metrics
from ..observed.record import path_of, printable

QUIET_SECONDS: Final = 10.0


class Notices:
    """See the module. Metrics and events of one node."""

    __slots__ = ("_events", "_metrics", "_quiet_until", "_told")

    def __init__(self, metrics: Metrics, events: Events) -> None:
        self._metrics = metrics
        self._events = events
        self._told = dict(metrics.limits_hit)
        self._quiet_until: dict[Limit, float] = {}

    def tick(self, now: float, files: Iterable[tuple[str, str]] = ()) -> None:
        """Tell what is new. `files`: those set aside since the last call, as (what is wrong, text)."""
        hit = self._metrics.limits_hit
        if hit != self._told:
            self._tell_limits(hit, now)
        for fault, text in files:
            self._events.emit(EventKind.STATE_FILE, text, level="warning", code=fault)

    def _tell_limits(self, hit: Mapping[Limit, int], now: float) -> None:
        for limit, count in hit.items():
            more = count - self._told[limit]
            if more and now >= self._quiet_until.get(limit, now):
                self._told[limit] = count
                self._quiet_until[limit] = now + QUIET_SECONDS
                self._tell(limit, more)

    def _tell(self, limit: Limit, count: int) -> None:
        text = f"limit {limit} was hit {'once' if count == 1 else f'{count} times'}"
        record = self._metrics.last_limited.pop(limit, None)
        if record is None:
            self._events.emit(EventKind.LIMIT_HIT, text, level="warning", code=limit)
            return
        request_id, host, path, target = record
        self._events.emit(
            EventKind.LIMIT_HIT,
            f"{text}, last by {printable(host)}{path_of(path)}, id {request_id}",
            level="warning", cluster=target.cluster if target is not None else "", code=limit,
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"<Notices, {sum(self._told.values())} hits of limits told>"
