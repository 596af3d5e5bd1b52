"""Keeping a client on one of a cluster's agents, where a route asks for it.

`cookie`: a cookie names the agent by a fingerprint of its id; while that agent is connected the client stays with it.
`client`: the client's address picks by rendezvous hashing, so that an agent that comes or goes moves only its own.
Neither is a promise: a client whose agent is gone goes to another.
"""

from collections.abc import Callable
from hashlib import blake2b

from tunnel.gateway.link import Link
from tunnel.port import Headers, Upstream

from ..asgi.answers import Scope
from ..public.header_rules import client_address
from ..rules.policy import Policy
from ..settings import Settings

COOKIE = b"tunnel_agent"

Preference = Callable[[Link], int]
"""The higher, the better."""


def preference(policy: Policy, scope: Scope, settings: Settings) -> Preference | None:
    """How this client's links rank; None where the route does not ask."""
    if policy.sticky == "cookie":
        wanted = _cookie(scope)
        return (lambda link: int(_fingerprint_of(link) == wanted)) if wanted else None
    if policy.sticky == "client":
        client = client_address(scope, settings).encode()
        return lambda link: int.from_bytes(blake2b(client, key=_fingerprint_of(link), digest_size=8).digest())
    return None


def cookie_for(policy: Policy, scope: Scope, upstream: Upstream, cluster: str) -> Headers:
    """The Set-Cookie that keeps the client with this agent; nothing where it has it, or is not wanted."""
    if policy.sticky != "cookie" or upstream.agent_id is None:
        return []
    fingerprint = _fingerprint(cluster, upstream.agent_id)
    if _cookie(scope) == fingerprint:
        return []
    return [(b"set-cookie", COOKIE + b"=" + fingerprint + b"; Path=/; HttpOnly; SameSite=Lax")]


def _fingerprint_of(link: Link) -> bytes:
    return _fingerprint(link.cluster, link.agent_id or link.name)


def _fingerprint(cluster: str, name: str) -> bytes:
    """Of the agent, not of its connection, where it is named; it tells nobody the agent's name."""
    return blake2b(f"{cluster}/{name}".encode(), digest_size=8).hexdigest().encode()


def _cookie(scope: Scope) -> bytes | None:
    for name, value in scope["headers"]:
        if name == b"cookie":
            for part in value.split(b";"):
                key, _, text = part.strip().partition(b"=")
                if key == COOKIE:
                    return bytes(text)
    return None
