"""Builds the route table from its entries, and checks hosts, prefixes, targets, TLS and policies together."""

from collections.abc import Collection, Sequence
from pathlib import Path

from tunnel import tls
from tunnel.errors import TlsFailedError
from tunnel.port import Target

from ..rules.policy import Policy
from ..rules.routes import Route, RouteTable
from . import hosts
from .errors import KeyPath, WrongKeyError
from .policies import policy
from .schema import RouteEntry
from .targets import wrong_prefix, wrong_target


def route_table(
    entries: Sequence[RouteEntry], *, defaults: Policy, control_hosts: Collection[str], folder: Path
) -> RouteTable:
    """The table of all entries. `ca_file` is relative to `folder`. Raises WrongKeyError."""
    routes: list[Route] = []
    seen: set[tuple[str, bytes]] = set()
    for index, entry in enumerate(entries):
        where: KeyPath = ("routes", index)
        host = hosts.host_pattern(entry.host, (*where, "host"))
        if host in control_hosts:
            raise WrongKeyError((*where, "host"), f"{host} is a control host and cannot be routed")
        if (wrong := wrong_prefix(entry.path)) is not None:
            raise WrongKeyError((*where, "path"), wrong)
        path = entry.path.encode()
        if (host, path) in seen:
            raise WrongKeyError((*where, "host"), f"{host}{entry.path} is already routed by an earlier entry")
        seen.add((host, path))
        routes.append(Route(host, path, _target(entry, where, folder), policy(defaults, entry, where)))
    return RouteTable(routes)


def _target(entry: RouteEntry, where: KeyPath, folder: Path) -> Target:
    if (fault := wrong_target(entry.namespace, entry.service)) is not None:
        key, text = fault
        raise WrongKeyError((*where, key), text)
    if entry.scheme == "http":
        for key, given in (
            ("ca_file", entry.ca_file is not None),
            ("server_name", entry.server_name is not None),
            ("verify", not entry.verify),
        ):
            if given:
                raise WrongKeyError((*where, key), 'ca_file, server_name and verify need scheme = "https"')
    ca_file = str(folder / entry.ca_file) if entry.ca_file else None
    if entry.scheme == "https":
        try:
            tls.client_context(
                ca_file=ca_file, verify=entry.verify
            )  # reads the files now, so that a missing one is an error
        except TlsFailedError as error:
            raise WrongKeyError((*where, "ca_file"), str(error)) from None
    return Target(
        cluster=entry.cluster,
        namespace=entry.namespace,
        service=entry.service,
        port=entry.port,
        scheme=entry.scheme,
        verify=entry.verify,
        ca_file=ca_file,
        server_name=entry.server_name,
    )
