"""Which addresses are one client: an IPv4 address, or the /64 of an IPv6 one.

A host gets a whole /64 and may use any address in it (RFC 6177, RFC 8981), so single addresses bound nobody there.
"""

from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address

_REMEMBERED = 4_096
"""Parsing takes 5 us, and whoever needs a bound comes again."""
_HOST_BITS = 64


def block_of(address: str) -> str:
    """The name under which this client address is counted; a text that is no address stands for itself.

    >>> block_of("192.0.2.1"), block_of("2001:db8:0:7:1:2:3:4")
    ('192.0.2.1', '2001:db8:0:7::/64')
    """
    return _block(address) if ":" in address else address


@lru_cache(_REMEMBERED)
def _block(address: str) -> str:
    try:
        parsed = IPv6Address(address.partition("%")[0])
    except AddressValueError:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return f"{IPv6Address(int(parsed) >> _HOST_BITS << _HOST_BITS)}/64"
