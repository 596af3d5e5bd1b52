"""The access log: one line per exchange, at its end; a WebSocket has one more when it opens.

A line is made of the exchange's record (`record.py`). It goes through `logging`, where an application that mounts the
gateway has its handlers. In a process of our own, `log.py` sets a `shortcut` past it: the same lines at a fraction of
the cost. Query strings, and headers except Host, are never shown.
"""

import logging
from collections.abc import ItemsView, Iterator, Mapping
from typing import Any, Literal, Protocol

from .record import Record, path_of, printable, seconds_of, since, via, where
from .record import level_of as _level_of

__all__ = [
    "Direction",
    "Record",
    "emit",
    "emit_message",
    "emit_opened",
    "ending",
    "logger",
    "logs_messages",
    "opening",
    "shorten",
]

logger = logging.getLogger("gateway.access")
messages = logging.getLogger("gateway.messages")

Direction = Literal["client_to_service", "service_to_client"]


class Shortcut(Protocol):
    """Writes lines past `logging`. False: somebody else listens, so use `logging`."""

    def ended(self, record: Record) -> bool:
        """Write the line of a finished exchange."""

    def opened(self, record: Record) -> bool:
        """Write the line of a WebSocket that is open on both sides."""


_shortcut: Shortcut | None = None


def shorten(shortcut: Shortcut | None) -> None:
    """Use this shortcut from now on, for the whole process. None: none."""
    global _shortcut  # noqa: PLW0603  (like `logging`'s own handlers, there is one for the process)
    _shortcut = shortcut


class _Ended(Mapping[str, Any]):
    """The fields of a finished exchange. Built on demand, because text lines do not need them."""

    __slots__ = ("_made", "_record")

    def __init__(self, record: Record) -> None:
        self._record = record
        self._made: dict[str, Any] | None = None

    def _fields(self) -> dict[str, Any]:
        if self._made is None:
            self._made = {"event": "ended", **self._record.fields()}
        return self._made

    def __getitem__(self, name: str) -> object:
        return self._fields()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields())

    def __len__(self) -> int:
        return len(self._fields())

    def items(self) -> ItemsView[str, Any]:
        """All fields at once, for the formatter."""
        return self._fields().items()

    def __repr__(self) -> str:
        return repr(self._fields())


def emit(record: Record) -> None:
    """Write the line of a finished exchange. Its record does not change any more."""
    if _shortcut is not None and _shortcut.ended(record):
        return
    level = _level_of(record)
    if logger.isEnabledFor(level):
        # Not `logger.log`, which walks up the stack to find its caller; our lines do not show the caller.
        line = logger.makeRecord(
            logger.name, level, __file__, 0, ending(record), (), None, extra={"fields": _Ended(record)}
        )
        logger.handle(line)


def emit_opened(record: Record) -> None:
    """Write the line of a WebSocket that is open on both sides."""
    if (_shortcut is None or not _shortcut.opened(record)) and logger.isEnabledFor(logging.INFO):
        logger.info("%s", opening(record), extra={"fields": {"event": "opened", **record.fields()}})


def logs_messages() -> bool:
    """Whether to log each WebSocket message. Ask once per WebSocket, or before each `emit_message`."""
    return messages.isEnabledFor(logging.DEBUG)


def emit_message(record: Record, direction: Direction, size_bytes: int) -> None:
    """Write the line of one forwarded WebSocket message, without its content. Only at level debug."""
    if messages.isEnabledFor(logging.DEBUG):
        found = where(record)
        fields = found | {"direction": direction, "bytes": size_bytes}
        text = "WebSocket message forwarded %s, %d bytes, of %s%s, id %s"
        messages.debug(
            text, direction, size_bytes, found["host"], found["path"], record.request_id, extra={"fields": fields}
        )


def opening(record: Record) -> str:
    """What the line of a WebSocket that opened says."""
    seconds = since(record.began, record.head_at) or 0.0
    return f"WS {_asked(record)} open after {seconds * 1000:.0f} ms, {_route(record)}"


def ending(record: Record) -> str:
    """What the line of a finished exchange says."""
    return _request_line(record) if record.kind == "http" else _websocket_line(record)


def _asked(record: Record) -> str:
    return f"{printable(record.host) or '-'}{path_of(record.path)}"


def _route(record: Record) -> str:
    agent = printable(record.agent) or record.link or "no agent"
    trace = f", trace {record.trace_id}" if record.trace_id else ""
    return f"to {record.target or '-'} by {agent}{via(record.link)}, id {record.request_id}{trace}"


def _failure(record: Record) -> str:
    """What went wrong, in brackets. Empty when nothing did."""
    said = [] if record.outcome == "ok" else [record.outcome]
    if record.limit:
        said.append(f"limit {record.limit}")
    if record.detail:
        said.append(printable(record.detail))
    return f" ({': '.join(said)})" if said else ""


def _stalls(record: Record) -> str:
    """The waits that a person would notice."""
    waits = (("client", record.stalled_by_client_seconds), ("service", record.stalled_by_service_seconds))
    return "".join(f", {seconds:.1f} s stalled by the {side}" for side, seconds in waits if seconds >= 0.1)


def _request_line(record: Record) -> str:
    return (
        f"{printable(record.method)} {_asked(record)} {record.status or '-'} in {seconds_of(record) * 1000:.0f} ms, "
        f"{record.bytes_up} bytes up, {record.bytes_down} down{_stalls(record)}, {_route(record)}{_failure(record)}"
    )


def _websocket_line(record: Record) -> str:
    if record.status == 101:
        code = record.close_code if record.close_code is not None else "no code"
        end = f"closed by the {record.closed_by or 'gateway'} with {code}"
    elif record.status:
        end = f"refused by the {record.closed_by or 'gateway'} with {record.status}"
    else:
        end = "ended before its handshake"
    return (
        f"WS {_asked(record)} {end} after {seconds_of(record):.1f} s, "
        f"{record.messages_up} messages ({record.bytes_up} bytes) up, {record.messages_down} ({record.bytes_down}) down"
        f"{_stalls(record)}, {_route(record)}{_failure(record)}"
    )
