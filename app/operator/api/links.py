"""The links of this node: which agent, how the path is, what is on it. And the drain of one."""

from collections.abc import Iterator
from typing import Final, Literal

import msgspec
from msgspec import UNSET, UnsetType

from tunnel.gateway.link import Link

from ...node.gateway import Gateway
from ...observed.events import EventKind, moment
from ...observed.metrics import link_state
from ...observed.record import printable
from ...settings import fingerprint
from .errors import ApiError, gone, not_found
from .gathering import NodeTold
from .pages import PAGING, Step, Turn, number_after, page
from .parameters import Choice, Parameter, Seconds, Text
from .resources import Answer, Asked, Node, answer

State = Literal["joining", "ready", "doubted", "leaving"]

_STREAMS_PER_TURN: Final = 2_000
"""Of the links of a page: each link looks at its streams, 0.3 us each."""


class LinkItem(msgspec.Struct, frozen=True, kw_only=True):
    """One live connection of one agent."""

    link: str
    cluster: str
    agent: str | None
    """null: the agent has not named itself yet."""
    publisher: str | None
    """The agent's id if the link carries only what this agent publishes. null: it serves its cluster."""
    version: str | None
    """Of the agent, as it says."""
    address: str | None
    since: str
    age_seconds: float
    round_trip_seconds: float | None
    dialect: str | None
    """null: not agreed yet."""
    state: State
    streams: int
    window_bytes: int
    stalled_streams: int
    bytes_waiting: int
    heard_seconds_ago: float
    token: str | None
    """`sha256:` and the first 8 digits of the hash of its token."""
    node: str | UnsetType = UNSET
    """Where it is, in an answer over several nodes."""


class LinkPage(msgspec.Struct, frozen=True, kw_only=True):
    """Links, the oldest first."""

    links: list[LinkItem]
    next: str | None
    total: int
    nodes: list[NodeTold] | UnsetType = UNSET
    """In an answer over several nodes: who was asked."""


class LinkDrained(msgspec.Struct, frozen=True, kw_only=True):
    """A link takes no new exchange any more."""

    link: str
    state: State
    streams: int
    message: str


FILTERS: Final = (
    Parameter("cluster", Text(), "Only links of this cluster."),
    Parameter("agent", Text(), "Only links of the agent with this id."),
    Parameter("state", Choice(("joining", "ready", "doubted", "leaving")), "Only links in this state."),
)
LIST: Final = (*FILTERS, *PAGING)
GRACE: Final = Parameter(
    "grace", Seconds(86_400.0), "How long exchanges may go on. Absent: the setting `shutdown_grace`."
)


async def links(node: Node, asked: Asked) -> Answer:
    """The links, by number."""
    registry = node.gateway.registry
    found = await page(_steps(node.gateway, asked), asked)
    return found.answer("links", len(registry.links()))


async def link(node: Node, asked: Asked) -> Answer:
    """One of them."""
    return answer(item_of(_named(node.gateway, asked.path["link"])))


async def drain_link(node: Node, asked: Asked) -> Answer:
    """Move the exchanges away from one link, and close it. Its agent dials again at once."""
    gateway = node.gateway
    one = _named(gateway, asked.path["link"])
    grace: float | None = asked.query["grace"]
    seconds = gateway.settings.shutdown_grace if grace is None else grace
    one.retire(seconds)
    left = "1 exchange is" if one.active == 1 else f"{one.active} exchanges are"
    gateway.events.emit(
        EventKind.LINK_DRAINED_BY_OPERATOR, f"drained by the operator: {left} open, {seconds:g} s of grace",
        cluster=one.cluster, agent=one.agent_id or "", link=one.name, address=one.address,
        token=fingerprint(one.token_hash),
    )  # fmt: skip
    message = (
        f"{one.name} takes no new exchanges; {left} open. It is closed when they have ended, at the latest after "
        f"{seconds:g} s. Its agent then connects again"
    )
    return answer(
        LinkDrained(link=one.name, state=link_state(one), streams=one.figures().streams, message=message), 202
    )


def item_of(link: Link) -> LinkItem:
    """The item of a link."""
    age = max(0.0, link.clock() - link.born)
    figures = link.figures()
    return LinkItem(
        link=link.name,
        cluster=link.cluster,
        agent=printable(link.agent_id) if link.agent_id else None,
        publisher=printable(link.publisher) or None,
        version=printable(link.agent_version) or None,
        address=link.address or None,
        since=moment(link.since),
        age_seconds=round(age, 3),
        round_trip_seconds=None if figures.round_trip_seconds is None else round(figures.round_trip_seconds, 6),
        dialect=link.dialect or None,
        state=link_state(link),
        streams=figures.streams,
        window_bytes=figures.window_bytes,
        stalled_streams=figures.stalled_streams,
        bytes_waiting=figures.bytes_waiting,
        heard_seconds_ago=round(link.heard_seconds, 3),
        token=fingerprint(link.token_hash) or None,
    )


def _steps(gateway: Gateway, asked: Asked) -> Iterator[Step]:
    query = asked.query
    begin = number_after(asked)
    streams = 0
    for one in sorted(gateway.registry.links(), key=_number):
        if _number(one) <= begin or not _fits(one, query["cluster"], query["agent"], query["state"]):
            yield None
            continue
        item = item_of(one)
        yield str(_number(one)), item
        streams += item.streams
        if streams >= _STREAMS_PER_TURN:
            streams = 0
            yield Turn.OVER


def _fits(link: Link, cluster: str | None, agent: str | None, state: str | None) -> bool:
    return (
        (cluster is None or link.cluster == cluster)
        and (agent is None or link.agent_id == agent)
        and (state is None or link_state(link) == state)
    )


def _named(gateway: Gateway, name: str) -> Link:
    """The link of this name. Raises ApiError."""
    for one in gateway.registry.links():
        if one.name == name:
            return one
    raise _missing(gateway, name)


def _missing(gateway: Gateway, name: str) -> ApiError:
    kind, _, digits = name.rpartition("-")
    newest_kind, _, newest = gateway.registry.newest.rpartition("-")
    was_there = digits.isascii() and digits.isdigit() and kind == newest_kind
    if was_there and 0 < int(digits) <= int(newest):
        return gone("this link has ended; GET /-/links lists those that are open")
    return not_found("there is no link of this name; GET /-/links lists those that are open")


def _number(link: Link) -> int:
    return int(link.name.rpartition("-")[2])
