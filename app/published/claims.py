"""Checks what an agent wants to publish: pure functions that return what is valid, or refuse.

Hosts and paths are checked like those of learned routes (`app/learned/claims.py`). `routes.py` decides whether somebody
else has the host.
"""

import ipaddress
from collections.abc import Collection

from tunnel.port import Target
from tunnel.wire.publishing import Code, WantedRoute

from ..learned import ClaimError, Fault, claims
from ..rules.hosts import normalise_host
from ..rules.rewrite import Rewrite
from ..rules.shown import shown
from ..settings import Grant
from ..settings.errors import WrongKeyError
from ..settings.hosts import is_address, name_or_address
from ..settings.targets import wrong_target

_CODES = {Fault.INVALID: Code.INVALID, Fault.NOT_ALLOWED: Code.NOT_ALLOWED}


class NotPublishedError(Exception):
    """A route is refused. The agent may see the text. `cause`: what only the operator may know, or the same."""

    def __init__(self, code: Code, text: str, cause: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.cause = cause or text


def publishable_host(grant: Grant, control_hosts: Collection[str], host: str) -> str:
    """The host as routes have it. Raises NotPublishedError."""
    try:
        return claims.learnable_host(grant, control_hosts, host)
    except ClaimError as error:
        raise NotPublishedError(_CODES[error.fault], str(error)) from None


def publishable_path(path: str) -> str:
    """The prefix without a slash at its end. Raises NotPublishedError."""
    try:
        return claims.learnable_path(path)
    except ClaimError as error:
        raise _invalid(str(error)) from None


def target_of(wanted: WantedRoute, host: str, *, cluster: str, publisher: str) -> Target:
    """Where its exchanges go, checked. `host`: the public one. Raises NotPublishedError."""
    if (fault := wrong_target(wanted.namespace, wanted.service)) is not None:
        raise _invalid(": ".join(fault))
    if not 1 <= wanted.port <= 65_535:
        raise _invalid(f"port: {shown(wanted.port)} is not valid; use a port from 1 to 65535")
    if wanted.scheme == "http":
        return Target(cluster, wanted.namespace, wanted.service, wanted.port, publisher=publisher)
    if wanted.scheme != "https":
        raise _invalid(f"scheme: {shown(wanted.scheme)} is not valid; use http or https")
    return Target(
        cluster,
        wanted.namespace,
        wanted.service,
        wanted.port,
        scheme="https",
        verify=wanted.verify,
        server_name=_server_name(wanted.server_name or normalise_host(wanted.host_header) or host),
        publisher=publisher,
    )


def rewrite_of(wanted: WantedRoute, path: str) -> Rewrite | None:
    """What changes on the way to its service; None: nothing. Raises NotPublishedError."""
    try:
        return Rewrite.of(
            path,
            host_header=wanted.host_header,
            strip_prefix=wanted.strip_prefix,
            add_prefix=wanted.add_prefix,
            https_redirect=wanted.https_redirect,
            scheme=wanted.scheme,
        )
    except ValueError as error:
        raise _invalid(str(error)) from None


def _server_name(name: str) -> str:
    bare = name.strip("[]")
    if is_address(bare):
        return str(ipaddress.ip_address(bare))
    try:
        return name_or_address(name, ("server_name",))
    except WrongKeyError as error:
        raise _invalid(str(error)) from None


def _invalid(text: str) -> NotPublishedError:
    return NotPublishedError(Code.INVALID, text)
