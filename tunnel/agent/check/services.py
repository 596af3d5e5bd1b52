"""Tries each service that an agent may reach: its name, and a connection, by the agent's own rules and its own dial."""

import asyncio
import socket

from tunnel.agent.check.findings import LIMIT_SECONDS, Finding, Findings, unanswered
from tunnel.agent.service import dial
from tunnel.agent.service.services import AllowPattern, Destination, NotReachableError, Services, address_of
from tunnel.agent.settings import AgentSettings
from tunnel.wire import refusals
from tunnel.wire.routing_header import RoutingHeader

AT_ONCE = 16

_NEXT = {
    refusals.REFUSED: "check that the service runs and listens on this port",
    refusals.NO_SUCH_NAME: "check the name, and this host's DNS",
    refusals.SLOW: "check network policies and firewalls between this agent and the service",
    refusals.NOT_ALLOWED: "agents never reach this; name another address",
    refusals.OTHER: "check the address, and the network between this agent and the service",
}


class _Visitor(asyncio.Protocol):
    """Connects and leaves."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Long enough."""
        transport.close()


async def check_services(settings: AgentSettings, limit_seconds: float = LIMIT_SECONDS) -> list[Finding]:
    """What each `--service`, and each `--allow` without `*`, leads to; in their order, and for so long at most."""
    services = Services(settings.services, settings.allow, settings.cluster_domain, settings.api_hosts)
    named = [RoutingHeader(entry.service, entry.namespace, entry.port) for entry in settings.services]
    named += [exact for pattern in settings.allow if (exact := _exact(pattern)) is not None]
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(header: RoutingHeader) -> list[Finding]:
        findings = Findings(f"service {header}")
        try:
            async with asyncio.timeout(limit_seconds), turns:
                await _check(header, services, settings.dial_seconds, findings)
        except TimeoutError:
            findings.fail("tcp", *unanswered(limit_seconds))
        return findings.found

    found = await asyncio.gather(*map(one, dict.fromkeys(named)))
    return [finding for findings in found for finding in findings] + _patterns(settings.allow)


async def _check(header: RoutingHeader, services: Services, limit_seconds: float, findings: Findings) -> None:
    try:
        destination = services.destination_of(header)
    except NotReachableError as error:
        findings.fail("tcp", str(error), _NEXT[error.kind])
        return
    if address_of(destination.host) is None and not await _resolves(destination, findings, limit_seconds):
        findings.skip("not tried", "tcp")
        return
    try:
        await dial.connect(_Visitor(), destination, services, limit_seconds)
    except (dial.DialError, NotReachableError) as error:
        findings.fail("tcp", f"{destination}: {error}", _NEXT.get(error.kind, _NEXT[refusals.OTHER]))
    else:
        findings.ok("tcp", f"connected to {destination}")


async def _resolves(destination: Destination, findings: Findings, limit_seconds: float) -> bool:
    name = f"{destination.host}." if destination.by_pattern else destination.host
    try:
        async with asyncio.timeout(limit_seconds):
            entries = await asyncio.get_running_loop().getaddrinfo(name, destination.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, TimeoutError) as error:
        why = getattr(error, "strerror", None) or "no answer in time"
        findings.fail("dns", f"{destination.host} has no address: {why}", _NEXT[refusals.NO_SUCH_NAME])
        return False
    addresses = dict.fromkeys(str(entry[4][0]) for entry in entries)
    findings.ok("dns", f"{destination.host} is {', '.join(list(addresses)[:8])}")
    return True


def _exact(pattern: AllowPattern) -> RoutingHeader | None:
    """The one service that a pattern without `*` names."""
    if pattern.port is None or "*" in pattern.namespace + pattern.service:
        return None
    return RoutingHeader(pattern.service, pattern.namespace, pattern.port)


def _patterns(patterns: tuple[AllowPattern, ...]) -> list[Finding]:
    found: list[Finding] = []
    for pattern in patterns:
        if _exact(pattern) is None:
            findings = Findings(f"services {pattern.namespace}/{pattern.service}:{pattern.port or '*'}")
            findings.skip("a pattern names no service that could be tried", "tcp")
            found += findings.found
    return found
