"""The door under uvicorn's `Server`: `uvicorn app.main:app --http app.server.http:Protocol`, and `python -m app`.

Of uvicorn it uses the arguments that a server gives to its protocol class, the set of connections, the set of tasks and
the number of requests; of a connection the server calls `shutdown`. tests/app/server/test_uvicorn_contract.py names
each.
"""

import asyncio
from typing import Any
from weakref import WeakKeyDictionary, ref

from uvicorn.config import Config
from uvicorn.server import ServerState

from ..node.gateway import Gateway
from .connection import Connection
from .reception import GatewayReception
from .sockets import keep_alive
from .spliced_channel import SplicedChannel


class ServerReception(GatewayReception):
    """One server's: it counts for the server what the server looks at."""

    def __init__(self, gateway: Gateway, app: Any, server: ServerState, **options: Any) -> None:  # noqa: ANN401  (uvicorn's)
        super().__init__(gateway, app, tasks=server.tasks, **options)
        self._server = ref(server)  # which has this reception as long as it lives
        self.connections = gateway.connections = server.connections  # type: ignore[assignment]

    def parted(self, connection: Connection | SplicedChannel, /) -> None:
        """A connection is gone; idempotent."""
        if connection in self.connections:
            server = self._server()
            if server is not None:
                server.total_requests += connection.requests
        super().parted(connection)


_receptions: "WeakKeyDictionary[ServerState, ServerReception]" = WeakKeyDictionary()
"""One for each server."""


class Protocol(Connection):
    """One client's connection to a uvicorn server that opened its sockets itself."""

    __slots__ = ()

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:  # fmt: skip
        loop = _loop or asyncio.get_event_loop()
        reception = _receptions.get(server_state)
        if reception is None:
            reception = _receptions[server_state] = reception_of(config, server_state, app_state, loop)
        super().__init__(reception, loop)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected."""
        sock = transport.get_extra_info("socket")
        if sock is not None:
            keep_alive(sock)
        super().connection_made(transport)


def reception_of(
    config: Config, server_state: ServerState, app_state: dict[str, Any], loop: asyncio.AbstractEventLoop
) -> ServerReception:
    """Who takes the requests of a server. Raises TypeError if its application is not that of a gateway."""
    app: Any = config.loaded_app
    while not hasattr(app, "state") and hasattr(app, "app"):
        app = app.app  # uvicorn's middleware for proxies' headers, which the gateway reads itself
    gateway = getattr(getattr(app, "state", None), "gateway", None)
    if not isinstance(gateway, Gateway):
        raise TypeError("this protocol class serves the application of a gateway, and nothing else")
    return ServerReception(
        gateway, app, server_state, keep_alive_seconds=config.timeout_keep_alive,
        pings=(config.ws_ping_interval, config.ws_ping_timeout), max_message_bytes=config.ws_max_size,
        root_path=config.root_path, state=app_state, loop=loop,
    )  # fmt: skip
