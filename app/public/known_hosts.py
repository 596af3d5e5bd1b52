"""The routes of a Host field, found by the bytes that were sent: nearly all requests name one of a few hosts."""

from typing import Final

from ..node.gateway import Gateway
from ..rules.hosts import is_host, normalise_host
from ..rules.routes import Route

_KEPT: Final = 1_024


class KnownHosts:
    """See the module. What a reload changes is seen with the next request."""

    __slots__ = ("_gateway", "_lone", "_lone_under", "_names")

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._names: dict[bytes, str] = {}
        """Valid Host fields of routed hosts, as sent -> normalised; at most `_KEPT`."""
        self._lone: dict[bytes, Route] = {}
        """Those of which the file in force routes all paths alike -> how; some of `_names`."""
        self._lone_under = gateway.settings
        """What `_lone` holds for."""

    def __contains__(self, sent: bytes) -> bool:
        """Whether it is valid, and had routes when it was last asked for."""
        return sent in self._names

    def lone(self, sent: bytes) -> Route | None:
        """The one route of all paths of this host. None: there may be several, or none; ask `routes`."""
        settings = self._gateway.settings
        if self._lone_under is not settings:
            self._lone.clear()
            self._lone_under = settings
        return self._lone.get(sent)

    def routes(self, sent: bytes) -> list[Route] | None:
        """The routes of this Host field, longest prefix first. None: it is not routed.

        It is remembered only where it is valid; one with a fault may have routes too.
        """
        known = self._names.get(sent)
        host = normalise_host(sent.decode("latin-1")) if known is None else known
        routes = self._gateway.routes_of(host)
        if routes is None:
            self._names.pop(sent, None)  # routed until the last reload
            self._lone.pop(sent, None)
            return None
        if known is None:
            if not is_host(sent):
                return routes
            if len(self._names) >= _KEPT:
                self._names.clear()
                self._lone.clear()
            self._names[sent] = host
        settings = self._gateway.settings
        if (
            len(routes) == 1 and routes[0].path == b"/"
            and settings is self._lone_under and settings.routes.of_host(host) is routes
        ):  # fmt: skip
            self._lone[sent] = routes[0]
        return routes

    def __repr__(self) -> str:
        return f"<KnownHosts {len(self._names)}>"
