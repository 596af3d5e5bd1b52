"""The socket of a link: little of what is written may wait in the kernel, where nothing can overtake it."""

import contextlib
import socket
from typing import Any, Final

LINK_UNSENT_BYTES: Final = 16 * 1024
"""Of a link, in the kernel and unsent: 16 ms at 8 Mbit/s. 64 KiB let small messages wait for half as long again."""


def limit_unsent(sock: socket.socket, size_bytes: int) -> None:
    """Let the kernel take no more while so much is unsent, where it has this option (Linux, macOS); idempotent."""
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    if option is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError):  # gone already
            sock.setsockopt(socket.IPPROTO_TCP, option, size_bytes)


def hold_little(transport: Any) -> None:  # noqa: ANN401  (uvloop's transports are none by their classes)
    """Make a link's transport say that it is full as soon as anything waits in it, and its kernel hold little."""
    # Not 0: uvloop's TLS transport says that it is full from its mark on, so it would be for ever.
    transport.set_write_buffer_limits(high=1)
    sock = transport.get_extra_info("socket")
    if sock is not None:
        limit_unsent(sock, LINK_UNSENT_BYTES)
