"""What a node says at once of its links with a cluster, on a plain subject of NATS, before an entry in `links` says it.

An entry needs JetStream, and with several servers nobody writes for some seconds after their leader is lost. A message
on a plain subject needs none. It may be lost, come twice or come late, and nobody orders it against those of other
nodes: so it counts only where entries say nothing (`announced`).

A message lists all links of one node with one cluster, so the next one makes up for one that was lost. `came` of a link
is a number of its node: the greater, the later. A link that has a stamp is listed without one.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from .keys import is_node
from .values import VERSION, ValueIgnoredError, decoded

LONGEST_BYTES: Final = 64 * 1024
"""1,000 agents of one cluster on one node. What is longer is not announced, and told by the entry alone."""

_Number = Annotated[int, Meta(ge=0, le=2**63 - 1)]
_Text = Annotated[str, Meta(max_length=255)]


class AnnouncedLink(msgspec.Struct, frozen=True, omit_defaults=True):
    """The newest link of one agent on one node."""

    came: _Number | None = None
    """None: it has a stamp."""
    dialect: Annotated[str, Meta(max_length=32)] = ""


_Agents = Annotated[dict[_Text, AnnouncedLink], Meta(max_length=2_000)]


class Announcement(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The links of one node with one cluster; none: the last is gone."""

    node: str
    seq: _Number
    """Grows with each announcement of the node, whatever the cluster."""
    cluster: Annotated[str, Meta(min_length=1, max_length=1_024)]
    agents: _Agents = {}
    publishers: _Agents = {}


class _Written(Announcement, frozen=True, kw_only=True):
    v: int


def encoded(announcement: Announcement) -> bytes:
    """The message."""
    fields = {name: getattr(announcement, name) for name in Announcement.__struct_fields__}
    return msgspec.json.encode(_Written(v=VERSION, **fields))


def read(message: bytes) -> Announcement:
    """What a message says. Raises ValueIgnoredError."""
    if len(message) > LONGEST_BYTES:
        raise ValueIgnoredError(f"it has {len(message)} bytes")
    announcement = decoded(Announcement, message)
    if not is_node(announcement.node):
        raise ValueIgnoredError("it does not name a node")
    return announcement
