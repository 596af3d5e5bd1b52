"""The clusters over several nodes: one row each, whichever node has its agents.

A cluster is connected if it is on any node, so the filter is applied to what was put together, and nodes are asked
without it, for as many rows as they give at once: ten thousand of them may be looked at for one that is shown. Pages go
by name, with the same cursor on every node.
"""

import asyncio
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from itertools import accumulate, takewhile

import msgspec

from .clusters import ClusterItem
from .gathering import Gathering, Part
from .pages import MOST_ROWS, ROWS_PER_TURN, after, cursor_of
from .resources import Answer, Asked, Node, Resource, answer


async def folded(row: Resource, here: Node, asked: Asked) -> Answer:
    """The clusters by name. `total` is that of the node that knows most."""
    gathering = Gathering.of(row, here, asked)
    limit, connected = asked.query["limit"], asked.query["connected"]
    begin: str | None = after(asked) or None
    rows: list[ClusterItem] = []
    while True:
        query = {
            "after": cursor_of(begin) if begin is not None else None, "connected": None,
            "limit": limit if connected is None else MOST_ROWS,
        }  # fmt: skip
        parts = [await _read(part) for part in await gathering.parts(lambda _, query=query: query)]  # type: ignore[misc]
        found, is_last = _until_shortest(parts, begin)
        answered = {part.node.node for part, _ in parts if part.why is None}
        for number, name in enumerate(sorted(found), 1):
            one = _fold(found[name], answered)
            if connected is None or one.connected == connected:
                rows.append(one)
            if number % ROWS_PER_TURN == 0:
                await asyncio.sleep(0)
        if rows or is_last:
            break
        begin = max(found)
    cut = rows[: max(1, min(limit, _fitting(rows, asked.most_bytes)))]
    following = cut[-1].cluster if len(rows) > len(cut) else None if is_last else max(found)
    return answer(
        {
            "clusters": cut,
            "next": cursor_of(following) if following is not None else None,
            "total": max((part.value("total") or 0 for part, _ in parts), default=0),
            "nodes": gathering.told([part for part, _ in parts]),
        }
    )


def _fitting(rows: Sequence[ClusterItem], most_bytes: int) -> int:
    """How many of them have together as many bytes."""
    sizes = accumulate(len(msgspec.json.encode(row)) + 1 for row in rows)
    return sum(1 for _ in takewhile(lambda size: size <= most_bytes, sizes))


_Read = tuple[Part, list[ClusterItem]]


async def _read(part: Part) -> _Read:
    await asyncio.sleep(0)  # a page takes a millisecond
    try:
        return part, msgspec.json.decode(part.page["clusters"], type=list[ClusterItem]) if part.page else []
    except (msgspec.MsgspecError, KeyError):
        return Part(part.node, {}, "its clusters cannot be read: it is of another release"), []


def _until_shortest(parts: Sequence[_Read], begin: str | None) -> tuple[dict[str, dict[str, ClusterItem]], bool]:
    """The rows by name and node, up to where every node's page reaches; and whether that is all there is.

    What is not behind `begin` was not asked for: a node that says it, and nothing else, has nothing more.
    """
    behind = [(part, [item for item in items if begin is None or item.cluster > begin]) for part, items in parts]
    ends = [items[-1].cluster for part, items in behind if items and part.value("next") is not None]
    end = min(ends, default=None)
    found: dict[str, dict[str, ClusterItem]] = {}
    for part, items in behind:
        for item in items:
            if end is None or item.cluster <= end:
                found.setdefault(item.cluster, {})[part.node.node] = item
    return found, end is None


def _fold(of_nodes: dict[str, ClusterItem], answered: AbstractSet[str]) -> ClusterItem:
    """One row of those that the nodes have of a cluster. `answered`: the nodes that did."""
    items = list(of_nodes.values())
    holders = {node for node, item in of_nodes.items() if item.connected}
    holders |= {node for item in items for node in item.nodes if node not in answered}
    connected = bool(holders)
    telling = max(items, key=lambda item: (item.links, item.last_seen or ""))
    return ClusterItem(
        cluster=items[0].cluster,
        configured=any(item.configured for item in items),
        has_token=any(item.has_token for item in items),
        connected=connected,
        links=sum(item.links for item in items),
        routes=max(item.routes for item in items),
        last_seen=max((item.last_seen for item in items if item.last_seen is not None), default=None),
        why_not=None if connected else telling.why_not,
        requests_waiting=sum(item.requests_waiting for item in items),
        nodes=sorted(holders),
    )
