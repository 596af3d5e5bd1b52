"""The access log: one record per exchange, of who asked for what, where it went and how it ended.

The public side fills a `Record` while the exchange runs. It is written once, at the end; a WebSocket's also when the
WebSocket opens. A record never holds secrets: no header except Host, and no query string, which may carry tokens. What
clients and agents send is cut to a bounded length and made printable here, so it cannot forge a log line. Times are
seconds of one monotonic clock.
"""

import logging
from collections.abc import ItemsView, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tunnel.port import Target

logger = logging.getLogger("gateway.access")
messages = logging.getLogger("gateway.messages")

_TEXT_LIMIT = 512

Direction = Literal["client_to_service", "service_to_client"]


@dataclass(slots=True)
class Record:
    """One exchange. Bytes are those of bodies or messages, without heads and frames."""

    kind: Literal["http", "websocket"]
    request_id: str
    method: str
    host: bytes
    """As the client sent it, with its port."""
    path: bytes
    """Raw. The query is never shown."""
    target: Target | None
    began: float
    """When the request's head had arrived."""
    client: str = ""
    """The client's address."""
    link: str = ""
    agent: str = ""
    dialect: str = ""
    status: int = 0
    """The status that the client got. 0: no answer. 101: a WebSocket was open."""
    opened: bool = False
    """It counts as an open WebSocket. Set by `Metrics.websocket_opened`."""
    close_code: int | None = None
    closed_by: Literal["", "client", "service", "gateway"] = ""
    """Who closed, refused or broke a WebSocket; who aborted a request."""
    outcome: str = "ok"
    """`ok`, `client_left`, `broken_off`, or the code of the gateway's own answer."""
    detail: str = ""
    """The text of the error, for the operator."""
    limit: str = ""
    """The limit that ended it."""
    bytes_up: int = 0
    bytes_down: int = 0
    messages_up: int = 0
    messages_down: int = 0
    link_at: float | None = None
    """When a link was chosen."""
    head_at: float | None = None
    """When the final head of the service's answer, or its 101, had arrived."""
    ended_at: float | None = None
    stalled_by_client_seconds: float = 0.0
    stalled_by_service_seconds: float = 0.0

    def via(self, link: str, agent: str | None, dialect: str, now: float) -> None:
        """A link was chosen. A second attempt replaces the first."""
        self.link, self.agent, self.dialect, self.link_at = link, agent or "", dialect, now

    @property
    def seconds(self) -> float:
        """From the request's head to the end. 0 while it runs."""
        return self.ended_at - self.began if self.ended_at is not None else 0.0

    @property
    def link_seconds(self) -> float | None:
        """How long it waited for a link. None when it got none."""
        return self.link_at - self.began if self.link_at is not None else None

    @property
    def head_seconds(self) -> float | None:
        """From the request's head to the head of the service's answer. None when none came."""
        return self.head_at - self.began if self.head_at is not None else None

    @property
    def level(self) -> int:
        """WARNING for what the operator may have to fix: 5xx, and WebSockets that the gateway closed. Else INFO."""
        gateway_closed = self.kind == "websocket" and self.status == 101 and self.closed_by == "gateway"
        return logging.WARNING if self.status >= 500 or gateway_closed else logging.INFO

    def _where(self) -> dict[str, Any]:
        target = self.target
        return {
            "request_id": self.request_id,
            "host": printable(self.host),
            "path": _path(self.path),
            "service": target.service if target else "",
            "namespace": target.namespace if target else "",
            "cluster_id": target.cluster if target else "",
        }

    def fields(self) -> dict[str, Any]:
        """Everything in the record, as the keys of a JSON line."""
        return self._where() | {
            "kind": self.kind,
            "method": printable(self.method),
            "port": self.target.port if self.target else None,
            "client": printable(self.client),
            "link": self.link,
            "dialect": self.dialect,
            "agent": printable(self.agent),
            "status": self.status or None,
            "close_code": self.close_code,
            "closed_by": self.closed_by or None,
            "outcome": self.outcome,
            "limit": self.limit or None,
            "detail": printable(self.detail),
            "bytes_up": self.bytes_up,
            "bytes_down": self.bytes_down,
            "messages_up": self.messages_up,
            "messages_down": self.messages_down,
            "seconds": _rounded(self.seconds),
            "link_seconds": _rounded(self.link_seconds),
            "head_seconds": _rounded(self.head_seconds),
            "stalled_by_client_seconds": _rounded(self.stalled_by_client_seconds),
            "stalled_by_service_seconds": _rounded(self.stalled_by_service_seconds),
        }


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

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401  (texts and numbers)
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
    level = record.level
    if logger.isEnabledFor(level):
        text = _request_line(record) if record.kind == "http" else _websocket_line(record)
        # Not `logger.log`, which walks up the stack to find its caller; our lines do not show the caller.
        line = logger.makeRecord(logger.name, level, __file__, 0, text, (), None, extra={"fields": _Ended(record)})
        logger.handle(line)


def emit_opened(record: Record) -> None:
    """Write the line of a WebSocket that is open on both sides."""
    if logger.isEnabledFor(logging.INFO):
        text = f"WS {_asked(record)} open after {(record.head_seconds or 0.0) * 1000:.0f} ms, {_route(record)}"
        logger.info("%s", text, extra={"fields": {"event": "opened", **record.fields()}})


def logs_messages() -> bool:
    """Whether to log each WebSocket message. Ask once per WebSocket, or before each `emit_message`."""
    return messages.isEnabledFor(logging.DEBUG)


def emit_message(record: Record, direction: Direction, size_bytes: int) -> None:
    """Write the line of one forwarded WebSocket message, without its content. Only at level debug."""
    if messages.isEnabledFor(logging.DEBUG):
        where = record._where()  # noqa: SLF001
        fields = where | {"direction": direction, "bytes": size_bytes}
        text = "WebSocket message forwarded %s, %d bytes, of %s%s, id %s"
        messages.debug(
            text, direction, size_bytes, where["host"], where["path"], record.request_id, extra={"fields": fields}
        )


def printable(value: bytes | str) -> str:
    """As text of one line and bounded length, so that what others send cannot forge log lines.

    >>> printable(b"a\\nb")
    'a\\\\nb'
    """
    value = value[:_TEXT_LIMIT]
    text = value if isinstance(value, str) else value.decode("latin-1")
    return text if text.isprintable() else repr(text)[1:-1]


def _path(raw: bytes) -> str:
    return printable(raw.partition(b"?")[0])


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)


def _asked(record: Record) -> str:
    return f"{printable(record.host) or '-'}{_path(record.path)}"


def _route(record: Record) -> str:
    agent = printable(record.agent) or record.link or "no agent"
    return f"to {record.target or '-'} by {agent}, id {record.request_id}"


def _ending(record: Record) -> str:
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
        f"{printable(record.method)} {_asked(record)} {record.status or '-'} in {record.seconds * 1000:.0f} ms, "
        f"{record.bytes_up} bytes up, {record.bytes_down} down{_stalls(record)}, {_route(record)}{_ending(record)}"
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
        f"WS {_asked(record)} {end} after {record.seconds:.1f} s, "
        f"{record.messages_up} messages ({record.bytes_up} bytes) up, {record.messages_down} ({record.bytes_down}) down"
        f"{_stalls(record)}, {_route(record)}{_ending(record)}"
    )
