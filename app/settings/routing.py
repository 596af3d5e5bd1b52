"""Builds the route table from its entries, and checks hosts, prefixes, targets, TLS and policies together."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from tunnel import tls
from tunnel.errors import TlsFailedError
from tunnel.port import Target

from ..rules.policy import Policy
from ..rules.rewrite import Rewrite, WrongRewriteError
from ..rules.routes import Route, RouteTable
from ..rules.shown import shown
from . import hosts
from .errors import Faults, KeyPath, WrongKeyError
from .policies import policy
from .schema import RouteEntry
from .targets import wrong_label, wrong_prefix, wrong_target


def route_table(
    entries: Sequence[RouteEntry], faults: Faults, *, defaults: Policy, control_hosts: Collection[str], folder: Path
) -> RouteTable:
    """The table of all entries. `ca_file` is relative to `folder`. What is wrong goes to `faults`."""
    routes: list[Route] = []
    seen: set[tuple[str, str]] = set()
    for index, entry in enumerate(entries):
        where: KeyPath = ("routes", index)
        host = faults.check(hosts.route_host, entry.host, (*where, "host"))
        path = faults.check(_prefix, entry.path, (*where, "path"))
        own = policy(defaults, entry, faults, where)
        if path is not None:
            own = _with_rewrite(own, entry, faults, where)
        _check_target(entry, where, folder, faults)
        if host in control_hosts:
            text = f"{host} is a control host and cannot be routed"
            faults.add(WrongKeyError((*where, "host"), text))
        elif host is not None and path is not None:
            if (host, path) in seen:
                text = f"{host}{path} is already routed by an earlier entry"
                faults.add(WrongKeyError((*where, "host"), text))
            seen.add((host, path))
            routes.append(Route(host, path.encode(), _target(entry, folder), own))
    return RouteTable(routes)


def _with_rewrite(own: Policy, entry: RouteEntry, faults: Faults, where: KeyPath) -> Policy:
    """The policy, with what the entry rewrites."""
    try:
        rewrite = Rewrite.of(
            entry.path, host_header=entry.host_header or "", strip_prefix=entry.strip_prefix,
            add_prefix=entry.add_prefix or "", https_redirect=entry.https_redirect, scheme=entry.scheme,
        )  # fmt: skip
    except WrongRewriteError as error:
        for key, why in error.faults.items():
            if (*where, key) not in faults:
                faults.add(WrongKeyError((*where, key), why))
        return own
    return own if rewrite is None else replace(own, rewrite=rewrite)


def _prefix(path: str, where: KeyPath) -> str:
    """Check a path prefix. Agents may send a star, which then stands for itself; who writes one means a pattern."""
    if path.startswith("/") and "*" in path:
        before = path[: path.index("*")].rstrip("/") or "/"
        known = wrong_prefix(before) is None
        hint = f"write {before}" if known else "write a prefix like / or /api"
        raise WrongKeyError(where, f"{shown(path)} is not valid; a prefix needs no star; {hint}")
    if (wrong := wrong_prefix(path)) is not None:
        raise WrongKeyError(where, wrong)
    return path


def _label(label: str, where: KeyPath) -> str:
    if (wrong := wrong_label(label)) is not None:
        raise WrongKeyError(where, wrong)
    return label


def _check_target(entry: RouteEntry, where: KeyPath, folder: Path, faults: Faults) -> None:
    namespace = faults.check(_label, entry.namespace, (*where, "namespace"))
    service = faults.check(_label, entry.service, (*where, "service"))
    if namespace is not None and service is not None and (wrong := wrong_target(namespace, service)) is not None:
        faults.add(WrongKeyError((*where, wrong[0]), wrong[1]))
    if (*where, "scheme") in faults:
        return
    if entry.scheme == "http":
        for key, given in (
            ("ca_file", entry.ca_file is not None),
            ("server_name", entry.server_name is not None),
            ("verify", not entry.verify),
        ):
            if given:
                faults.add(WrongKeyError((*where, key), 'ca_file, server_name and verify need scheme = "https"'))
    elif (*where, "verify") not in faults:
        faults.check(partial(_check_tls, folder, verify=entry.verify), entry.ca_file, (*where, "ca_file"))


def _check_tls(folder: Path, ca_file: str | None, path: KeyPath, *, verify: bool) -> None:
    """Read the files now, so that a missing one is an error. Raises WrongKeyError."""
    try:
        tls.client_context(ca_file=str(folder / ca_file) if ca_file else None, verify=verify)
    except TlsFailedError as error:
        raise WrongKeyError(path, str(error)) from None


def _target(entry: RouteEntry, folder: Path) -> Target:
    return Target(
        cluster=entry.cluster,
        namespace=entry.namespace,
        service=entry.service,
        port=entry.port,
        scheme=entry.scheme,
        verify=entry.verify,
        ca_file=str(folder / entry.ca_file) if entry.ca_file else None,
        server_name=entry.server_name,
    )
