"""What an agent publishes at a gateway, for tests of what becomes of it."""

from typing import Any

from app.node.gateway import Gateway
from app.published import Holder
from tunnel.wire.publishing import Publish, WantedRoute


def publish(gateway: Gateway, holder: Holder, *addresses: str, **fields: Any) -> list[str]:
    """The code for each of these hosts, with a path where it is not /. An empty one: it is in force."""
    routes = [
        WantedRoute(**{"key": address, "host": host, "path": slash + path or "/", "port": 5173, **fields})
        for address in addresses
        for host, slash, path in (address.partition("/"),)
    ]
    grant = gateway.settings.grants[holder.token_hash]
    message = Publish(routes=routes, name_seed="seed")
    return [one.code for one in gateway.published.publish(holder, grant, message, base_url="https://gw.test").routes]
