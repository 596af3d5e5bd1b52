"""A route and its policy, as an explanation shows them."""

import dataclasses
from typing import Any

from ...node.gateway import Gateway
from ...published import Publication
from ...rules.policy import HeaderChanges, Policy
from ...rules.routes import Route
from ..api.routes import RouteItem, item_of
from ..route_reasons import Listed, reason_of


def route_item(gateway: Gateway, route: Listed) -> RouteItem:
    """The item of a route: one that is served, or what an agent registered or published."""
    source = _source(gateway, route) if isinstance(route, Route) else route
    return item_of(gateway, source, reason_of(gateway, source), gateway.connected())


def _source(gateway: Gateway, route: Route) -> Listed:
    """What an agent registered or published, where this route comes of it; else the route, which is the file's."""
    if isinstance(route.published_by, Publication):
        return route.published_by
    if gateway.settings.routes.of_host(route.host) is not None:
        return route
    path = route.path.decode()
    return next((one for one in gateway.learned.registered(route.host) if one.claim.path == path), route)


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
