"""Why a route is not served, or can only be refused, and what the operator does about it.

`control_host`: the host is the gateway's own. `no_token`: no token covers the cluster (of a route of the file, which
then answers 503) or the host (of one that an agent registered). `shadowed`: the file has the host, by its name or by a
wildcard. `expired`: nobody renewed it; it goes within a minute. What agents asked for in vain is `refused`, and is
listed apart.
"""

import time
from typing import Final, Literal, NamedTuple

from ..learned import Learned
from ..node.gateway import Gateway
from ..rules.routes import Route

Code = Literal["control_host", "no_token", "shadowed", "expired"]


class Reason(NamedTuple):
    """Why a route leads nowhere."""

    code: Code
    explanation: str
    """What happened, and what to do."""


_EXPIRED: Final = Reason(
    "expired", "its agent has not renewed it; check that the agent is running and that it registers routes"
)


class Reasons:
    """The reasons at one moment, for many routes."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._uncovered = frozenset(gateway.settings.uncovered_clusters())
        self._now = time.time()

    def of(self, route: Route | Learned) -> Reason | None:
        """The reason of one route. None: it is served."""
        return self._of_agents(route) if isinstance(route, Learned) else self._of_file(route)

    def _of_file(self, route: Route) -> Reason | None:
        if route.host in self._gateway.settings.control_hosts:
            return _control_host(route.host)
        cluster = route.target.cluster
        if cluster in self._uncovered:
            text = f"no token covers cluster {cluster}, so it answers 503; add an [[agents]] entry for the cluster"
            return Reason("no_token", text)
        return None

    def _of_agents(self, learned: Learned) -> Reason | None:
        gateway, claim = self._gateway, learned.claim
        if gateway.is_in_force(claim):
            return None
        if claim.host in gateway.settings.control_hosts:
            return _control_host(claim.host)
        above = gateway.settings.routes.of_host(claim.host)
        if above is not None:
            return _shadowed(claim.host, above[0].host)
        if learned.expires_at <= self._now:
            return _EXPIRED
        whose = f"no token of cluster {claim.target.cluster} covers this host any more"
        return Reason("no_token", f"{whose}; add it to `hosts` of an [[agents]] entry")


def reason_of(gateway: Gateway, route: Route | Learned) -> Reason | None:
    """The reason of one route. None: it is served."""
    return Reasons(gateway).of(route)


def _shadowed(host: str, rule: str) -> Reason:
    """`rule`: the host or wildcard of the file that takes all requests for `host`."""
    whose = f"the file routes {rule}" if rule == host else f"the file routes {rule}, which covers {host}"
    what = "so all paths of this host come from the file"
    return Reason("shadowed", f"{whose}, {what}; add the path there, or take the host out of the file")


def _control_host(host: str) -> Reason:
    text = f"{host} is a control host, and is never routed; use another host, or take it out of control_hosts"
    return Reason("control_host", text)
