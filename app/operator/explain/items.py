"""A route and its policy, as an explanation shows them."""

import dataclasses
from typing import Any

from ...learned import Learned
from ...node.gateway import Gateway
from ...rules.policy import HeaderChanges, Policy
from ...rules.routes import Route
from ..api.routes import RouteItem, item_of
from ..route_reasons import reason_of


def route_item(gateway: Gateway, route: Route | Learned) -> RouteItem:
    """The item of a route that is served, or of one that an agent registered."""
    source = route if isinstance(route, Learned) else _registered(gateway, route) or route
    connected = {link.cluster for link in gateway.registry.links() if link.available}
    return item_of(source, reason_of(gateway, source), connected)


def _registered(gateway: Gateway, route: Route) -> Learned | None:
    """What an agent registered, where this route comes of it. None: it is the file's."""
    if gateway.settings.routes.of_host(route.host) is not None:
        return None
    path = route.path.decode()
    return next((one for one in gateway.learned.registered(route.host) if one.claim.path == path), None)


def policy_item(policy: Policy) -> dict[str, Any]:
    """The policy by its keys, and what it rewrites. Of header fields that are set only the names: the values may be
    secrets."""
    own = {
        field.name: _names_of(value) if isinstance(value, HeaderChanges) else value
        for field in dataclasses.fields(policy)
        for value in (getattr(policy, field.name),)
        if field.name != "rewrite"
    }
    return own if policy.rewrite is None else own | policy.rewrite.keys


def _names_of(changes: HeaderChanges) -> dict[str, list[str]]:
    return {
        "set": [name.decode("latin-1") for name, _ in changes.set],
        "remove": sorted(name.decode("latin-1") for name in changes.remove),
    }
