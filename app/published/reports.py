"""Tells the operator about published routes: a log line and an event for each change, and for each new refusal.

Of the routes that one message changes, or that it is refused, a few are named and the others counted: agents must not
flood the log.
"""

import logging
import time
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Final

from tunnel.wire.publishing import WantedRoute

from ..learned import Refusals
from ..observed.events import EventKind, Events, Level
from ..settings import fingerprint
from .claims import NotPublishedError
from .publication import Holder, Publication

logger = logging.getLogger("gateway.routes")

_NAMED: Final = 5
"""Routes of one message that are named. The others are counted."""
_NAME_CHARACTERS: Final = 300


class Reports:
    """See the module. `events`: where they go."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self.refusals = Refusals(time.time)
        """The routes that were refused and not published since."""
        self.refused: Counter[str] = Counter()
        """How often routes were refused, by code."""

    def published(self, holder: Holder, routes: Collection[Publication]) -> None:
        """These are new, or have changed."""
        named = _named([f"{one.host}{one.path} ({one.target})" for one in routes])
        text = f"{holder} published {named}"
        logger.info("%s", text)
        self._emit(EventKind.ROUTE_PUBLISHED, holder, text)

    def unpublished(self, holder: Holder, routes: Collection[Publication], why: str) -> None:
        """These are gone."""
        named = _named([f"{one.host}{one.path}" for one in routes])
        text = f"{named} of {holder} no longer published: {why}"
        logger.info("%s", text)
        self._emit(EventKind.ROUTE_UNPUBLISHED, holder, text)

    def answered(self, holder: Holder, routes: Iterable[tuple[WantedRoute, NotPublishedError | None]]) -> None:
        """What became of the routes of one message. Agents ask again, so only the first refusal says so."""
        told = untold = 0
        for wanted, error in routes:
            if error is None:
                self.refusals.forget(holder.cluster, _host_of(wanted), wanted.path, agent=holder.agent_id)
                continue
            self.refused[error.code.value] += 1
            new = self.refusals.refuse(
                holder.cluster, _host_of(wanted), wanted.path, error.code, error.cause, str(holder),
                agent=holder.agent_id, quiet=told >= _NAMED,
            )  # fmt: skip
            if new is not None and told < _NAMED:
                told += 1
                text = f"route {new.name} of {holder} rejected: {error.cause}"
                self._emit(EventKind.ROUTE_REFUSED, holder, text, level="warning", code=error.code.value)
            elif new is not None:
                untold += 1
        if untold:
            text = f"{untold} more routes of {holder} rejected"
            logger.warning("%s", text)
            self._emit(EventKind.ROUTE_REFUSED, holder, text, level="warning")

    def _emit(self, kind: EventKind, holder: Holder, text: str, *, level: Level = "info", code: str = "") -> None:
        self._events.emit(
            kind, text,
            level=level, cluster=holder.cluster, agent=holder.agent_id, link=holder.link_name, address=holder.address,
            code=code, token=fingerprint(holder.token_hash),
        )  # fmt: skip


def _host_of(wanted: WantedRoute) -> str:
    """The host in the operator's words: a star where any name would do."""
    return wanted.host or "*"


def _named(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(name[:_NAME_CHARACTERS] for name in names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
