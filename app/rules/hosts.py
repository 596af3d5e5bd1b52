"""Host names: how long they may be, what a Host field may have, and which patterns stand for which hosts.

A pattern is an exact name, or `*.` and a domain, which stands for one or more labels before it. Hosts are compared
normalised: without port, case and trailing dot.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

HOST_CHARACTERS: Final = 253
"""The longest host name (RFC 1035 section 2.3.4, without the root's dot). Nothing looks at a longer one."""
HOST_FIELD_BYTES: Final = HOST_CHARACTERS + len(".:65535")
"""The longest Host field: a name, its trailing dot and a port."""

LABEL: Final = r"[a-z0-9_](?:[-a-z0-9_]{0,61}[a-z0-9_])?"
"""A label in lower case (RFC 1035 section 2.3.1, and the underscores that people use)."""
NAME: Final = rf"{LABEL}(?:\.{LABEL})*"
"""A name of such labels, of any length."""

_HOST_FIELD: Final = re.compile(rb"(?:[A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?")


def is_host(field: bytes) -> bool:
    """Whether a Host field has only the characters of a host and a port, and is no longer than they can be."""
    return len(field) <= HOST_FIELD_BYTES and _HOST_FIELD.fullmatch(field) is not None


def normalise_host(host: str) -> str:
    """The host of a Host header or a route, in lower case, without port and trailing dot. IPv6 keeps its brackets.

    >>> normalise_host("Kuma.Example.Test.:8080")
    'kuma.example.test'
    """
    host = host.strip().lower()
    if host.startswith("["):
        return host[: host.find("]") + 1] or host
    name, colon, port = host.rpartition(":")
    if colon and port.isdigit():
        host = name
    elif host.endswith(":"):
        host = host[:-1]
    return host.removesuffix(".")


def above(host: str) -> Iterator[str]:
    """The host itself, and every wildcard above it.

    >>> list(above("a.b.test"))
    ['a.b.test', '*.b.test', '*.test']
    """
    yield host
    rest = host.removeprefix("*.")
    while rest := rest.partition(".")[2]:
        yield "*." + rest


def covers(patterns: Iterable[str], host: str) -> bool:
    """Whether one of the patterns covers this host. A wildcard covers itself and narrower wildcards.

    >>> covers(["*.c1.example.com"], "a.b.c1.example.com"), covers(["*.c1.example.com"], "c1.example.com")
    (True, False)
    """
    return any(host == pattern or (pattern.startswith("*.") and host.endswith(pattern[1:])) for pattern in patterns)
