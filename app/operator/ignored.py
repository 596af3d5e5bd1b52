"""Says which settings are ignored, where another server than `python -m app` runs the gateway."""

import logging
from typing import Final

from ..node.gateway import Gateway
from ..settings import Settings

logger = logging.getLogger("gateway")

OURS: Final = (
    "admin_bind", "client_ping_interval", "client_ping_timeout", "host", "log_format", "log_level", "max_connections",
    "port", "proxy_protocol", "tls_certificate",
)  # fmt: skip
"""What only our server does. `tls_key` comes with `tls_certificate`."""


def keys_of_our_server(settings: Settings) -> list[str]:
    """Those of `OURS` that are not at their defaults."""
    defaults = Settings()
    return [key for key in OURS if getattr(settings, key) != getattr(defaults, key)]


class Ignored:
    """A companion of the gateway: it warns once, at the start."""

    __slots__ = ("_gateway",)

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def start(self) -> None:
        """Warn, if there is something to say."""
        keys = keys_of_our_server(self._gateway.settings)
        if keys and not self._gateway.listeners:  # our server has put its own there
            logger.warning("ignored under this server: %s; only python -m app uses these", ", ".join(keys))

    def stop(self) -> None:
        """Nothing to stop."""

    def __repr__(self) -> str:
        return "<Ignored>"
