"""Which addresses a pattern never reaches: the agent's own machine, its link, and the cloud's metadata service.

A pattern (`--allow`) names services, and whoever writes a cluster's DNS says what they resolve to: a Service with a
host entry may point at 169.254.169.254, which hands out the node's credentials. So these are refused once a name is
resolved, in every spelling that leads there. An operator who means one names it (`--service`). Pure functions.
"""

import ipaddress

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_METADATA = frozenset(
    map(ipaddress.ip_address, ("169.254.169.254", "fd00:ec2::254", "fd20:ce::254", "100.100.100.200"))
)
"""Of AWS, GCP, Azure and others; of AWS and GCP over IPv6; of Alibaba Cloud. The last three look like any address."""

_THIS_NETWORK = ipaddress.ip_network("0.0.0.0/8")
_NAT64 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/96"))
"""RFC 6052 section 2.1, and the usual part of RFC 8215's: the last four bytes are the IPv4 address that is reached."""
_COMPATIBLE = ipaddress.ip_network("::/96")
"""RFC 4291 section 2.5.5.1: old, and still written."""


def parsed(text: str) -> IPAddress | None:
    """The address that this literal leads to: IPv4 inside IPv6 as IPv4, without a zone. None for a name."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        return _inside(address) or address
    return address


def why_never(text: str) -> str | None:
    """Why no pattern reaches this address. None where one may, and for a name."""
    address = parsed(text)
    if address is None:
        return None
    if address in _METADATA:
        return "a metadata service's address"
    if address.is_loopback:
        return "a loopback address"
    if address.is_link_local:
        return "a link-local address"
    if address.is_unspecified or address in _THIS_NETWORK:
        return "an unspecified address"
    return None


def _inside(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that is reached by this one."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    last = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    if any(address in network for network in _NAT64):
        return last
    if address in _COMPATIBLE and int(address) > 1:  # neither :: nor ::1
        return last
    return None
