"""Why a route is not served, or can only be refused, and what the operator does about it.

`control_host`: the host is the gateway's own. `no_token`: no token covers the cluster (of a route of the file, which
then answers 503) or the host (of one that an agent registered or published). `shadowed`: the file has the host, by its
name or by a wildcard, or, of one that was registered, an agent publishes it. `expired`: nobody renewed it; it goes
within a minute. What agents asked for in vain is `refused`, and is listed apart.
"""

import time
from typing import Final, Literal, NamedTuple

from ..learned import Learned
from ..node.gateway import Gateway
from ..observed.record import printable
from ..published import Publication
from ..rules.routes import Route

Listed = Route | Learned | Publication
"""A route of the file, one that an agent registered, or one that an agent published."""

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

    def of(self, route: Listed) -> Reason | None:
        """The reason of one route. None: it is served."""
        if isinstance(route, Learned):
            return self._of_learned(route)
        return self._of_published(route) if isinstance(route, Publication) else self._of_file(route)

    def _of_file(self, route: Route) -> Reason | None:
        if route.host in self._gateway.settings.control_hosts:
            return _control_host(route.host)
        cluster = route.target.cluster
        if cluster in self._uncovered:
            text = f"no token covers cluster {cluster}, so it answers 503; add an [[agents]] entry for the cluster"
            return Reason("no_token", text)
        return None

    def _of_learned(self, learned: Learned) -> Reason | None:
        gateway, claim = self._gateway, learned.claim
        if gateway.is_in_force(claim):
            return None
        if (reason := self._of_host(claim.host)) is not None:
            return reason
        holder = gateway.published.holder_of(claim.host)
        if holder is not None:
            whose = f"agent {printable(holder.agent_id)} publishes this host"
            return Reason("shadowed", f"{whose}, and so all of its paths, until it takes it back")
        if learned.expires_at <= self._now:
            return _EXPIRED
        whose = f"no token of cluster {claim.target.cluster} covers this host any more"
        return Reason("no_token", f"{whose}; add it to `hosts` of an [[agents]] entry")

    def _of_published(self, one: Publication) -> Reason | None:
        gateway = self._gateway
        if any(route.published_by is one for route in gateway.routes_of(one.host) or ()):
            return None
        if (reason := self._of_host(one.host)) is not None:
            return reason
        whose = f"the token of agent {printable(one.holder.agent_id)} does not cover this host any more"
        return Reason("no_token", f"{whose}; add it to `hosts` of the token's [[agents]] entry")

    def _of_host(self, host: str) -> Reason | None:
        """Why no route of an agent is served at this host, whoever has it. None: it may be."""
        if host in self._gateway.settings.control_hosts:
            return _control_host(host)
        of_file = self._gateway.settings.routes.of_host(host)
        return None if of_file is None else _shadowed(host, of_file[0].host)


def of_agents(gateway: Gateway, host: str) -> list[Learned | Publication]:
    """What agents published and registered for exactly this host, served or not."""
    return [*gateway.published.registered(host), *gateway.learned.registered(host)]


def reason_of(gateway: Gateway, route: Listed) -> Reason | None:
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
