"""The value of a host in the bucket `routes`: the cluster that holds it, and its paths with their targets and expiry.

Several nodes write the same key, of two releases at times. So what a newer release says about a path in members that
this one does not know stays there, until the path is registered again with another target or removed.
"""

from collections.abc import Iterable
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Raw
from msgspec.structs import asdict

from tunnel.port import Target

from ..learned import Claim, ClaimError, Fault, Learned
from ..learned.bounds import PATHS_PER_HOST
from ..learned.claims import is_sound
from .values import VERSION, decoded

_Text = Annotated[str, Meta(max_length=253)]
_LATEST: Final = 253_402_300_799.0
"""The last second of the year 9999. No time after it can be shown, and no gateway writes one."""


class _Path(msgspec.Struct, frozen=True):
    namespace: _Text
    service: _Text
    port: int
    expires: Annotated[float, Meta(le=_LATEST)]
    """Unix seconds, by the clock of the node that it was registered on."""


class _Value(msgspec.Struct):
    cluster: str
    paths: Annotated[dict[str, _Path], Meta(max_length=PATHS_PER_HOST)] = {}


class _Unread(msgspec.Struct):
    paths: dict[str, dict[str, Raw]] = {}


class HostRoutes:
    """The routes of one host. Nobody changes it: what is changed is another one."""

    __slots__ = ("_paths", "_unread", "cluster", "host")

    def __init__(
        self,
        host: str,
        cluster: str,
        paths: dict[str, _Path] | None = None,
        unread: dict[str, dict[str, Raw]] | None = None,
    ) -> None:
        self.host = host
        self.cluster = cluster
        self._paths = paths or {}
        self._unread = unread or {}

    @classmethod
    def read(cls, host: str, value: bytes) -> "HostRoutes":
        """What a value says. Raises ValueIgnoredError."""
        read = decoded(_Value, value)
        return cls(host, read.cluster, read.paths, decoded(_Unread, value).paths)

    @classmethod
    def of(cls, host: str, routes: Iterable[Learned]) -> "HostRoutes | None":
        """These routes, of one host and cluster; None: there are none."""
        found: HostRoutes | None = None
        for learned in routes:
            found = (found or cls(host, learned.claim.target.cluster)).with_route(learned)
        return found

    def encoded(self) -> bytes:
        """The value to put."""
        paths = {path: {**self._unread.get(path, {}), **asdict(one)} for path, one in self._paths.items()}
        return msgspec.json.encode({"v": VERSION, "cluster": self.cluster, "paths": paths})

    def learned(self, now: float) -> list[Learned]:
        """The routes that are valid, checked as those of the file are, and not expired."""
        found = []
        for path, one in self._paths.items():
            claim = Claim(self.host, path, Target(self.cluster, one.namespace, one.service, one.port))
            if one.expires > now and is_sound(claim):
                found.append(Learned(claim, one.expires))
        return found

    def is_held(self, now: float) -> bool:
        """Whether a path of it has not expired."""
        return any(one.expires > now for one in self._paths.values())

    def with_route(self, learned: Learned) -> "HostRoutes":
        """The same with this route, which is of the same cluster. Raises ClaimError: it has too many paths."""
        target, path = learned.claim.target, learned.claim.path
        one = _Path(target.namespace, target.service, target.port, learned.expires_at)
        before = self._paths.get(path)
        if before is None and len(self._paths) >= PATHS_PER_HOST:
            raise ClaimError(Fault.TOO_MANY, f"a host may have at most {PATHS_PER_HOST} learned paths")
        is_same = before is not None and msgspec.structs.replace(before, expires=one.expires) == one
        unread = {known: more for known, more in self._unread.items() if is_same or known != path}
        return HostRoutes(self.host, self.cluster, {**self._paths, path: one}, unread)

    def without(self, paths: Iterable[str], now: float) -> "HostRoutes | None":
        """The same without these paths, and what has expired. None: nothing is left."""
        gone = set(paths)
        left = {path: one for path, one in self._paths.items() if path not in gone and one.expires > now}
        unread = {path: more for path, more in self._unread.items() if path in left}
        return HostRoutes(self.host, self.cluster, left, unread) if left else None

    def __repr__(self) -> str:
        return f"<HostRoutes {self.host} of {self.cluster}: {len(self._paths)} paths>"
