"""The agents that were refused: a line in the log, an event and a count for each, so that none stays away unseen.

It says from where, which cluster the agent claims, which token it has (by its fingerprint, never the token), and why. A
stranger may dial as often as he likes: the log limits its lines by reason (`FloodGuard`), and so does this the events;
both say how many they left out. The count has all.
"""

import logging
import time
from collections.abc import Callable
from typing import Final

from ..observed.events import EventKind, Events
from ..observed.metrics import AgentRefused, Metrics
from ..observed.record import printable
from ..settings import fingerprint

logger = logging.getLogger("gateway.agents")

WINDOW_SECONDS: Final = 10.0
EVENTS_PER_WINDOW: Final = 20
"""Of one reason, as many as the log has lines."""


_REFUSED = "agent from %s refused with %s: %s (%s)"
_CLOSED = "agent from %s closed with %s: %s (%s)"


class _Window:
    """Since when how many events were told of a reason, and left out."""

    __slots__ = ("began", "left_out", "told")

    def __init__(self) -> None:
        self.began = float("-inf")
        self.told = self.left_out = 0


class RefusedAgents:
    """See the module. One for each node. `clock`: seconds."""

    __slots__ = ("_clock", "_events", "_metrics", "_windows")

    def __init__(self, metrics: Metrics, events: Events, clock: Callable[[], float] = time.monotonic) -> None:
        self._metrics = metrics
        self._events = events
        self._clock = clock
        self._windows = {reason: _Window() for reason in AgentRefused}

    def told(
        self, reason: AgentRefused, code: int, why: str, *,
        address: str, cluster: str = "", agent: str = "", token: bytes = b"",
    ) -> None:  # fmt: skip
        """An agent was refused. `code`: the status, or the code of the close, with which. `token`: its hash."""
        self._metrics.agents_refused[reason] += 1
        shown = fingerprint(token)
        claimed = f"cluster {printable(cluster[:128])}, " if cluster else ""
        form = _CLOSED if code >= 1_000 else _REFUSED
        text = form % (address, code, why, f"{claimed}{f'token {shown}' if shown else 'no token'}")
        fields = {
            "reason": reason.value, "client": printable(address), "cluster_id": printable(cluster[:128]),
            "agent": printable(agent[:128]), "token": shown,
        }  # fmt: skip
        logger.warning("%s", text, extra={"about": f"refused {reason}", "fields": fields})
        window, now = self._windows[reason], self._clock()
        if now - window.began >= WINDOW_SECONDS:
            window.began, window.told = now, 0
        if window.told >= EVENTS_PER_WINDOW:
            window.left_out += 1
            return
        window.told += 1
        left_out, window.left_out = window.left_out, 0
        self._events.emit(
            EventKind.LINK_REFUSED,
            f"{text} [and {left_out} more of this kind]" if left_out else text,
            level="warning", cluster=cluster, agent=agent, address=address, code=reason, token=shown,
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"<RefusedAgents {sum(self._metrics.agents_refused.values())}>"
