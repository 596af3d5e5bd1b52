"""The record of one exchange: who asked for what, where it went and how it ended.

The public side fills it while the exchange runs; metrics and the access log read it at the end. An HTTP call is its own
record. A record never holds secrets: no header except Host. What clients and agents send is cut to a bounded length and
made printable by `printable`, so it cannot forge a log line. Times are seconds of one monotonic clock.
"""

import logging
from dataclasses import dataclass
from typing import Any, Literal

from tunnel.port import Target

TEXT_LIMIT = 512
"""Characters of a text that somebody else sent."""

HOP = "node-"
"""Begins what stands for the link of an exchange that went over another node; its id follows."""

Kind = Literal["http", "websocket"]
ClosedBy = Literal["", "client", "service", "gateway"]


@dataclass(slots=True)
class Record:
    """One exchange. Bytes are those of bodies or messages, without heads and frames."""

    kind: Kind
    request_id: str
    """Letters, digits and signs that need no quoting: `request_id.py` lets nothing else in."""
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
    trace_id: str = ""
    """The trace that the request belongs to, of hexadecimal digits. Empty: it names none."""
    link: str = ""
    agent: str = ""
    dialect: str = ""
    status: int = 0
    """The status that the client got. 0: no answer. 101: a WebSocket was open."""
    opened: bool = False
    """It counts as an open WebSocket. Set by `Metrics.websocket_opened`."""
    close_code: int | None = None
    closed_by: ClosedBy = ""
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

    def apart(self) -> "Record":
        """The same, as an object of its own, for an exchange that goes on for long."""
        apart = Record(*[getattr(self, name) for name in Record.__slots__])
        if apart.link_at == apart.began:
            apart.link_at = apart.began  # a float is an object of 32 bytes; most choose a link at once
        return apart

    def via(self, link: str, agent: str | None, dialect: str, now: float) -> None:
        """A link was chosen. A second attempt replaces the first."""
        self.link, self.agent, self.dialect, self.link_at = link, agent or "", dialect, now

    @property
    def seconds(self) -> float:
        """From the request's head to the end. 0 while it runs."""
        return seconds_of(self)

    @property
    def link_seconds(self) -> float | None:
        """How long it waited for a link. None when it got none."""
        return since(self.began, self.link_at)

    @property
    def head_seconds(self) -> float | None:
        """From the request's head to the head of the service's answer. None when none came."""
        return since(self.began, self.head_at)

    @property
    def level(self) -> int:
        """The level of its line."""
        return level_of(self)

    def fields(self) -> dict[str, Any]:
        """Everything in the record, as the keys of a JSON line."""
        return fields_of(self)


def since(began: float, then: float | None) -> float | None:
    """The seconds from one to the other. None when the other never came."""
    return then - began if then is not None else None


def seconds_of(record: Record) -> float:
    """From the request's head to the end. 0 while it runs."""
    return record.ended_at - record.began if record.ended_at is not None else 0.0


def level_of(record: Record) -> int:
    """WARNING for what the operator may have to fix: 5xx, and WebSockets that the gateway closed. Else INFO."""
    if record.status >= 500 or (record.status == 101 and record.closed_by == "gateway" and record.kind == "websocket"):
        return logging.WARNING
    return logging.INFO


def where(record: Record) -> dict[str, Any]:
    """Which exchange it is, as the first keys of a JSON line."""
    target = record.target
    return {
        "request_id": record.request_id,
        "host": printable(record.host),
        "path": path_of(record.path),
        "service": target.service if target else "",
        "namespace": target.namespace if target else "",
        "cluster_id": target.cluster if target else "",
    }


def via(link: str) -> str:
    """What a line says of the other node that an exchange went through."""
    node = node_of(link)
    return f" of node {node}" if node else ""


def _hop(link: str) -> dict[str, Any]:
    node = node_of(link)
    return {"node": node, "hop": True} if node else {}


def node_of(link: str) -> str:
    """The id of the other node that an exchange went through; empty: it stayed on this one.

    >>> node_of("node-abc")
    'abc'
    """
    return link.removeprefix(HOP) if link.startswith(HOP) else ""


def fields_of(record: Record) -> dict[str, Any]:
    """Everything in the record, as the keys of a JSON line."""
    fields = where(record) | {
        "kind": record.kind,
        "method": printable(record.method),
        "port": record.target.port if record.target else None,
        "client": printable(record.client),
        "link": record.link,
        "dialect": record.dialect,
        "agent": printable(record.agent),
        **_hop(record.link),
        "status": record.status or None,
        "close_code": record.close_code,
        "closed_by": record.closed_by or None,
        "outcome": record.outcome,
        "limit": record.limit or None,
        "detail": printable(record.detail),
        "bytes_up": record.bytes_up,
        "bytes_down": record.bytes_down,
        "messages_up": record.messages_up,
        "messages_down": record.messages_down,
        "seconds": _rounded(seconds_of(record)),
        "link_seconds": _rounded(since(record.began, record.link_at)),
        "head_seconds": _rounded(since(record.began, record.head_at)),
        "stalled_by_client_seconds": _rounded(record.stalled_by_client_seconds),
        "stalled_by_service_seconds": _rounded(record.stalled_by_service_seconds),
    }
    if record.trace_id:
        fields["trace_id"] = record.trace_id
    return fields


def printable(value: bytes | str) -> str:
    """As text of one line and bounded length, so that what others send cannot forge log lines.

    >>> printable(b"a\\nb")
    'a\\\\nb'
    """
    value = value[:TEXT_LIMIT]
    text = value if isinstance(value, str) else value.decode("latin-1")
    return text if text.isprintable() else repr(text)[1:-1]


def path_of(raw: bytes) -> str:
    """The path without its query, which may carry tokens."""
    return printable(raw.partition(b"?")[0])


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)
