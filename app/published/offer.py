"""One `publish` message while it is handled: which of its routes are valid, free, and within the bounds.

Changes nothing itself: `routes.py` puts in force what the offer has taken.
"""

from collections.abc import Callable

from tunnel.wire.publishing import Code, Publish, WantedRoute

from ..rules.hosts import HOST_CHARACTERS
from ..settings import Grant, Settings
from .claims import NotPublishedError, publishable_host, publishable_path, rewrite_of, target_of
from .names import LABEL_CHARACTERS, first_wildcard, names_below
from .publication import HeldRoutes, Holder, Hosts, Publication

Taken = Callable[[str], str | None]
"""Who else has a host, in words for the operator; None: nobody."""
Freed = Callable[[str], tuple[int, int]]
"""How many routes of a host that is free another agent leaves: of this token, and of all."""


class Offer:
    """See the module."""

    def __init__(
        self, holding: HeldRoutes, holder: Holder, grant: Grant, message: Publish, settings: Settings, *, taken: Taken,
        freed: Freed, room: int, room_in_all: int, now: float,
    ) -> None:  # fmt: skip
        """`room`, `room_in_all`: how many routes the bounds of the token and of the gateway leave to it.

        `now`: since when new routes are published.
        """
        self._holding = holding
        self._holder = holder
        self._grant = grant
        self._seed = message.name_seed
        self._settings = settings
        self._taken = taken
        self._freed = freed
        self._room = room
        self._room_in_all = room_in_all
        self._now = now
        self._keys: set[str] = set()
        self.hosts: Hosts = {}
        """What was taken: by host, then by path."""
        self.count = 0

    def take(self, wanted: WantedRoute) -> Publication:
        """The route, among `hosts` now. Raises NotPublishedError."""
        if wanted.key in self._keys:
            raise NotPublishedError(Code.INVALID, f"key {wanted.key!a} is used twice; give each route its own")
        self._keys.add(wanted.key)
        path = publishable_path(wanted.path)
        host = self._host(wanted)
        if path in self.hosts.get(host, ()):
            raise NotPublishedError(Code.INVALID, f"{host}{path} is in this message twice; name each address once")
        holder = self._holder
        target = target_of(wanted, host, cluster=holder.cluster, publisher=holder.agent_id)
        rewrite = rewrite_of(wanted, path)
        of_token, of_all = self._freed(host) if host not in self.hosts else (0, 0)
        self._check_room(self._room + of_token, self._room_in_all + of_all)
        self._room += of_token
        self._room_in_all += of_all
        one = Publication(self._holding, host, path, target, wanted.key, rewrite, self._now)
        known = self._holding.hosts.get(host, {}).get(path)
        if known is not None and known.is_same(one):
            one = known
        self.hosts.setdefault(host, {})[path] = one
        self.count += 1
        return one

    def _host(self, wanted: WantedRoute) -> str:
        if not wanted.host or wanted.host.startswith("*"):
            return self._given_name(wanted)
        host = publishable_host(self._grant, self._settings.control_hosts, wanted.host)
        if (cause := self._taken(host)) is not None:
            raise NotPublishedError(Code.TAKEN, f"{host} is taken; name another host", f"{host} is taken: {cause}")
        return host

    def _given_name(self, wanted: WantedRoute) -> str:
        pattern = wanted.host or first_wildcard(self._grant.hosts)
        if pattern is None:
            text = "the token's hosts have no wildcard to give a name below; name a host that they cover"
            raise NotPublishedError(Code.NO_NAME, text)
        control_hosts = self._settings.control_hosts
        wildcard = publishable_host(self._grant, control_hosts, pattern)
        if LABEL_CHARACTERS + len(wildcard[1:]) > HOST_CHARACTERS:
            text = f"a name below {wildcard} would have more than {HOST_CHARACTERS} characters; name a host"
            raise NotPublishedError(Code.NO_NAME, text)
        cause: str | None = None
        for name in names_below(wildcard[1:], cluster=self._holder.cluster, seed=self._seed, key=wanted.key):
            why = "it is a control host" if name in control_hosts else self._taken(name)
            if why is None:
                return name
            cause = cause or f"{name}: {why}"
        text = f"no name below {wildcard} is free; name a host"
        raise NotPublishedError(Code.NO_NAME, text, f"no name below {wildcard} is free: {cause}")

    def _check_room(self, room: int, room_in_all: int) -> None:
        if self.count >= room:
            text = f"a token may have {self._grant.max_published} published routes at once, over all its agents"
            raise NotPublishedError(Code.TOO_MANY, text)
        if self.count >= room_in_all:
            raise NotPublishedError(Code.TOO_MANY, "the gateway has as many published routes as it may have")
