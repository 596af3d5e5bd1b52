"""Checks what an agent claims against its token: pure functions that return a checked `Claim`, or refuse.

A claim that passes has these properties. Its cluster is one of the token's. Its host matches the token's `hosts`, and
is neither an IP address in any spelling nor a control host. Its prefix can be read in one way only. Its target is
complete. `routes.py` decides whether another cluster holds the host.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from tunnel.port import Target

from ..rules.hosts import covers
from ..rules.paths import PREFIX_CHARACTERS
from ..rules.shown import shown
from ..settings import Grant
from ..settings.errors import WrongKeyError
from ..settings.hosts import host_pattern, is_address
from ..settings.targets import wrong_prefix, wrong_target
from .bodies import Named

_HOSTS_NAMED = 3


class Fault(StrEnum):
    """Why a claim is refused."""

    INVALID = "invalid_route"
    """Its host, prefix or target cannot be routed."""
    NOT_ALLOWED = "route_not_allowed"
    """The token does not cover it."""
    TAKEN = "host_taken"
    """Another cluster holds the host."""
    TOO_MANY = "too_many_routes"
    """A limit of the learned routes is reached."""


class ClaimError(Exception):
    """A claim is refused. The agent may see the text. `cluster`: the one that it names in vain."""

    def __init__(self, fault: Fault, text: str, cluster: str = "") -> None:
        super().__init__(text)
        self.fault = fault
        self.cluster = cluster


@dataclass(frozen=True, slots=True)
class Claim:
    """A route that an agent may have if no other cluster holds its host."""

    host: str
    path: str
    target: Target


def checked_cluster(grant: Grant, claimed: str | None) -> str:
    """The cluster of a call. The agent may leave it out if its token covers only one. Raises ClaimError."""
    if not claimed and len(grant.clusters) == 1:
        return grant.clusters[0]
    if claimed in grant.clusters and claimed:
        return claimed
    text = f"the token does not cover cluster {shown(claimed or '')}"
    raise ClaimError(Fault.NOT_ALLOWED, text, claimed or "")


def learnable_host(grant: Grant, control_hosts: Collection[str], host: str) -> str:
    """The host in lower case and without port. Raises ClaimError."""
    try:
        name = host_pattern(host, ())
    except WrongKeyError:
        # `[::1]` is not a host name either; name the more helpful reason.
        fault = Fault.NOT_ALLOWED if is_address(host) else Fault.INVALID
        raise ClaimError(fault, f"{shown(host)} is not a host name") from None
    if is_address(name) or _reads_as_address(name):
        raise ClaimError(Fault.NOT_ALLOWED, f"{shown(name)} is an IP address, not a host name")
    if name in control_hosts:
        raise ClaimError(Fault.NOT_ALLOWED, f"{shown(name)} is a control host of the gateway")
    if not covers(grant.hosts, name):
        raise ClaimError(Fault.NOT_ALLOWED, f"the token does not cover {shown(name)}; {_hosts_of(grant)}")
    return name


def learnable_path(path: str) -> str:
    """The prefix without a slash at its end. Raises ClaimError."""
    # Kubernetes compares prefixes by their elements, so /shop/ is /shop. Exact and controller-specific paths count as
    # prefixes here, because the ingress controller behind the target checks the path again.
    if len(path) > PREFIX_CHARACTERS:
        raise ClaimError(Fault.INVALID, f"path: longer than {PREFIX_CHARACTERS} characters; use a shorter prefix")
    path = path.rstrip("/") or "/"
    if (wrong := wrong_prefix(path)) is not None:
        raise ClaimError(Fault.INVALID, f"path: {wrong}")
    return path


def checked(grant: Grant, control_hosts: Collection[str], cluster: str, named: Named) -> Claim:
    """The checked claim. Raises ClaimError."""
    host = learnable_host(grant, control_hosts, named.host)
    path = learnable_path(named.path)
    if (fault := wrong_target(named.namespace, named.service)) is not None:
        key, text = fault
        raise ClaimError(Fault.INVALID, f"{'service_name' if key == 'service' else key}: {text}")
    return Claim(host, path, Target(cluster, named.namespace, named.service, _checked_port(named.port)))


def is_sound(claim: Claim) -> bool:
    """Whether the claim could have been learned. What comes from the file is checked like what agents send."""
    target = claim.target
    anything = Grant((target.cluster,), hosts=(claim.host,))
    named = Named(claim.host, claim.path, target.namespace, target.service, target.port)
    try:
        return bool(target.cluster) and checked(anything, (), target.cluster, named) == claim
    except ClaimError:
        return False


def _checked_port(port: int | str | None) -> int:
    number = int(port) if isinstance(port, str) and port.isascii() and port.isdigit() and len(port) < 6 else port
    if not isinstance(number, int) or not 1 <= number <= 65_535:
        raise ClaimError(Fault.INVALID, f"service_port: {shown(port)} is not valid; use a port from 1 to 65535")
    return number


def _reads_as_address(host: str) -> bool:
    """Whether browsers read it as an IPv4 address, because its last label is a number (the WHATWG URL standard)."""
    last = host.rpartition(".")[2]
    return last.isdigit() or (last.startswith("0x") and all(digit in "0123456789abcdef" for digit in last[2:]))


def _hosts_of(grant: Grant) -> str:
    """What a token covers, for whoever has it."""
    if not grant.hosts:
        return "it has no hosts"
    more = len(grant.hosts) - _HOSTS_NAMED
    return f"its hosts are {', '.join(grant.hosts[:_HOSTS_NAMED])}" + (f" and {more} more" if more > 0 else "")
