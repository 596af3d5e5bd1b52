"""A query for the operator's API on a stream between nodes, and the reply. Pure.

Behind its preamble (flag 8) the asking node sends the query as JSON, `{"v": 1, "method": "GET", "target":
"/-/links?limit=5", "client": "192.0.2.1", "most_bytes": 131072}`, and ends its direction. Members that are not known
are ignored, so a later version may add some. The answer byte is "through", without an agent; then come `u16 status` and
the body, up to the end of the stream. Any other answer says that nothing was done.
"""

import struct
from typing import Final

import msgspec

from ...node.asking import Query, Reply
from ..values import VERSION, decoded
from .preamble import through

QUERY_BYTES: Final = 32 * 1024
"""With a URL of 2,000 characters, each escaped, there is room for twice as much. It goes ahead of the answer byte."""
REPLY_BYTES: Final = 8 * 1024 * 1024
"""A page of 1,000 rows has half a megabyte; an explanation, the settings and all events less."""

_STATUS: Final = struct.Struct(">H")
STATUS_BYTES: Final = _STATUS.size


class _Written(Query, frozen=True, kw_only=True):
    v: int


def encoded(query: Query) -> bytes:
    """The bytes behind the preamble."""
    return msgspec.json.encode(_Written(v=VERSION, **msgspec.structs.asdict(query)))


def read(data: bytes) -> Query:
    """The query. Raises ValueIgnoredError."""
    return decoded(Query, data)


def head_of(reply: Reply) -> bytes:
    """What goes before the body: the answer byte, and the status."""
    return through("", "") + _STATUS.pack(reply.status)


def reply_of(data: bytes) -> Reply:
    """The reply in all that came behind the answer. Raises ValueError for a status that is missing."""
    if len(data) < STATUS_BYTES:
        raise ValueError("the reply has no status")
    return Reply(_STATUS.unpack_from(data)[0], data[STATUS_BYTES:])
