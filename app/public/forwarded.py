"""Who the client is, according to its connection or to a trusted proxy, and the header fields that tell the service.

Fields that describe the client (`X-Forwarded-*`, `Forwarded`, `X-Real-IP`) are believed and passed on only if the
connection comes from a trusted proxy. The service always gets exactly one field of each kind, set here.
"""

import ipaddress
from collections.abc import Iterable

from tunnel.port import Headers

from ..rules.shape import FORWARDED

Networks = tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]

_SCHEMES = ("http", "https", "ws", "wss")


def client_facts(peer: str, peer_scheme: str, fields: Headers, proxies: Networks) -> tuple[str, str, bool]:
    """The client's address and scheme, and whether the peer is a trusted proxy.

    Behind trusted proxies the client is the nearest address of X-Forwarded-For that is not one of them.
    """
    if not proxies or not is_within(peer, proxies):
        return peer, peer_scheme, False
    address, scheme = peer, peer_scheme
    hops = b",".join(value for name, value in fields if name == b"x-forwarded-for")
    for hop in reversed([part.strip() for part in hops.decode("latin-1").split(",") if part.strip()]):
        if not is_address(hop):
            break
        address = hop
        if not is_within(hop, proxies):
            break
    for name, value in fields:
        if name == b"x-forwarded-proto":
            said = value.decode("latin-1").partition(",")[0].strip().lower()
            if said in _SCHEMES:
                scheme = said.replace("ws", "http", 1)
                break
    return address, scheme, True


def is_address(text: str) -> bool:
    """Whether this is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def forwarding(peer: str, scheme: str, host: bytes, *, theirs: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Our `X-Forwarded-*` and `Forwarded` (RFC 7239), appended to `theirs`, the fields of a trusted proxy if any."""
    # RFC 7239 section 6: IPv6 in brackets and quotes.
    node = f'"[{peer}]"' if ":" in peer else peer
    element = f'for={node};proto={scheme};host="{host.decode("latin-1")}"'.encode("latin-1")
    said: dict[bytes, bytes] = {}
    for name, value in theirs:
        if name in FORWARDED:
            said[name] = said[name] + b", " + value if name in said else value
    return [
        (b"x-forwarded-for", _appended(said.get(b"x-forwarded-for"), peer.encode())),
        (b"x-forwarded-proto", said.get(b"x-forwarded-proto", scheme.encode())),
        (b"x-forwarded-host", said.get(b"x-forwarded-host", host)),
        (b"forwarded", _appended(said.get(b"forwarded"), element)),
    ]


def is_within(text: str, networks: Networks) -> bool:
    """Whether this is an address of one of the networks."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return any(address in network for network in networks)


def _appended(before: bytes | None, own: bytes) -> bytes:
    return before + b", " + own if before else own
