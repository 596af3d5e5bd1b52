"""A client's socket: TCP keep-alive, a small send buffer, an abort that drops what is unsent, and a look for resets.

And whether a client waits to be accepted.
"""

import asyncio
import contextlib
import os
import select
import socket
import struct
import sys
from collections.abc import Iterable

try:
    import fcntl
    import termios
except ImportError:  # on Windows
    fcntl = None  # type: ignore[assignment]

_KEEPALIVE = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))
"""Finds a vanished client after 60 + 4 x 15 s."""

_UNSENT_BYTES = 128 * 1024
"""Bytes that the kernel may hold unsent for a connection. More would only delay what is written later."""

_LINGER_NOT = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)


def keep_alive(sock: socket.socket) -> None:
    """Switch TCP keep-alive on, with our times if the system lets us set them.

    On a listening socket it holds for those that it accepts: they inherit it.
    """
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE:
        option = getattr(socket, name, None)
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    if option is not None:
        sock.setsockopt(socket.IPPROTO_TCP, option, _UNSENT_BYTES)


def cut_off(transport: asyncio.Transport) -> None:
    """Abort, and make the kernel drop what it holds unsent: otherwise it would retry for minutes."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):  # already gone
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
    transport.abort()


def unsent_bytes(transport: asyncio.WriteTransport) -> int:
    """What was written and the peer's system has not acknowledged: with us, and in the kernel where it says so.

    The transport alone says little: the kernel lets it write again only once a third of its own buffer is free, and a
    slow reader needs many seconds for that (tcp(7): SIOCOUTQ).
    """
    size_bytes = transport.get_write_buffer_size()
    sock = transport.get_extra_info("socket")
    if sock is None or sock.fileno() < 0 or fcntl is None:
        return size_bytes
    try:
        queued = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))
    except OSError:
        return size_bytes
    return size_bytes + int.from_bytes(queued, sys.byteorder)


def is_reset(transport: asyncio.Transport) -> bool:
    """Whether the client reset the connection, though what it had sent before is not read yet.

    The event loop would tell us only after that was read; for a flood that takes minutes.
    """
    sock = transport.get_extra_info("socket")
    if sock is None or sock.fileno() < 0 or not hasattr(select, "poll"):
        return False
    poll = select.poll()
    poll.register(sock.fileno(), 0)  # errors and hang-ups are always told
    return bool(poll.poll(0))


def client_waits(listening: Iterable[socket.socket]) -> bool:
    """Whether a client waits in the backlog of one of these listening sockets."""
    descriptors = [sock.fileno() for sock in listening]
    if not hasattr(select, "poll"):  # on Windows, where select() takes every socket
        return bool(select.select(descriptors, (), (), 0)[0])
    poll = select.poll()  # select() takes no descriptor above 1,023
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
