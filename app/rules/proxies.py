"""The proxies in front whose word about their clients is taken, and in which fields they write it."""

from ipaddress import IPv4Network, IPv6Network
from typing import Literal, NamedTuple

Networks = tuple[IPv4Network | IPv6Network, ...]

Vocabulary = Literal["either", "x-forwarded", "forwarded"]
"""`x-forwarded`: `X-Forwarded-*` and X-Real-IP. `forwarded`: `Forwarded` (RFC 7239)."""


class Proxies(NamedTuple):
    """See the module."""

    networks: Networks
    fields: Vocabulary = "either"
    """Which vocabulary they write. The other one is not read."""
