"""How many connections this process has descriptors for.

A connection is a descriptor, and so are the log, the listening sockets, the state files, each temporary file of a slow
answer and each connection of the operator's listener. A process without a free descriptor can do nothing of this, so
the bound on connections is below the limit of the system (RLIMIT_NOFILE).
"""

import sys
from typing import Final, NamedTuple

if sys.platform != "win32":
    import resource

CUT_OFF_AT_ONCE: Final = 24
"""Clients of one address that were accepted, found no room and are not closed yet: 8 a turn of the loop, for three."""
KEPT_ASIDE: Final = 64
"""For the process itself: 25 when it starts with one address, 8 for each further one, `CUT_OFF_AT_ONCE`, and what the
operator's listener needs."""
_FILES_SHARE: Final = 8
"""An eighth of the limit is for temporary files (answers to slow clients, of agents without yamux)."""
_RESERVE_SHARE: Final = 16
_RESERVES: Final = (16, 256)
_UNKNOWN_LIMIT: Final = 8_192
"""Where the system does not say."""


class Room(NamedTuple):
    """For connections: `most` for anybody, `reserve` more for agents and the operator."""

    most: int
    reserve: int


def raise_limit() -> int:
    """Raise the process's limit of open files as far as it may, as Go programs do. Returns what it is then."""
    if sys.platform == "win32":
        return _UNKNOWN_LIMIT
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):  # macOS has a lower one that it does not name
            return soft
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard


def room_for(limit: int, asked: int | None) -> Room:
    """The room under a limit of open files. `asked`: `max_connections`; None: as many as fit."""
    fits = max(1, limit - KEPT_ASIDE - limit // _FILES_SHARE)
    most = max(1, fits - _reserve(fits))
    if asked is not None:
        most = min(most, asked)
    return Room(most, _reserve(most))


def _reserve(connections: int) -> int:
    least, most = _RESERVES
    return min(max(connections // _RESERVE_SHARE, least), most)
