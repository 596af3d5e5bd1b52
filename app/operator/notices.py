"""Logs once, at the start, what in the settings is probably not meant: `Settings.warnings`.

`tunnel-gateway check` says the same. A reload says what is new, see `reload.py`.
"""

import logging

from ..node.gateway import Gateway

logger = logging.getLogger("gateway.settings")


class Notices:
    """A companion of the gateway."""

    __slots__ = ("_gateway", "_said")

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._said = False

    def start(self) -> None:
        """Say it, if it was not said yet."""
        if not self._said:
            self._said = True
            for text in self._gateway.settings.warnings():
                logger.warning("%s", text)

    def stop(self) -> None:
        """Nothing to stop."""

    def __repr__(self) -> str:
        return "<Notices>"
