"""A list over several nodes: each is asked for its own part at the same time, and what comes is put together.

A node that does not answer is named with the reason, and the others' rows are shown: an answer may be partial. Nodes
are in the order of their ids, so a cursor means the same whichever node is asked for the next page. How rows are put
together is said with each list: `by_node` here, `folded_clusters.py`, `events_of_nodes.py`.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import quote

import msgspec

from ...node.asking import Ask, NotAnsweredError, OtherNode, Query
from .errors import ApiError, bad_request
from .pages import after, cursor_of
from .resources import NODES, Answer, Asked, Node, Resource, answer

ALL: Final = "all"


class NodeTold(msgspec.Struct, frozen=True, kw_only=True):
    """A node that was asked for its part."""

    node: str
    """Its id."""
    name: str | None
    answered: bool
    why: str | None
    """Why its part is missing. null: it is not."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one node said."""

    node: OtherNode
    page: Mapping[str, msgspec.Raw]
    """Empty: it did not answer."""
    why: str | None = None

    def rows(self, name: str) -> list[msgspec.Raw]:
        """Its rows, each as JSON."""
        raw = self.page.get(name)
        return msgspec.json.decode(raw, type=list[msgspec.Raw]) if raw is not None else []

    def value(self, name: str) -> Any:  # noqa: ANN401  (whatever the page has there)
        """Another member of its page. None: it has none, or null."""
        raw = self.page.get(name)
        return msgspec.json.decode(raw) if raw is not None else None


@dataclass(frozen=True, slots=True)
class Gathering:
    """One request to these nodes."""

    row: Resource
    here: Node
    asked: Asked
    ask: Ask
    wanted: str
    """`all`, or the id or name of a node."""
    nodes: Sequence[OtherNode]
    """By id."""

    @classmethod
    def of(cls, row: Resource, here: Node, asked: Asked) -> "Gathering":
        """What was asked with `nodes`, on a gateway that has others. Raises ApiError."""
        ask, wanted = here.gateway.ask, asked.query[NODES.name]
        if ask is None:
            raise ValueError("there is only one node")
        return cls(row, here, asked, ask, wanted, chosen(ask, wanted, NODES.name))

    def anew(self) -> "Gathering":
        """The same request to the nodes that there are now; where one was wanted by name, only while it is there."""
        known = {node.node for node in (self.ask.own, *self.ask.others())}
        there = [node for node in self.nodes if node.node in known]
        return replace(self, nodes=chosen(self.ask, ALL, "nodes") if self.wanted == ALL else there)

    async def parts(self, query_of: Callable[[str], Mapping[str, Any]]) -> list[Part]:
        """What each node says, in their order. `query_of`: by its id, the parameters that differ from what was asked.

        Raises ApiError for what this node itself refuses.
        """
        return await asyncio.gather(*(self._part(node, query_of(node.node)) for node in self.nodes))

    async def _part(self, node: OtherNode, differing: Mapping[str, Any]) -> Part:
        query = {**self.asked.query, **differing}
        if node.node == self.ask.own.node:
            said = await self.row.handle(self.here, replace(self.asked, query=query))
            return Part(node, msgspec.json.decode(said.body, type=dict[str, msgspec.Raw]))
        try:
            reply = await self.ask.ask(
                node.node,
                Query(
                    method="GET", target=target_of(self.row, self.row.path, query), client=self.asked.client,
                    most_bytes=self.asked.most_bytes,
                ),
            )  # fmt: skip
            if reply.status != 200:
                return Part(node, {}, f"it answered {reply.status}: {_message(reply.body)}")
            return Part(node, _page(reply.body, self.row.rows))
        except NotAnsweredError as error:
            return Part(node, {}, str(error))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return Part(node, {}, "its answer cannot be read")

    def told(self, parts: Sequence[Part]) -> list[NodeTold]:
        """Who answered, for the operator."""
        return [
            NodeTold(node=part.node.node, name=part.node.name or None, answered=part.why is None, why=part.why)
            for part in parts
        ]


