"""The value of a node's links with one cluster in the bucket `links`, and the stamps that order the links of an agent.

The stamp of a link is the `created` of the bucket and the revision of the put that first named it. So the engine's
order decides which link of an agent is the newest, over all nodes, and no clock does. A link without a stamp takes the
put's own; later puts of the same key carry its stamp on. A bucket that was made anew has another, later `created`, and
every node puts its links again with the stamps that they had: these are then older than all new ones.

An agent that has not named itself yet has the id `""`: all its node's such links are one.
"""

import re
from sys import intern
from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec import Meta

from tunnel.port import Pool

from .bucket import Entry
from .values import VERSION, ValueIgnoredError, decoded

UNNAMED: Final = ""

_CREATED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", re.ASCII)


class Stamp(NamedTuple):
    """Compares as the engine ordered. `created`: RFC 3339 in UTC, of fixed length."""

    created: str
    revision: Annotated[int, Meta(ge=0, le=2**63 - 1)]


NEWEST: Final = Stamp("~", 0)
"""Of a link that no put has named yet: above every other."""
OLDEST: Final = Stamp("", 0)
"""Below every other. Between it and all that the engine gave are those of links that are only announced."""


class Linked(msgspec.Struct, frozen=True, omit_defaults=True):
    """The newest link of one agent on one node."""

    stamp: Stamp | None = None
    """None: that of the put."""
    dialect: Annotated[str, Meta(max_length=32)] = ""


_Agents = Annotated[dict[Annotated[str, Meta(max_length=255)], Linked], Meta(max_length=10_000)]


class _Value(msgspec.Struct, omit_defaults=True):
    agents: _Agents = {}
    publishers: _Agents = {}


class Claim(msgspec.Struct, frozen=True, gc=False):
    """An agent's link, as a node claims to have it."""

    node: str
    agent_id: str
    stamp: Stamp
    dialect: str
    pool: Pool
    """Whose exchanges it carries."""


def pool_of(cluster: str, publisher: str) -> Pool:
    """The pool of a cluster's agents, or of one that publishes."""
    return (cluster, publisher) if publisher else cluster


def encoded(links: dict[tuple[str, str], Linked]) -> bytes:
    """The value to put for links by publisher (or "") and agent id."""
    agents = {agent_id: linked for (publisher, agent_id), linked in links.items() if not publisher}
    publishers = {agent_id: linked for (publisher, agent_id), linked in links.items() if publisher}
    return msgspec.json.encode({"v": VERSION, "agents": agents, "publishers": publishers})


def claims_of(entry: Entry, cluster: str, node: str) -> tuple[Claim, ...]:
    """What an entry claims. Raises ValueIgnoredError."""
    value = decoded(_Value, entry.value or b"")
    put = Stamp(entry.created, entry.revision)
    found = []
    for agents, publishes in ((value.agents, False), (value.publishers, True)):
        for agent_id, linked in agents.items():
            stamp = put
            if linked.stamp is not None:
                if not _CREATED.fullmatch(linked.stamp.created):
                    raise ValueIgnoredError("a stamp does not begin with a time")
                stamp = Stamp(intern(linked.stamp.created), linked.stamp.revision)
            pool = pool_of(cluster, agent_id if publishes else "")
            found.append(Claim(node, agent_id, stamp, intern(linked.dialect), pool))
    return tuple(found)
