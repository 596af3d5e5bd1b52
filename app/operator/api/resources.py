"""A row of the API's table: a method and a path, what may be asked, and what answers.

The door serves these rows and OpenAPI describes them, so the two cannot differ.
"""

import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from ...node.gateway import Gateway
from ..reload import Reloader
from .parameters import Flag, Parameter, Text
from .watchers import Watcher, Watchers


@dataclass(frozen=True, slots=True)
class Node:
    """What the resources are about: this process."""

    gateway: Gateway
    reloader: Reloader
    watchers: Watchers


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, checked."""

    query: Mapping[str, Any] = field(default_factory=dict)
    """Every parameter of the row, with its value or default."""
    path: Mapping[str, str] = field(default_factory=dict)
    """What stands in the path for its `{names}`."""
    client: str = "unknown"
    """The operator's address."""
    most_bytes: int = sys.maxsize
    """Of a page."""
    last_event: str = ""
    """Of a watcher that comes again: Last-Event-ID."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A JSON body, with its line's end, and its status."""

    body: bytes
    status: int = 200


def answer(value: object, status: int = 200) -> Answer:
    """The answer that says this."""
    return Answer(msgspec.json.encode(value) + b"\n", status)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """See the module. `answers`: each status other than an error, and the type of its body."""

    method: str
    path: str
    summary: str
    """A sentence."""
    handle: Callable[[Node, Asked], Awaitable[Answer]]
    answers: Mapping[int, Any]
    parameters: tuple[Parameter, ...] = ()
    errors: Mapping[int, str] = field(default_factory=dict)
    """Besides those that every row has: status, and when it comes."""
    is_watched: bool = False
    """`?watch=true` sends the answer as a server-sent event, and again when it has changed."""
    follow: Callable[[Node, Asked, Watcher], AsyncGenerator[bytes]] | None = None
    """`?watch=true` sends these server-sent events instead."""
    takes_any_body: bool = False
    """A body is ignored instead of refused."""
    rows: str = ""
    """Of a list: the member with its rows."""
    gather: "Callable[[Resource, Node, Asked], Awaitable[Answer]] | None" = None
    """`?nodes=` asks other nodes for their parts of the list, and this puts them together."""
    gather_events: "Callable[[Resource, Node, Asked, Watcher], AsyncGenerator[bytes]] | None" = None
    """`?nodes=` with `?watch=true` sends these server-sent events."""
    of_any_node: bool = False
    """`?node=` lets another node answer."""


NODES: Final = Parameter(
    "nodes", Text("all, or the id or the name of a node"), "Ask all nodes, or this one. Absent: the node that answers."
)
NODE: Final = Parameter(
    "node", Text("the id or the name of a node"), "The node that this is about. Absent: the node that answers."
)
WATCH = Parameter("watch", Flag(), "Answer with server-sent events until the client leaves.", default=False)


def parameters_of(row: Resource) -> tuple[Parameter, ...]:
    """All parameters of a row."""
    found = list(row.parameters)
    if row.gather is not None:
        found.append(NODES)
    if row.of_any_node:
        found.append(NODE)
    if row.is_watched or row.follow is not None:
        found.append(WATCH)
    return tuple(found)


def node_of(gateway: Gateway, reloader: Reloader) -> Node:
    """The node of this gateway. Call it once: its watchers end with the gateway, and when a drain begins to close."""
    watchers = Watchers(gateway.account, gateway.sockets)
    gateway.drain.on_closing.append(watchers.stop)
    gateway.companions.append(watchers)
    return Node(gateway, reloader, watchers)
