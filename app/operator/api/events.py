"""What happened lately on this node, and what happens: the events, one by one to whoever watches."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from ...observed.events import Event, EventKind
from .errors import bad_request
from .events_of_nodes import Numbered
from .gathering import NodeTold
from .pages import LIMIT, Step, page
from .parameters import Choice, Parameter, Text
from .resources import Answer, Asked, Node, answer
from .watchers import COMMENT, COMMENT_SECONDS, Watcher, event

_SENT_BYTES: Final = 64 * 1024
"""Of events in one piece: it waits for the watcher, and nothing else does."""


class EventOfNode(Event, frozen=True, kw_only=True):
    """One event. `node`: where it happened, in an answer over several nodes."""

    node: str | UnsetType = UNSET


class EventPage(msgspec.Struct, frozen=True, kw_only=True):
    """Events, the oldest first."""

    events: list[EventOfNode]
    next: int | str
    """To go on after. A number; over several nodes a text, with a number for each."""
    total: int
    nodes: list[NodeTold] | UnsetType = UNSET


LIST: Final = (
    Parameter("kind", Choice(tuple(EventKind)), "Only events of this kind."),
    Parameter("cluster", Text(), "Only events about this cluster."),
    Parameter("level", Choice(("info", "warning", "error")), "Only events of this level."),
    LIMIT,
    Parameter("after", Numbered(0, 10**17), "Only events with a higher number: the `next` of the answer before."),
)


async def events(node: Node, asked: Asked) -> Answer:
    """The events that are remembered."""
    ring = node.gateway.events
    last = ring.last_number
    found = await page(_steps(ring.since(_begin(asked, last)), asked), asked)
    return answer({"events": found.rows, "next": int(found.last) if found.has_more else last, "total": len(ring)})


async def follow(node: Node, asked: Asked, watcher: Watcher) -> AsyncGenerator[bytes]:
    """Each event once, from the number that was asked for on. Ends for a watcher that fell behind the ring.

    It keeps the number of the last event that it sent, and no events: these are in the ring. `owed` counts those that
    it has not sent; if the ring has fewer of them, some are lost to it. The client comes again with Last-Event-ID.
    """
    ring, clock = node.gateway.events, asyncio.get_running_loop().time
    number, spoken_at = _begin(asked, ring.last_number), clock()
    owed = len(ring.since(number))

    def told(_: Event) -> None:
        nonlocal owed
        owed += 1
        watcher.wake()

    unsubscribe = ring.subscribe(told)
    try:
        yield COMMENT  # so that the head leaves
        while not watcher.is_ended:
            fresh = ring.since(number)
            if len(fresh) < owed:
                return
            piece, taken = _piece(fresh, asked)
            if taken:
                number = fresh[taken - 1].number
                owed -= taken
                if piece:
                    spoken_at = clock()
                    yield piece
                await asyncio.sleep(0)
            elif await watcher.pause(max(0.0, spoken_at + COMMENT_SECONDS - clock())):
                spoken_at = clock()
                yield COMMENT
    finally:
        unsubscribe()


def _begin(asked: Asked, newest: int) -> int:
    """The number to begin after: the client's last, else the one that it asks for.

    One above `newest` is from before a restart of the gateway, so all events are new to the client.
    """
    last = asked.last_event
    number = int(last) if len(last) < 20 and last.isascii() and last.isdigit() else asked.query["after"] or 0
    if not isinstance(number, int):
        raise bad_request("after", "after is a position of several nodes; write nodes=all, or a number")
    return number if number <= newest else 0


def _piece(fresh: list[Event], asked: Asked) -> tuple[bytes, int]:
    """Some of these events as they are sent, and how many they are, with those that were not asked for."""
    pieces: list[bytes] = []
    size_bytes = taken = 0
    for one in fresh[: asked.query["limit"]]:
        if _fits(one, asked):
            piece = event("event", msgspec.json.encode(one), str(one.number))
            if pieces and size_bytes + len(piece) > _SENT_BYTES:
                break
            pieces.append(piece)
            size_bytes += len(piece)
        taken += 1
    return b"".join(pieces), taken


def _fits(one: Event, asked: Asked) -> bool:
    query = asked.query
    return all(query[name] is None or getattr(one, name) == query[name] for name in ("kind", "cluster", "level"))


def _steps(found: list[Event], asked: Asked) -> Iterator[Step]:
    for one in found:
        yield (str(one.number), one) if _fits(one, asked) else None
