"""How many connections fit into the memory that this process may have.

A connection holds memory that no account counts: its sockets, its protocol, and over TLS buffers of OpenSSL and uvloop.
Where the limit of open files is high, as in most containers, memory ends first.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_PLAIN_BYTES: Final = 12 * 1024
"""Of a connection: an idle WebSocket, the dearest that stays for long."""
_TLS_BYTES: Final = 96 * 1024
"""Likewise. After a large upload it may be six times as much, until it ends."""
_SHARE: Final = (3, 8)
"""Of the memory, for connections. What they carry has half of it where `held_bytes_hard_limit` is set so."""


def connections_in(memory_bytes: int, *, tls: bool) -> int:
    """How many connections fit into their share of so much memory; at least one."""
    part, whole = _SHARE
    return max(1, memory_bytes * part // whole // (_TLS_BYTES if tls else _PLAIN_BYTES))


def memory_limit(root: Path = Path("/")) -> int | None:
    """Bytes that this process may use: its control groups' limit, or the machine's memory. None: nobody says."""
    limits = [limit for limit in (*_group_limits(root), *_physical()) if limit > 0]
    return min(limits, default=None)


def _physical() -> Iterator[int]:
    if hasattr(os, "sysconf"):
        try:
            yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        except (OSError, ValueError):  # no such name on this system
            return


def _group_limits(root: Path) -> Iterator[int]:
    """Of the control group and those above it, version 2 (cgroups(7)); and what version 1 shows in a container."""
    groups = root / "sys/fs/cgroup"
    group = groups / _own_group(root)
    for folder in (group, *group.parents):
        if folder.is_relative_to(groups):
            yield from _number(folder / "memory.max")
    yield from _number(groups / "memory" / "memory.limit_in_bytes")


def _own_group(root: Path) -> str:
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return ""
    return next((line[4:].lstrip("/") for line in lines if line.startswith("0::/")), "")


def _number(file: Path) -> Iterator[int]:
    try:
        yield int(file.read_text())
    except (OSError, ValueError):  # it is not there, or says "max"
        return
