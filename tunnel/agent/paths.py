"""Tells when the host's addresses, routes or interfaces change, where the system says so (Linux: rtnetlink(7)).

A link does not notice by itself: its connection hangs until something times out. Nothing is read from the messages but
that there are some; what they mean is found out by a probe of the link. Elsewhere `watch` does nothing.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from typing import Final

log = logging.getLogger(__name__)

_GROUPS: Final = 0x01 | 0x10 | 0x40 | 0x100 | 0x400
"""RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_IFADDR, RTMGRP_IPV6_ROUTE."""
_READ_BYTES: Final = 65_536
_READS: Final = 64
"""In one turn of the loop; a flood of changes is one change."""


def watch(changed: Callable[[], None]) -> Callable[[], None]:
    """Call `changed` after each change, until what is returned is called."""
    sock = _subscribed()
    if sock is None:
        return _nothing
    loop = asyncio.get_running_loop()

    def readable() -> None:
        with contextlib.suppress(OSError):  # ENOBUFS: so many changes that some were dropped
            for _ in range(_READS):
                sock.recv(_READ_BYTES)
        changed()

    def stop() -> None:
        loop.remove_reader(sock)
        sock.close()

    loop.add_reader(sock, readable)
    return stop


def _subscribed() -> socket.socket | None:
    """A socket that is told about changes; None where the system has none, or forbids it."""
    family = getattr(socket, "AF_NETLINK", None)
    if family is None:
        return None
    try:
        sock = socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
        sock.bind((0, _GROUPS))
    except OSError as error:
        log.debug("changes of addresses are not watched: %s", error)
        return None
    return sock


def _nothing() -> None:
    """Nothing to stop."""
