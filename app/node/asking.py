"""What one node asks another for the operator: a call of the other's own API, as plain values.

`Ask` is what the operator's side knows of other nodes for this; `app/cluster/asking.py` is its only implementation. A
gateway without `[cluster]` has none. `Operator` is the other way round: it answers what another node asks here.
"""

import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """One call of the API of a node."""

    method: str
    target: str
    """Path and query, as they stand in a request line."""
    client: str = "unknown"
    """The operator's address."""
    most_bytes: int = sys.maxsize
    """Of a page."""


class Reply(msgspec.Struct, frozen=True):
    """The answer of the API."""

    status: int
    body: bytes


class OtherNode(msgspec.Struct, frozen=True, kw_only=True):
    """A node that may be asked."""

    node: str
    """Its id."""
    name: str
    """For people; empty: it has not said it yet."""


def named(nodes: Sequence[OtherNode]) -> str:
    """These nodes in a sentence, three at most.

    >>> named([OtherNode(node="abcd", name="gw-1"), OtherNode(node="efgh", name="")])
    'nodes gw-1 (abcd) and efgh'
    """
    shown = [f"{node.name} ({node.node})" if node.name else node.node for node in nodes[:3]]
    if len(nodes) > len(shown):
        shown.append(f"{len(nodes) - len(shown)} others")
    return f"node {shown[0]}" if len(shown) == 1 else f"nodes {', '.join(shown[:-1])} and {shown[-1]}"


class NotAnsweredError(Exception):
    """The node gave no answer. The text says why, for the operator. A call that changes something may have done so."""


Operator = Callable[[Query], Awaitable[Reply]]
"""Answers another node. Whoever links as a node may ask all of it."""


class Ask(Protocol):
    """The other nodes, and what they say."""

    @property
    def own(self) -> OtherNode:
        """This node."""

    def others(self) -> Sequence[OtherNode]:
        """The other nodes that are not gone, by id."""

    def holders(self, cluster: str) -> Sequence[OtherNode]:
        """Those that have an agent of a cluster, as far as this node knows; this node not included."""

    async def ask(self, node: str, query: Query) -> Reply:
        """Ask another node. Raises NotAnsweredError, after 3 s at the latest."""
