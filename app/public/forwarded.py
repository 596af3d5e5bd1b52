"""The facts about a client: its address, its scheme, and the host that it asked for. They are settled once, here.

They are the connection's, unless it comes from a trusted proxy: then they are what that one says, in either vocabulary
(`hops.py`). The service gets them in both, and both say the same; what anybody else claims never reaches it.

A proxy may write one vocabulary and pass on what its client sent in the other. So the one that names the client is
believed, `X-Forwarded-For` before `Forwarded`. The other one counts only if it names the same client, for what the
first leaves out. A request does not show which of two contradicting fields its client wrote: where proxies write only
`Forwarded`, the setting `proxy_fields` says so.
"""

import re
from typing import Final, NamedTuple

from tunnel.port import Headers

from ..rules.proxies import Proxies
from ..rules.request import Request
from ..rules.shape import FORWARDED
from .hops import Said, forwarded, is_address, is_within, node_of, x_forwarded

_NOTHING: Final = Said()
_USUAL_PORTS: Final = {"http": 80, "https": 443}
"""A host does not have them. 80 beside `https` comes of a proxy behind the one that ends TLS, and is not believed."""
_PORT: Final = re.compile(rb":([0-9]{1,5})\Z")


class Facts(NamedTuple):
    """What a trusted proxy says of its client."""

    client: str
    """An address; or, where the proxy does not tell it, `unknown` or an obfuscated name (RFC 7239 section 6)."""
    scheme: str
    fields: Headers
    """All of it for the service, in both vocabularies."""


def settle(peer: str, peer_scheme: str, host: bytes, lines: Headers, proxies: Proxies) -> Facts | None:
    """The facts of a request from this peer, with this Host. None: the peer is no trusted proxy."""
    if not is_within(peer, proxies.networks):
        return None
    said: dict[bytes, bytes] = {}
    for name, value in lines:
        if name in FORWARDED:
            said[name] = said[name] + b"," + value if name in said else value
    theirs, other = _NOTHING, _NOTHING
    if proxies.fields != "forwarded":
        theirs = x_forwarded(said, proxies.networks)
    if proxies.fields != "x-forwarded" and b"forwarded" in said:
        other = forwarded(said[b"forwarded"], proxies.networks)
    if other.way and not theirs.way:
        theirs, other = other, theirs
    if other.way[:1] != theirs.way[:1]:
        other = _NOTHING
    scheme = theirs.scheme or other.scheme or peer_scheme
    asked = theirs.host or other.host or host
    usual = _USUAL_PORTS[scheme]
    own = _PORT.search(asked)
    port = int(own[1]) if own else theirs.port or other.port or usual
    if own is None and port in _USUAL_PORTS.values():
        port = usual
    # A port may be empty (RFC 3986 section 3.2.3).
    named = asked if own or port == usual else b"%b:%d" % (asked.removesuffix(b":"), port)
    way = (*theirs.way, node_of(peer.partition("%")[0].encode()))
    fields = [
        (b"x-forwarded-for", ", ".join(way).encode()),
        (b"x-forwarded-proto", scheme.encode()),
        (b"x-forwarded-host", asked),
        (b"forwarded", _elements(way, scheme, named)),
    ]
    if b"x-forwarded-port" in said:
        fields.append((b"x-forwarded-port", b"%d" % port))
    if b"x-real-ip" in said and is_address(way[0]):
        fields.append((b"x-real-ip", way[0].encode()))
    return Facts(way[0], scheme, fields)


def forwarding(peer: str, scheme: str, host: bytes) -> Headers:
    """The same fields for a client that is no trusted proxy."""
    return [
        (b"x-forwarded-for", peer.encode()),
        (b"x-forwarded-proto", scheme.encode()),
        (b"x-forwarded-host", host),
        (b"forwarded", _elements((peer,), scheme, host)),
    ]


def readdressed(fields: Headers, scheme: str, host: bytes) -> Headers:
    """The fields of `settle`, as if the same client had asked for this host by this scheme."""
    said = dict(fields)
    way = tuple(said[b"x-forwarded-for"].decode("ascii").split(", "))
    own = _PORT.search(host)
    changed = {
        b"x-forwarded-proto": scheme.encode(),
        b"x-forwarded-host": host,
        b"x-forwarded-port": own[1] if own else b"%d" % _USUAL_PORTS[scheme],
        b"forwarded": _elements(way, scheme, host),
    }
    return [(name, changed.get(name, value)) for name, value in fields]


def asked_host(request: Request) -> bytes:
    """The host that the client asked for, with its port: its Host, or what a trusted proxy says."""
    for name, value in request.forwarding or ():
        if name == b"forwarded":
            said = value.partition(b'host="')[2].partition(b'"')[0]
            return said if said[:1] != b":" else request.host
    return request.host


def _elements(way: tuple[str, ...], scheme: str, host: bytes) -> bytes:
    """`Forwarded`: the client's element says all, so whatever a service reads in the others contradicts nothing.

    RFC 7239 section 6: IPv6 in brackets and quotes.
    """
    client, *proxies = [f'for="[{node}]"' if ":" in node else f"for={node}" for node in way]
    said = f'{client};proto={scheme};host="{host.decode("latin-1")}"'
    return ", ".join((said, *proxies)).encode("latin-1")
