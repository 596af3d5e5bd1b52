"""One line per exchange, when it is over: who asked for what, where it went, how it ended. Secrets never.

The query string is left out: it may carry tokens.
"""

import logging

from app.asgi import Scope
from app.routes import Route
from tunnel.link import Link

logger = logging.getLogger("gateway.access")


def request(
    scope: Scope,
    route: Route,
    link: Link | None,
    status: int,
    bytes_in: int,
    bytes_out: int,
    seconds: float,
    outcome: str,
) -> None:
    """An HTTP request is over."""
    if logger.isEnabledFor(logging.INFO):
        logger.info(
            "%s %s%s %s in %.0f ms, %d bytes up, %d down, to %s by %s%s",
            scope["method"],
            _host(scope),
            _path(scope),
            status or "-",
            seconds * 1000,
            bytes_in,
            bytes_out,
            route.target,
            _agent(link),
            f" ({outcome})" if outcome else "",
        )


def websocket_opened(scope: Scope, route: Route, link: Link | None, seconds: float) -> None:
    """A WebSocket is open on both sides."""
    if logger.isEnabledFor(logging.INFO):
        logger.info(
            "WS %s%s open after %.0f ms, to %s by %s",
            _host(scope), _path(scope), seconds * 1000, route.target, _agent(link),
        )  # fmt: skip


def websocket_closed(
    scope: Scope,
    route: Route,
    link: Link | None,
    outcome: str,
    messages: tuple[int, int],
    sizes: tuple[int, int],
    seconds: float,
) -> None:
    """A WebSocket, or the attempt at one, is over; `messages` and `sizes` are (from the client, to the client)."""
    if logger.isEnabledFor(logging.INFO):
        logger.info(
            "WS %s%s %s after %.1f s, %d messages (%d bytes) up, %d (%d) down, to %s by %s",
            _host(scope), _path(scope), outcome, seconds, messages[0], sizes[0], messages[1], sizes[1],
            route.target, _agent(link),
        )  # fmt: skip


def _host(scope: Scope) -> str:
    return _printable(next((value for name, value in scope["headers"] if name == b"host"), b"-"))


def _path(scope: Scope) -> str:
    return _printable(scope.get("raw_path") or scope["path"].encode("utf-8", "replace"))


def _printable(value: bytes) -> str:
    """As text of one line and bounded length: what a client sends must not forge log lines."""
    text = value[:512].decode("latin-1")
    return text if text.isprintable() else repr(text)[1:-1]


def _agent(link: Link | None) -> str:
    return f"{link.agent_id or link.name}" if link is not None else "no agent"
