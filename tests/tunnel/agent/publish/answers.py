"""What a gateway answers to wanted routes, as JSON has them."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any


def answers(
    wanted: Sequence[Mapping[str, Any]], taken: Collection[str], name: str = "given", why: str = "is taken"
) -> list[dict[str, str]]:
    """Each is in force, but for the hosts in `taken`. A host that is given is `name` and the key."""
    routes = []
    for route in wanted:
        host = route.get("host") or f"{name}-{route['key']}.example.com"
        refused = host in taken
        routes.append({
            "key": route["key"], "host": host, "path": route.get("path", "/"),
            "url": "" if refused else f"https://{host}/",
            "code": "host_taken" if refused else "", "error": f"{host} {why}" if refused else "",
        })  # fmt: skip
    return routes
