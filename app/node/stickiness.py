"""Keeps a client on one of a cluster's agents, if the route asks for it.

`cookie`: a cookie holds a fingerprint of the agent's id, and the client stays with that agent while it is connected.
`client`: rendezvous hashing of the client's address, so that an agent that comes or goes moves only its own clients.
Neither is guaranteed: a client whose agent is gone goes to another.
"""

from hashlib import blake2b

from tunnel.port import Headers, Upstream

from ..rules.policy import Policy
from ..rules.request import Request
from ..rules.routes import Route
from .elsewhere import Preference

COOKIE = b"tunnel_agent"
_COOKIE = COOKIE + b"="


def preference(policy: Policy, request: Request, cluster: str) -> Preference | None:
    """How to rank the cluster's agents for this client. None when the route does not ask for it."""
    if policy.sticky == "cookie":
        wanted = _cookie(request)
        return (lambda agent: int(_fingerprint(cluster, agent) == wanted)) if wanted else None
    if policy.sticky == "client":
        client = request.client.encode()

        def weight(agent: str) -> int:
            return int.from_bytes(blake2b(client, key=_fingerprint(cluster, agent), digest_size=8).digest())

        return weight
    return None


def cookie_for(route: Route, request: Request, upstream: Upstream) -> Headers:
    """The Set-Cookie that keeps the client with this agent. Empty if the client has it, or the route sets none."""
    if route.policy.sticky != "cookie" or upstream.agent_id is None:
        return []
    fingerprint = _fingerprint(route.target.cluster, upstream.agent_id)
    if _cookie(request) == fingerprint:
        return []
    return [(b"set-cookie", COOKIE + b"=" + fingerprint + b"; Path=/; HttpOnly; SameSite=Lax")]


def _fingerprint(cluster: str, name: str) -> bytes:
    """Identifies an agent across its connections, without telling anybody its name."""
    return blake2b(f"{cluster}/{name}".encode(), digest_size=8).hexdigest().encode()


def _cookie(request: Request) -> bytes | None:
    for value in request.all(b"cookie"):
        at = value.find(_COOKIE)
        while at >= 0:
            begin = at
            while begin and value[begin - 1 : begin].isspace():
                begin -= 1
            if not begin or value[begin - 1 : begin] == b";":
                end = value.find(b";", at)
                return value[at + len(_COOKIE) : end if end >= 0 else None].rstrip()
            at = value.find(_COOKIE, at + 1)
    return None
