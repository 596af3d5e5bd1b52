"""Keys of the buckets, and the subject beside them: how the name of a cluster or a host becomes a key, and back.

A part of a key has `a-z`, `0-9`, `-` and `_` as they are, and each other byte of its UTF-8 as `=XX`. The key of a link
is `CLUSTER.NODE`. In a cluster's name a dot is escaped, too: a name may begin with a dot or have two in a row, which no
key may. The key of a host is `host.` and the host, whose dots stay: an operator who lists the bucket can read it. The
key of a published host begins with `published.`.
"""

import re
from base64 import b32encode
from secrets import token_bytes
from typing import Final

_PLAIN: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-_")
_ESCAPED = re.compile("=([0-9A-F]{2})")
_WRITTEN = re.compile(r"(?:[a-z0-9_-]|=[0-9A-F]{2})+")
_NODE = re.compile("[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_HOST: Final = "host."
PUBLISHED: Final = "published."


class NotAKeyError(ValueError):
    """Nobody of ours writes such a key."""


def new_node_id() -> str:
    """A random one, for one start of one process: 12 characters of a-z and 2-7."""
    return b32encode(token_bytes(10))[:12].decode().lower()


def is_node(text: str) -> bool:
    """Whether it may be the id of a node, of this version or the next: one DNS label."""
    return _NODE.fullmatch(text) is not None


def link_key(cluster: str, node: str) -> str:
    """The key of the links that a node has with a cluster.

    >>> link_key("Shop 1.a", "abc")
    '=53hop=201=2Ea.abc'
    """
    return f"{_written(cluster)}.{node}"


def cluster_and_node(key: str) -> tuple[str, str]:
    """Whose links it is the key of. Raises NotAKeyError."""
    cluster, _, node = key.partition(".")
    if not is_node(node):
        raise NotAKeyError("it does not end with the id of a node")
    return _read(cluster), node


def announcements(prefix: str) -> str:
    """The subject on which nodes announce their links. `prefix`: of the buckets.

    >>> announcements("tunnel")
    'tunnel.links'
    """
    return f"{prefix}.links"


def host_key(host: str) -> str:
    """The key of a host or wildcard, in lower case and without a port.

    >>> host_key("*.a.test")
    'host.=2A.a.test'
    """
    return _HOST + _labels(host)


def host_of(key: str) -> str:
    """The host of a key. Raises NotAKeyError."""
    if not key.startswith(_HOST):
        raise NotAKeyError("it is not the key of a host")
    return _host(key.removeprefix(_HOST))


def key_of_published(host: str) -> str:
    """The key of a published host, in lower case and without a port."""
    return PUBLISHED + _labels(host)


def published_host_of(key: str) -> str:
    """The host of the key of a published one. Raises NotAKeyError."""
    if not key.startswith(PUBLISHED):
        raise NotAKeyError("it is not the key of a published host")
    return _host(key.removeprefix(PUBLISHED))


def _labels(host: str) -> str:
    return ".".join(_written(label) for label in host.split("."))


def _host(labels: str) -> str:
    host = ".".join(_read(label) for label in labels.split("."))
    if _labels(host) != labels:  # a dot within a label
        raise NotAKeyError("a part of it is not escaped as ours are")
    return host


def _written(text: str) -> str:
    return "".join(chr(byte) if byte in _PLAIN else f"={byte:02X}" for byte in text.encode())


def _read(part: str) -> str:
    if not _WRITTEN.fullmatch(part):
        raise NotAKeyError("a part of it is not escaped as ours are")
    try:
        text = bytes(_ESCAPED.sub(lambda found: chr(int(found[1], 16)), part), "latin-1").decode()
    except UnicodeDecodeError:
        raise NotAKeyError("a part of it is not UTF-8") from None
    if _written(text) != part:  # else two keys would mean the same
        raise NotAKeyError("a part of it is not escaped as ours are")
    return text
