"""Which service a public host and path belong to.

Hosts are compared without port, case and trailing dot. `*.example.com` matches one or more labels. An exact host
beats a wildcard, and a longer wildcard beats a shorter one. Within a host the longest path prefix wins; a prefix ends
at a segment border. The host only selects a route. It never authorises anything.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from tunnel.port import Target

from .hosts import HOST_CHARACTERS
from .policy import DEFAULT_POLICY, Policy


@dataclass(frozen=True, slots=True)
class Route:
    """(host, path prefix) -> target, and the policy for it."""

    host: str
    """Exact, or `*.` and a domain; lower case, without trailing dot."""
    path: bytes
    """A raw prefix that begins with a slash."""
    target: Target
    policy: Policy = field(default=DEFAULT_POLICY, hash=False)
    """The file's defaults, overridden by the route's own keys."""
    published_by: object | None = field(default=None, compare=False, repr=False)
    """The `Publication` (app/published) that made this route. None: it is of the file, or learned."""

    @property
    def name(self) -> str:
        """Host and prefix: they identify the route across a reload, whatever else changed."""
        return self.host + self.path.decode("ascii", "backslashreplace")


_PARAMETERS = re.compile(rb";[^/]*")


class UnsafePathError(ValueError):
    """Decoding the path or resolving its dot segments would lead to another route."""


class HostIndex:
    """Routes by host, the longest prefix first. Changes one host at a time.

    Matching costs one step for each label of the host, and copies it only at the depths at which there are wildcards.
    """

    __slots__ = ("_depths", "_exact", "_wildcards")

    def __init__(self) -> None:
        self._exact: dict[str, list[Route]] = {}
        self._wildcards: dict[str, list[Route]] = {}  # by the domain with its leading dot
        self._depths: Counter[int] = Counter()  # labels of a domain -> how many wildcards have as many

    def put(self, host: str, routes: Iterable[Route]) -> None:
        """Replace all routes of this host or wildcard. An empty set removes it."""
        is_wildcard = host.startswith("*.")
        table, key = (self._wildcards, host[1:]) if is_wildcard else (self._exact, host)
        known = key in table
        if entries := sorted(routes, key=lambda route: len(route.path), reverse=True):
            table[key] = entries
        else:
            table.pop(key, None)
        if is_wildcard and known != bool(entries):
            depth = key.count(".")
            self._depths[depth] += -1 if known else 1
            if not self._depths[depth]:
                del self._depths[depth]

    def of_host(self, host: str) -> list[Route] | None:
        """The routes of a normalised host, longest prefix first. None when the host is not routed."""
        if len(host) > HOST_CHARACTERS:
            return None
        entries = self._exact.get(host)
        if entries is None and self._wildcards:
            depths = self._depths
            depth, dot = host.count("."), host.find(".")
            while dot > 0:
                if depth in depths:
                    entries = self._wildcards.get(host[dot:])
                    if entries is not None:
                        break
                depth, dot = depth - 1, host.find(".", dot + 1)
        return entries


class RouteTable:
    """All routes of a configuration. Immutable: a reload makes another table."""

    __slots__ = ("_index", "per_cluster", "redirects", "routes")

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self.per_cluster: Mapping[str, int] = Counter(route.target.cluster for route in self.routes)
        """cluster -> how many routes lead to it."""
        rewrites = (route.policy.rewrite for route in self.routes)
        self.redirects = any(rewrite is not None and rewrite.https_redirect for rewrite in rewrites)
        """Whether a route sends clients to https."""
        self._index = HostIndex()
        by_host: dict[str, list[Route]] = {}
        for route in self.routes:
            by_host.setdefault(route.host, []).append(route)
        for host, entries in by_host.items():
            self._index.put(host, entries)

    @property
    def hosts(self) -> frozenset[str]:
        """All hosts and wildcards that are routed."""
        return frozenset(route.host for route in self.routes)

    def of_host(self, host: str) -> list[Route] | None:
        """The routes of a normalised host, longest prefix first. None when the host is not routed."""
        return self._index.of_host(host)

    def __repr__(self) -> str:
        return f"<RouteTable {len(self.routes)} routes of {len(self.hosts)} hosts>"


def match(entries: list[Route] | None, raw_path: bytes) -> Route | None:
    """The route of a raw path, among one host's routes, longest prefix first. Raises UnsafePathError."""
    if not entries:
        return None
    if raw_path == b"*":  # OPTIONS for the host as a whole (RFC 9110 section 9.3.7)
        raw_path = b"/"
    if len(entries) == 1 and entries[0].path == b"/" == raw_path[:1]:
        return entries[0]  # nearly every host
    route = _longest(entries, raw_path)
    if (
        (len(entries) > 1 or entries[0].path != b"/")
        and (b"%" in raw_path or b"/." in raw_path or b"\\" in raw_path or b"//" in raw_path or b";" in raw_path)
        and any(_longest(entries, reading) is not route for reading in _readings(raw_path))
    ):
        raise UnsafePathError("the path leads to another route once it is decoded")
    return route


def _longest(entries: list[Route], path: bytes) -> Route | None:
    for route in entries:
        prefix = route.path
        if path.startswith(prefix) and (
            prefix.endswith(b"/") or len(path) == len(prefix) or path[len(prefix)] == 0x2F  # "/"
        ):
            return route
    return None


def _readings(path: bytes) -> Iterable[bytes]:
    """The ways a service may read this path: dot segments resolved, decoded once or twice, slashes merged."""
    for _ in range(3):
        slashes = path.replace(b"\\", b"/")
        resolved = _resolve_dots(slashes)
        yield resolved
        yield _resolve_dots(_merge_slashes(resolved))
        yield _resolve_dots(_merge_slashes(slashes))
        if b";" in slashes:  # Java's path parameters
            yield _resolve_dots(_merge_slashes(_PARAMETERS.sub(b"", slashes)))
        decoded = unquote_to_bytes(path)
        if decoded == path:
            return
        path = decoded


def _merge_slashes(path: bytes) -> bytes:
    while b"//" in path:
        path = path.replace(b"//", b"/")
    return path


def _resolve_dots(path: bytes) -> bytes:
    """Remove dot segments (RFC 3986 section 5.2.4)."""
    if b"/." not in path:
        return path
    kept: list[bytes] = []
    segments = path.split(b"/")[1:]
    for index, segment in enumerate(segments):
        last = index == len(segments) - 1
        if segment in (b".", b".."):
            if segment == b".." and kept:
                kept.pop()
            if last:
                kept.append(b"")
        else:
            kept.append(segment)
    return b"/" + b"/".join(kept)
