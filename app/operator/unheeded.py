"""Says which settings are not heeded, where another server than `python -m app` runs the gateway."""

import logging

from ..node.gateway import Gateway
from ..settings import Settings

logger = logging.getLogger("gateway")


def keys_of_our_server(settings: Settings) -> list[str]:
    """The keys that are set and that only `python -m app` heeds."""
    values = {
        "admin_bind": settings.admin_bind,
        "max_connections": settings.max_connections,
        "proxy_protocol": settings.proxy_protocol or None,
        "tls_certificate": settings.tls_certificate,
    }
    return [key for key, value in values.items() if value is not None]


class Unheeded:
    """A companion of the gateway: it warns once, at the start."""

    __slots__ = ("_gateway",)

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def start(self) -> None:
        """Warn, if there is something to say."""
        keys = keys_of_our_server(self._gateway.settings)
        if keys and not self._gateway.listeners:  # our server has put its own there
            logger.warning("not in force under this server: %s; only python -m app heeds these", ", ".join(keys))

    def stop(self) -> None:
        """Nothing to stop."""

    def __repr__(self) -> str:
        return "<Unheeded>"
