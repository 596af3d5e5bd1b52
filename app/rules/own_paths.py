"""The paths of our endpoints for agents and health checks: for the code that serves them and the code that explains.

They count on control hosts only, except for the health checks, which answer on any host that nobody routes.
"""

import re
from typing import Final

HEALTH: Final = frozenset((b"/healthz", b"/readyz"))

AGENT: Final = b"/agent"
"""The socket of an agent of ours."""
CONTROLLER: Final = b"/api/v1/clusters/agent/ws"
"""The path of the existing agent's controller socket."""
GATEWAY: Final = b"/ws"
"""And of its link."""
SOCKETS: Final = frozenset((AGENT, CONTROLLER, GATEWAY))

REGISTER: Final = re.compile(r"/api/v1/gateway/routes/register")
SYNC: Final = re.compile(r"/api/v1/gateway/routes/sync")
UNREGISTER: Final = re.compile(r"/api/v1/gateway/routes/unregister")
TUNNELS: Final = re.compile(r"/api/v1/clusters/agent/([^/]+)/tunnels")
TUNNELS_SYNC: Final = re.compile(r"/api/v1/clusters/agent/([^/]+)/tunnels/sync")
TUNNEL: Final = re.compile(r"/api/v1/clusters/agent/([^/]+)/tunnels/[^/]+")
IP_INTEL: Final = re.compile(r"/api/v1/public/ip-intel/([^/]+)")
CALLS: Final = (REGISTER, SYNC, UNREGISTER, TUNNELS, TUNNELS_SYNC, TUNNEL, IP_INTEL)
"""The REST calls of the existing agent. The first that matches the whole path is meant; the group is a name in it."""


def is_call(path: bytes) -> bool:
    """Whether it is one of the REST calls."""
    text = path.decode("latin-1")
    return any(call.fullmatch(text) for call in CALLS)
