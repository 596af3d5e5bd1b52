"""The value of a node in the bucket `nodes`: what it puts each second, so that the others know that it lives.

The key is the node's id, which is new with each start of the process. Load stands here and not beside the links,
because it changes all the time. Times in it are for people only: nothing is decided by another node's clock.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from .values import VERSION, decoded

MOST_NAMES: Final = 10_000
"""With counts of one kind."""

_Count = Annotated[int, Meta(ge=0, le=2**53)]
_Counts = Annotated[dict[str, _Count], Meta(max_length=MOST_NAMES)]
_Text = Annotated[str, Meta(max_length=255)]


class Load(msgspec.Struct, frozen=True, gc=False):
    """What a node carries now."""

    links: _Count = 0
    exchanges: _Count = 0
    websockets: _Count = 0


class Beat(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One beat. `seq` grows by 1 with each; `bye` is in the last one only."""

    name: _Text
    """For people; several nodes may have the same."""
    peer_url: Annotated[str, Meta(max_length=2_048)]
    """Where the others dial it. Whether it is that node, the peer link's authentication says."""
    build: _Text = ""
    started: float = 0.0
    """Of its wall clock, in seconds."""
    seq: _Count
    draining: bool = False
    bye: bool = False
    load: Load = Load()
    files: _Text = ""
    """A hash of the routes in its file."""
    routes_revision: _Count = 0
    """The revision up to which it knows the bucket `routes`."""
    per_cluster_websockets: _Counts = {}
    """Where a limit counts them, as `app/node/shared_counts.py` says; likewise the next two."""
    per_route_websockets: _Counts = {}
    """By host and path."""
    per_client_websockets: _Counts = {}
    """By address, or IPv6 network."""

    @property
    def websockets(self) -> dict[str, dict[str, int]]:
        """The counts by kind."""
        return {
            "cluster": self.per_cluster_websockets, "route": self.per_route_websockets,
            "client": self.per_client_websockets,
        }  # fmt: skip


class _Written(Beat, frozen=True, kw_only=True):
    v: int


def encoded(beat: Beat) -> bytes:
    """The value to put."""
    return msgspec.json.encode(_Written(v=VERSION, **msgspec.structs.asdict(beat)))


def read(value: bytes) -> Beat:
    """The beat of a value. Raises ValueIgnoredError."""
    return decoded(Beat, value)
