"""Which learned routes are served, and with which policy: those of hosts that a token covers."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from ..rules.hosts import HOST_CHARACTERS, above, covers
from ..rules.policy import DEFAULT_POLICY
from ..rules.routes import HostIndex, Route
from ..settings import Settings
from .stale import Stale
from .state_file import Learned


@dataclass(slots=True)
class Host:
    """One host, and the cluster that holds it."""

    cluster: str
    paths: dict[str, Learned] = field(default_factory=dict)


class Served:
    """The index of all learned routes that are served.

    `hosts`: all that are known, served or not; it changes. `on_served`: told of each that is served after a look at it.
    """

    def __init__(self, hosts: Mapping[str, Host], on_served: Callable[[str], object]) -> None:
        self._hosts = hosts
        self._on_served = on_served
        self._index = HostIndex()
        self._policy = DEFAULT_POLICY
        self._patterns: dict[str, list[str]] = {}
        self._stale = Stale("learned", self._look_at)

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
                self._on_served(name)

    def apply(self, settings: Settings) -> None:
        """Use other settings from now on: the policy, and what tokens cover."""
        self._policy = settings.policy
        patterns: dict[str, list[str]] = {}
        for grant in settings.grants.values():
            if not grant.revoked:
                for cluster in grant.clusters:
                    patterns.setdefault(cluster, []).extend(grant.hosts)
        self._patterns = patterns
        self._stale.mark(self._hosts)

    def _look_at(self, name: str) -> bool:
        if name in self._stale:
            self.refresh((name,))
        host = self._hosts.get(name)
        return host is None or self.covers(name, host.cluster)
