"""What the proxies in front say of a request's way: in `X-Forwarded-*` and `X-Real-IP`, or in `Forwarded`.

Read from the right, because each proxy adds at the right: the nearest node that is not a trusted proxy is the client.
What stands left of it is the client's own text, and is not looked at. So a client cannot spoil what a proxy wrote after
it, with a quote that never ends for instance, and the work is bounded whatever it sends.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, NamedTuple

from ..rules.hosts import is_host
from ..rules.proxies import Networks

HOPS: Final = 32
"""Of trusted proxies in a row. Nobody has more; what is left of them is not read."""
ELEMENT_BYTES: Final = 1024
"""Of one proxy's element in `Forwarded`: an address, a scheme and a host of 259 bytes, each twice, and room."""

_SCHEMES = {b"http": "http", b"https": "https", b"ws": "http", b"wss": "https"}
_NAME = r"_[A-Za-z0-9._-]{1,64}"
_NODE = re.compile(
    rf"(?:\[(?P<bracketed>[0-9A-Fa-f:.]{{2,45}})\]|(?P<four>[0-9.]{{7,15}})|(?P<name>(?i:unknown)|{_NAME}))"
    rf"(?::(?:[0-9]{{1,5}}|{_NAME}))?"
    r"|(?P<bare>[0-9A-Fa-f:.]{2,45})"
)
"""RFC 7239 section 6, and IPv6 without brackets, as X-Forwarded-For has it."""
_NODE_BYTES = 131
"""The longest of them: a name and a port, each 65 bytes. The last nodes are remembered; longer text is not."""
_PAIR = re.compile(rb'[ \t]*([A-Za-z-]+)=(?:"((?:[^"\\]|\\.)*)"|([^";\\ \t]*))[ \t]*(?:;|\Z)', re.DOTALL)
"""Section 4, with blanks around a pair, and with colons and brackets in values that are not quoted: usual lines for
HAProxy write them so, like `for=%[src];host=%[hdr(host)]`."""
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)


class Said(NamedTuple):
    """What one vocabulary says."""

    way: tuple[str, ...] = ()
    """The nodes that the request passed, from the client to the one before the peer. Empty: it names nobody."""
    scheme: str = ""
    """`http` or `https`: what the client used. Empty: it does not say."""
    host: bytes = b""
    """The host that the client asked for. Empty: it does not say."""
    port: int | None = None
    """The port that it dialled, where that is not in `host`. None: it does not say."""


def x_forwarded(fields: Mapping[bytes, bytes], networks: Networks) -> Said:
    """What `X-Forwarded-*` and X-Real-IP say. `fields`: their values, repetitions joined with commas.

    X-Real-IP counts where X-Forwarded-For names nobody: it is one address, and not every proxy writes it.
    """
    hops = [part for part in _members(fields.get(b"x-forwarded-for", b"")) if part]
    way = _way(map(node_of, hops), networks)
    if not way and (node := node_of(fields.get(b"x-real-ip", b""))):
        way = (node,)
    at = max(len(way) - 1, 0)
    scheme = _SCHEMES.get(_beside(fields.get(b"x-forwarded-proto", b""), at).lower(), "")
    host = _beside(fields.get(b"x-forwarded-host", b""), at)
    port = _beside(fields.get(b"x-forwarded-port", b""), at)
    is_port = port.isdigit() and len(port) <= 5 and 0 < int(port) <= 65_535
    return Said(way, scheme, host if is_host(host) else b"", int(port) if is_port else None)


def forwarded(value: bytes, networks: Networks) -> Said:
    """What `Forwarded` says (RFC 7239). `value`: its fields, joined with commas.

    Scheme and host are those of the client's own element. Where the proxy that the client reached does not say, the
    next one does.
    """
    elements = [_element(part) for part in _members(value) if part]
    way = _way((node_of(element.get(b"for", b"")) for element in elements), networks)
    scheme, host = "", b""
    for element in reversed(elements[: max(len(way), 1)]):
        scheme = scheme or _SCHEMES.get(element.get(b"proto", b"").lower(), "")
        if not host and is_host(said := element.get(b"host", b"")):
            host = said
    return Said(way, scheme, host)


def node_of(text: bytes) -> str:
    """A node: an address in its shortest form, without port, `unknown`, or an obfuscated name. Empty: it is none."""
    return _node(text) if len(text) <= _NODE_BYTES else ""


def is_address(text: str) -> bool:
    """Whether a node is an address."""
    return _address(text) is not None


def is_within(text: str, networks: Networks) -> bool:
    """Whether this is an address of one of the networks. `::ffff:192.0.2.1` is 192.0.2.1 (RFC 4291 section 2.5.5.2)."""
    address = _address(text)
    return address is not None and any(address in network for network in networks)


@lru_cache(1024)
def _node(text: bytes) -> str:
    found = _NODE.fullmatch(text.decode("latin-1"))
    if found is None:
        return ""
    if name := found["name"]:
        return name if name.startswith("_") else "unknown"
    address = _address(found["bracketed"] or found["four"] or found["bare"])
    return "" if address is None else str(address)


@lru_cache(1024)
def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (address.version == 6 and address.ipv4_mapped) or address


def _way(nodes: Iterable[str], networks: Networks) -> tuple[str, ...]:
    """The nodes from the client on, of those from the right."""
    way: list[str] = []
    for node in nodes:
        if not node:
            break
        way.append(node)
        if not is_within(node, networks):
            break
    return tuple(reversed(way))


def _members(value: bytes) -> list[bytes]:
    """The last members of a list, from the right."""
    parts = value.rsplit(b",", HOPS)
    if len(parts) > HOPS:
        del parts[0]
    return [part.strip(b" \t") for part in reversed(parts)]


def _beside(value: bytes, at: int) -> bytes:
    """What a list says of the node `at` from the right. The first member of a shorter list says it."""
    if b"," not in value:
        return value.strip(b" \t")
    members = _members(value)
    return members[min(at, len(members) - 1)]


def _element(text: bytes) -> dict[bytes, bytes]:
    """The pairs of one element; none where it is malformed. No value that we read has a comma."""
    pairs: dict[bytes, bytes] = {}
    at = 0
    if len(text) > ELEMENT_BYTES:
        return pairs
    while at < len(text):
        found = _PAIR.match(text, at)
        if found is None:
            return {}
        name, quoted, plain = found.groups()
        pairs.setdefault(name.lower(), plain if quoted is None else _ESCAPE.sub(rb"\1", quoted))
        at = found.end()
    return pairs
