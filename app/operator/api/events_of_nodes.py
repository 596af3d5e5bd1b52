"""The events of several nodes in one list, by time; and each as it happens.

Each node numbers its own, so a position is a number for each node: `abcdefghijkl:17,mnopqrstuvwx:5`. Ids of nodes are
new with each start, and so are their numbers. Times are those of the nodes' clocks, which may differ: of one node the
events stay in their order. Whoever watches is told once a second.
"""

import asyncio
import heapq
import re
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import msgspec

from .errors import bad_request
from .gathering import Gathering, NodeTold, Part, with_node
from .parameters import UnfitError, Whole
from .resources import Answer, Asked, Node, Resource, answer
from .watchers import CHANGES_SECONDS, COMMENT, COMMENT_SECONDS, Watcher, event

Position = Mapping[str, int]
"""By the ids of nodes: the number of the last event that is known."""

POSITION_CHARACTERS: Final = 4096
"""Of 130 nodes."""
_MANY: Final = 100
"""Events at once: there may be more that is remembered, so the nodes are asked again without a pause."""
_POSITION: Final = re.compile(r"[a-z0-9]{1,63}:[0-9]{1,17}(?:,[a-z0-9]{1,63}:[0-9]{1,17})*")


@dataclass(frozen=True, slots=True)
class Numbered(Whole):
    """Where to go on: a number of this node's, or one for each node."""

    most_characters: int = POSITION_CHARACTERS

    def parse(self, text: str) -> Any:  # noqa: ANN401  (int, or a Position)
        """See `Kind`."""
        if _POSITION.fullmatch(text):
            return position_of(text)
        if len(text) > 18 and text.isdigit():
            raise UnfitError(f"is too large; write {self.valid}")
        return Whole.parse(self, text)

    def schema(self) -> dict[str, Any]:
        """See `Kind`."""
        return {"oneOf": [Whole.schema(self), {"type": "string", "pattern": f"^{_POSITION.pattern}$"}]}


class _Row(msgspec.Struct):
    number: int
    at: str


@dataclass(frozen=True, slots=True)
class _Found:
    """One event of one node."""

    node: str
    number: int
    at: str
    row: msgspec.Raw


def position_of(text: str) -> Position:
    """The position that a text is; empty where it is none."""
    if not _POSITION.fullmatch(text):
        return {}
    return {node: int(number) for node, _, number in (each.partition(":") for each in text.split(","))}


def written(position: Position) -> str:
    """The text of a position."""
    return ",".join(f"{node}:{number}" for node, number in sorted(position.items()))


async def by_time(row: Resource, here: Node, asked: Asked) -> Answer:
    """The oldest of what the nodes remember, as many as were asked for. `next` is always a position."""
    gathering = Gathering.of(row, here, asked)
    found, position, total, nodes = await _gathered(gathering, _begin(asked))
    rows = [each.row for each in found]
    return answer({"events": rows, "next": written(position), "total": total, "nodes": nodes})


async def follow(row: Resource, here: Node, asked: Asked, watcher: Watcher) -> AsyncGenerator[bytes]:
    """Each event once: first those that are remembered, from the position that was asked for on."""
    clock = asyncio.get_running_loop().time
    gathering = Gathering.of(row, here, asked)
    position = position_of(asked.last_event) or _begin(asked)
    spoken_at = clock()
    yield COMMENT  # so that the head leaves
    while not watcher.is_ended:
        found, after, _, _ = await _gathered(gathering, position)
        reached = dict(position)
        for each in found:
            reached[each.node] = each.number
            yield event("event", bytes(each.row), identity=written(reached))
            spoken_at = clock()
        position = after
        if len(found) >= min(_MANY, asked.query["limit"]):
            await asyncio.sleep(0)
            continue
        if not await watcher.pause(CHANGES_SECONDS):
            return
        if clock() - spoken_at >= COMMENT_SECONDS:
            spoken_at = clock()
            yield COMMENT


def _begin(asked: Asked) -> Position:
    """Where to begin after. Raises ApiError for a number of one node."""
    wanted = asked.query["after"] or {}
    if not isinstance(wanted, Mapping):
        raise bad_request("after", "after is a number of one node; over several, take `next` of the answer before")
    return wanted


def _events_of(part: Part) -> list[_Found]:
    """The events of one node. Raises MsgspecError."""
    rows = part.rows("events")
    heads = [msgspec.json.decode(row, type=_Row) for row in rows]
    return [
        _Found(part.node.node, head.number, head.at, with_node(row, part.node))
        for head, row in zip(heads, rows, strict=True)
    ]


async def _gathered(gathering: Gathering, position: Position) -> tuple[list[_Found], Position, int, list[NodeTold]]:
    """The oldest events after a position, the position after them, how many there are, and who answered.

    A node that did not answer keeps its place in the position; one that is gone loses it.
    """
    gathering = gathering.anew()
    parts = await gathering.parts(lambda node: {"after": position.get(node)})
    lists: list[list[_Found]] = []
    reached = {part.node.node: position.get(part.node.node, 0) for part in parts}
    for index, part in enumerate(parts):
        await asyncio.sleep(0)  # a page takes a millisecond
        try:
            known = position.get(part.node.node, 0)
            lists.append([each for each in _events_of(part) if each.number > known])  # else there might be no end
        except msgspec.MsgspecError:
            lists.append([])
            parts[index] = Part(part.node, {}, "its events cannot be read: it is of another release")
    limit: int = gathering.asked.query["limit"]
    taken = list(islice(heapq.merge(*lists, key=lambda each: each.at), limit))
    for each in taken:
        reached[each.node] = each.number
    for part, found in zip(parts, lists, strict=True):
        node, last = part.node.node, part.value("next")
        if last is not None and (not found or reached[node] == found[-1].number):
            reached[node] = last
    return taken, reached, sum(part.value("total") or 0 for part in parts), gathering.told(parts)