def chosen(ask: Ask, wanted: str, parameter: str) -> list[OtherNode]:
    """All nodes, by id; or those with this id or name. Raises ApiError."""
    known = sorted((ask.own, *ask.others()), key=lambda node: node.node)
    if wanted == ALL:
        return known
    found = [node for node in known if node.node == wanted] or [node for node in known if node.name == wanted]
    if not found:
        raise bad_request(parameter, f"{parameter} names no node that this one knows; GET /-/nodes lists them")
    return found


def target_of(row: Resource, path: str, query: Mapping[str, Any]) -> str:
    """Path and query for another node: its own rows have no parameter for nodes."""
    given = {
        parameter.name: query[parameter.name]
        for parameter in row.parameters
        if query[parameter.name] is not None and query[parameter.name] != parameter.default
    }
    encoded = "&".join(f"{name}={quote(_written(value), safe='')}" for name, value in given.items())
    return f"{path}?{encoded}" if encoded else path


def with_node(row: msgspec.Raw, node: OtherNode) -> msgspec.Raw:
    """The row, and whose it is."""
    return msgspec.Raw(b'{"node":%s,%s' % (msgspec.json.encode(node.node), bytes(row)[1:]))


async def by_node(row: Resource, here: Node, asked: Asked) -> Answer:
    """The rows of one node after those of the other. A page ends early where a node's next rows do not fit whole.

    The cursor is a node, and the cursor of its own list. `total` counts the rows of the nodes that answered.
    """
    gathering, name = Gathering.of(row, here, asked), row.rows
    begin, _, cursor = after(asked).partition(" ")
    limit: int = asked.query["limit"]

    def query_of(node: str) -> Mapping[str, Any]:
        if node < begin:
            return {"limit": 1, "after": None}
        return {"after": cursor or None if node == begin else None}

    parts = await gathering.parts(query_of)
    rows: list[msgspec.Raw] = []
    size_bytes, following = 0, None
    for part in parts:
        if part.node.node < begin:
            continue
        await asyncio.sleep(0)  # a page takes a millisecond
        fresh = [with_node(one, part.node) for one in part.rows(name)]
        fresh_bytes = sum(len(bytes(one)) for one in fresh)
        if rows and (len(rows) + len(fresh) > limit or size_bytes + fresh_bytes > asked.most_bytes):
            following = f"{part.node.node} "
            break
        rows += fresh
        size_bytes += fresh_bytes
        if (own := part.value("next")) is not None:
            following = f"{part.node.node} {own}"
            break
    more: dict[str, Any] = {}
    if any("refused" in part.page for part in parts):
        first = [part for part in parts if not begin]
        more["refused"] = [with_node(one, part.node) for part in first for one in part.rows("refused")]
    return answer(
        {
            name: rows,
            **more,
            "next": cursor_of(following) if following is not None else None,
            "total": sum(part.value("total") or 0 for part in parts),
            "nodes": gathering.told(parts),
        }
    )


class _Ends(msgspec.Struct):
    """What every page has besides its rows."""

    next: str | int | None
    total: int


def _page(body: bytes, rows: str) -> Mapping[str, msgspec.Raw]:
    """A page of another node, which may be of another release. Raises MsgspecError."""
    msgspec.json.decode(body, type=_Ends)
    page = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    found = msgspec.json.decode(page.get(rows, b"null"), type=list[msgspec.Raw])
    if not all(bytes(row).startswith(b'{"') for row in found):
        raise msgspec.ValidationError("a row is no object")
    return page


def not_answered(node: OtherNode, error: NotAnsweredError) -> ApiError:
    """A call about one node that got no answer of it."""
    return ApiError(504, "no_answer", f"node {node.name or node.node} did not answer: {error}")


def _written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _message(body: bytes) -> str:
    try:
        value = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return "without a reason"
    return str(value.get("message"))[:500] if isinstance(value, dict) else "without a reason"
