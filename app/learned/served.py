"""Which learned routes are served, and with which policy: those of hosts that a token covers.

Other settings may cover other hosts. `apply` only marks what is known as stale, so that it costs next to nothing
however many hosts there are. A stale host is looked at again before a request for it is answered; all others a few in
each turn of the loop. So what is served always follows the settings in force.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from tunnel.slices import work_off

from ..rules.policy import DEFAULT_POLICY
from ..rules.routes import HOST_CHARACTERS, HostIndex, Route
from ..settings import Settings
from .claims import covers
from .state_file import Learned

logger = logging.getLogger("gateway.routes")

_HOSTS_PER_TURN = 200
"""About 1 ms."""


@dataclass(slots=True)
class Host:
    """One host, and the cluster that holds it."""

    cluster: str
    paths: dict[str, Learned] = field(default_factory=dict)


class Served:
    """The index of all learned routes that are served. `hosts`: all that are known, served or not; it changes."""

    def __init__(self, hosts: Mapping[str, Host]) -> None:
        self._hosts = hosts
        self._index = HostIndex()
        self._policy = DEFAULT_POLICY
        self._patterns: dict[str, list[str]] = {}
        self._stale: dict[str, None] = {}

    def of_host(self, host: str) -> list[Route] | None:
        """The routes of a normalised host, longest prefix first. None when the host is not served."""
        if self._stale and len(host) <= HOST_CHARACTERS:
            self.refresh([name for name in above(host) if name in self._stale])
        return self._index.of_host(host)

    def covers(self, name: str, cluster: str) -> bool:
        """Whether a token covers this host of this cluster."""
        return covers(self._patterns.get(cluster, ()), name)

    def refresh(self, names: Iterable[str]) -> None:
        """What is known of these hosts has changed."""
        for name in names:
            self._stale.pop(name, None)
            host = self._hosts.get(name)
            if host is None or not self.covers(name, host.cluster):
                self._index.put(name, ())
            else:
                self._index.put(
                    name,
                    [Route(name, path.encode(), one.claim.target, self._policy) for path, one in host.paths.items()],
                )

    def apply(self, settings: Settings) -> None:
        """Use other settings from now on: the policy, and what tokens cover."""
        self._policy = settings.policy
        patterns: dict[str, list[str]] = {}
        for grant in settings.grants.values():
            if not grant.revoked:
                for cluster in grant.clusters:
                    patterns.setdefault(cluster, []).extend(grant.hosts)
        self._patterns = patterns
        self._stale = dict.fromkeys(self._hosts)
        work_off(self._look_again(patterns), _HOSTS_PER_TURN)

    def _look_again(self, patterns: dict[str, list[str]]) -> Iterator[None]:
        """Look at every stale host, until other settings come, and say which are not served any more."""
        uncovered, example = 0, ""
        for name in list(self._stale):
            if self._patterns is not patterns:
                return
            host = self._hosts.get(name)
            if name in self._stale:
                self.refresh((name,))
            if host is not None and not self.covers(name, host.cluster):
                uncovered, example = uncovered + 1, example or name
            yield
        if uncovered:
            logger.warning(
                "%d learned hosts are not served: no token covers them any more; %.200s is one of them",
                uncovered, example,
            )  # fmt: skip


def above(host: str) -> Iterator[str]:
    """The host itself, and every wildcard above it.

    >>> list(above("a.b.test"))
    ['a.b.test', '*.b.test', '*.test']
    """
    yield host
    rest = host.removeprefix("*.")
    while rest := rest.partition(".")[2]:
        yield "*." + rest
