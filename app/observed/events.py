"""What happened on this node, for the operator: links, reloads, refusals, limits. The last thousand events.

Each event has the next number, and is told to the subscribers with a plain call. Nothing here runs while nothing
happens. What others sent is cut and made printable, and a token appears by its fingerprint only (`fingerprint` of
`app/settings`): anything else in its place is left out. One kind of event never pushes out all others: once the ring is
full, a kind that has half of it replaces its own oldest.
"""

import logging
import re
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from itertools import takewhile
from typing import Literal

import msgspec

from .record import TEXT_LIMIT, printable

logger = logging.getLogger("gateway")

KEPT = 1_000
"""Events to remember. Each costs at most 4 KiB, mostly half of one."""

_NAME_LIMIT = 128
"""Characters of a name: those of a cluster or an agent are no longer."""
_FINGERPRINT = re.compile("sha256:[0-9a-f]{8}")

Level = Literal["info", "warning", "error"]


class EventKind(StrEnum):
    """What an event is about."""

    LINK_READY = "link_ready"
    LINK_GONE = "link_gone"
    LINK_REFUSED = "link_refused"
    """An agent was refused: at its handshake, at its registration, or at a REST call."""
    LINK_DRAINED_BY_OPERATOR = "link_drained_by_operator"
    CONFIGURATION_RELOADED = "configuration_reloaded"
    CONFIGURATION_REFUSED = "configuration_refused"
    CERTIFICATE_RENEWED = "certificate_renewed"
    CERTIFICATE_REFUSED = "certificate_refused"
    ROUTE_REFUSED = "route_refused"
    """A route that an agent wanted to register or publish."""
    ROUTE_PUBLISHED = "route_published"
    """An agent published routes, or changed them: all that one message did is one event."""
    ROUTE_UNPUBLISHED = "route_unpublished"
    LIMIT_HIT = "limit_hit"
    RELIEVED = "relieved"
    """The node held too much: it began to end who stalls, refused new exchanges, or has room again."""
    STATE_FILE = "state_file"
    """A file of learned routes was set aside."""
    DRAIN_BEGAN = "drain_began"
    DRAIN_ENDED = "drain_ended"
    EXCHANGE_ENDED_BY_OPERATOR = "exchange_ended_by_operator"
    NODE_CAME = "node_came"
    """Another node is there."""
    NODE_GONE = "node_gone"
    """It has stopped, or nothing is heard of it any more."""
    NODE_CUT = "node_cut"
    """This node does not hear itself through NATS, or stood still: it may be wrong about the others."""
    NODE_BACK = "node_back"
    """That is over."""
    NATS_AWAY = "nats_away"
    NATS_BACK = "nats_back"
    PEER_LINK_LOST = "peer_link_lost"
    """The connection from this node to another ended or was refused, and that node did not say that it stops."""
    PEER_LINK_BACK = "peer_link_back"
    FILES_DIFFER = "files_differ"
    """Other nodes have other routes in their files."""
    FILES_AGREE = "files_agree"


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened once. None: not known, or there is none."""

    number: int
    """One more than that of the event before, since the start of the process."""
    at: str
    """RFC 3339 in UTC, to the millisecond."""
    kind: str
    level: Level
    message: str
    """One line for people."""
    cluster: str | None = None
    """As claimed, where an agent was refused."""
    agent: str | None = None
    link: str | None = None
    address: str | None = None
    code: str | None = None
    """Which one of its kind: why an agent was refused, which limit was hit."""
    token: str | None = None
    """`sha256:` and the first 8 hexadecimal digits of the token's SHA-256."""


class Events:
    """The ring of one node. Its methods are called on the event loop. `clock`: seconds of the wall clock."""

    __slots__ = ("_clock", "_kinds", "_ring", "_subscribers", "last_number")

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._ring: dict[int, Event] = {}  # by number, oldest first
        self._kinds: Counter[str] = Counter()  # events in the ring
        self._subscribers: dict[int, Callable[[Event], object]] = {}
        self.last_number = 0
        """That of the latest event; 0: there was none."""

    def emit(
        self, kind: str, message: str, *,
        level: Level = "info", cluster: str = "", agent: str = "", link: str = "", address: str = "", code: str = "",
        token: str = "",
    ) -> Event:  # fmt: skip
        """Remember that this happened, and tell the subscribers. Never raises."""
        self.last_number += 1
        event = Event(
            number=self.last_number,
            at=moment(self._clock()),
            kind=kind,
            level=level,
            message=printable(message)[:TEXT_LIMIT],
            cluster=_name(cluster),
            agent=_name(agent),
            link=_name(link),
            address=_name(address),
            code=_name(code),
            token=token if _FINGERPRINT.fullmatch(token) else None,
        )
        self._make_room(kind)
        self._ring[event.number] = event
        self._kinds[kind] += 1
        for key, subscriber in list(self._subscribers.items()):
            try:
                subscriber(event)
            except Exception:
                self._subscribers.pop(key, None)
                logger.exception("a subscriber to events failed, and is told no more")
        return event

    def since(self, number: int = 0) -> list[Event]:
        """The events that are remembered and have a higher number, oldest first."""
        found = list(takewhile(lambda event: event.number > number, reversed(self._ring.values())))
        found.reverse()
        return found

    def subscribe(self, callback: Callable[[Event], object]) -> Callable[[], None]:
        """Call `callback` with each further event, within `emit`: it must be quick. One that raises is told no more.

        Returns what ends it; idempotent.
        """
        key = max(self._subscribers, default=0) + 1
        self._subscribers[key] = callback

        def unsubscribe() -> None:
            if self._subscribers.get(key) is callback:
                del self._subscribers[key]

        return unsubscribe

    def _make_room(self, kind: str) -> None:
        if len(self._ring) < KEPT:
            return
        oldest = next(iter(self._ring.values()))
        if self._kinds[kind] >= KEPT // 2:
            oldest = next(event for event in self._ring.values() if event.kind == kind)
        del self._ring[oldest.number]
        self._kinds[oldest.kind] -= 1
        if not self._kinds[oldest.kind]:
            del self._kinds[oldest.kind]

    def __len__(self) -> int:
        return len(self._ring)

    def __repr__(self) -> str:
        return f"<Events {len(self)}, the last is {self.last_number}, {len(self._subscribers)} subscribers>"


def moment(created: float) -> str:
    """A time in Unix seconds, as the operator's API shows it.

    >>> moment(0.0)
    '1970-01-01T00:00:00.000Z'
    """
    return datetime.fromtimestamp(created, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def _name(text: str) -> str | None:
    return printable(text[:_NAME_LIMIT])[:_NAME_LIMIT] or None
