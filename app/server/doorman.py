"""Whose PROXY headers are believed, and what the operator hears of those that are not.

A stranger on the port must not fill the log, nor must a balancer that sends no header: a wrong header is worth a line a
minute, a stranger a line at level debug. All are counted in `gateway_proxy_headers_refused_total`.
"""

import logging
import time
from collections.abc import Callable
from math import inf
from typing import Final

from ..node.gateway import Gateway
from ..observed.metrics import HeaderFault
from ..public.hops import is_within

logger = logging.getLogger("gateway")

LINE_SECONDS: Final = 60.0
"""Between two lines of the log."""


class Doorman:
    """See the module. It goes by the settings that are in force."""

    def __init__(self, gateway: Gateway, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._gateway = gateway
        self._clock = clock
        self._told_at = -inf
        self._untold = 0

    def is_trusted(self, peer: str) -> bool:
        """Whether this address may say who its clients are."""
        return is_within(peer, self._gateway.settings.trusted_proxies)

    def refused(self, fault: HeaderFault, peer: str, text: str) -> None:
        """A connection from there was closed."""
        self._gateway.metrics.headers_refused[fault] += 1
        if fault is HeaderFault.UNTRUSTED:
            logger.debug("a connection from %s was closed: %s", peer, text)
            return
        self._untold += 1
        now = self._clock()
        if now < self._told_at + LINE_SECONDS:
            return
        logger.warning(
            "connections closed because of their PROXY header: %d, the last from %s: %s. Check that the balancer sends "
            "the header, or set proxy_protocol = false",
            self._untold, peer, text,
        )  # fmt: skip
        self._told_at = now
        self._untold = 0

    def __repr__(self) -> str:
        return f"<Doorman {self._untold} refusals untold>"
