"""All that one command publishes: each target with its place and its rewrites, and the message that asks for it.

Pure. The plan does not change while the command runs; the names that the gateway gave are passed in (`given`).
Invariants: a route has the same key at every start with the same targets, so it gets the same name again. `agent_id` is
the same for the same targets and places on one machine, and differs for others: a command takes over from the same one
that was killed, and two different commands do not disturb each other.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import msgspec

from tunnel.agent.publish.place import Place
from tunnel.agent.publish.targets import Target
from tunnel.agent.service.services import ServiceEntry
from tunnel.wire.publishing import MOST_ROUTES, Publish, WantedRoute

REWRITE, KEEP = "rewrite", "keep"
"""Of `host_header`: the target's own host, or the public one; any other text stands for itself."""
_ID_CHARACTERS = 128
_OPTIONS = {
    "host": "--host",
    "path": "--host",
    "host_header": "--host-header",
    "strip_prefix": "--strip-prefix",
    "add_prefix": "--add-prefix",
    "https_redirect": "--https-redirect",
}
"""By field of a wanted route: the option that it comes from."""


class PlanError(ValueError):
    """These targets and options do not go together; the text begins with the option."""


@dataclass(slots=True, frozen=True)
class Rewrites:
    """What the gateway changes on the way to the targets: the same for all of them."""

    host_header: str = REWRITE
    strip_prefix: bool = False
    add_prefix: str = ""
    https_redirect: bool = False


@dataclass(slots=True, frozen=True)
class Plan:
    """`places[n]` is where `targets[n]` is published, and `routes[n]` is the route that says so."""

    targets: tuple[Target, ...]
    places: tuple[Place, ...]
    rewrites: Rewrites = Rewrites()
    routes: tuple[WantedRoute, ...] = field(init=False)

    def __post_init__(self) -> None:
        numbers: Counter[str] = Counter()
        routes = []
        for target, place in zip(self.targets, self.places, strict=True):
            numbers[target.key] += 1
            again = numbers[target.key]
            key = target.key if again == 1 else f"{target.key}#{again}"
            routes.append(self._rewritten(target, place, target.route(key)))
        object.__setattr__(self, "routes", tuple(routes))

    @classmethod
    def of(cls, targets: Sequence[Target], places: Sequence[Place], rewrites: Rewrites = Rewrites()) -> Self:
        """The n-th place is the n-th target's; targets without one get a given name. Raises PlanError."""
        if len(targets) > MOST_ROUTES:
            raise PlanError(f"TARGET: one command publishes up to {MOST_ROUTES}; run another one for the rest")
        if len(places) > len(targets):
            raise PlanError(
                f"--host: more of them ({len(places)}) than TARGETs ({len(targets)}); "
                "the first --host is for the first TARGET"
            )
        placed = (*places, *[Place()] * (len(targets) - len(places)))
        named = [place for place in placed if not place.asks_for_name]
        for place, number in Counter((place.host, place.path.rstrip("/")) for place in named).items():
            if number > 1:
                raise PlanError(f"--host: {place[0]}{place[1]} is given twice; give one of them a path, such as /api")
        if rewrites.strip_prefix and not any(place.strips for place in placed):
            raise PlanError("--strip-prefix: needs a --host with a path to strip, such as HOST/api")
        return cls(tuple(targets), placed, rewrites)

    @property
    def services(self) -> tuple[ServiceEntry, ...]:
        """What the links of the command may reach."""
        return tuple(dict.fromkeys(target.entry for target in self.targets))

    @property
    def asks_for_names(self) -> bool:
        """Whether the gateway is to give a name."""
        return any(place.asks_for_name for place in self.places)

    def message(self, seed: str, given: Sequence[str] = ()) -> Publish:
        """The `publish` that asks for all of it. `given`: by route, the name that the gateway gave before, or ""."""
        routes = list(self.routes)
        for number, host in enumerate(given):
            if host:
                routes[number] = msgspec.structs.replace(routes[number], host=host)
        return Publish(routes=routes, name_seed=seed, watch=True)

    def agent_id(self, hostname: str, seed: str) -> str:
        """`HOSTNAME-SEED-PORTS`, as far as there is room for it."""
        what = "\0".join([seed, *(f"{route.key} {route.host}{route.path}" for route in self.routes)])
        digest = hashlib.sha256(what.encode()).hexdigest()[:12]
        ports = "-".join(dict.fromkeys(str(target.port) for target in self.targets))
        name = re.sub(r"[^A-Za-z0-9._-]", "-", hostname)[:60].lstrip("._-") or "agent"
        return f"{name}-{digest}-{ports}"[:_ID_CHARACTERS].rstrip("-")

    def _rewritten(self, target: Target, place: Place, route: WantedRoute) -> WantedRoute:
        wanted = self.rewrites
        host_header = {REWRITE: target.authority, KEEP: ""}.get(wanted.host_header, wanted.host_header)
        return msgspec.structs.replace(
            route,
            host=place.host,
            path=place.path,
            host_header=host_header,
            strip_prefix=wanted.strip_prefix and place.strips,
            add_prefix=wanted.add_prefix,
            https_redirect=wanted.https_redirect,
        )


def in_options(refusal: str) -> str:
    """A gateway's words about a wanted route, beginning with the option where they begin with a field."""
    name, colon, why = refusal.partition(": ")
    return f"{_OPTIONS[name]}: {why}" if colon and name in _OPTIONS else refusal
