"""One running exchange as the operator sees it: whose it is, where it goes, how far it is, and what it waits for.

Made from its record when somebody asks. The path is shown without its query, which may carry tokens.
"""

from typing import Literal

import msgspec

from ..observed.events import moment
from ..observed.record import Kind, Record, path_of, printable
from .stalls import SERVICE_STALLED_SECONDS, STALLED_SECONDS, Lag, Lags


class ExchangeItem(msgspec.Struct, frozen=True, kw_only=True):
    """One running exchange."""

    id: str
    kind: Kind
    request_id: str
    method: str
    host: str
    """As the client sent it."""
    path: str
    client: str
    cluster: str | None
    namespace: str | None
    service: str | None
    port: int | None
    link: str | None
    """null: none is chosen yet."""
    agent: str | None
    dialect: str | None
    status: int | None
    """null: the answer has not begun."""
    state: str
    """In words, such as `answering`."""
    since: str
    age_seconds: float
    bytes_up: int
    bytes_down: int
    messages_up: int
    messages_down: int
    held_bytes: int
    stalled_by: Literal["client", "service"] | None
    """Who takes nothing of what waits for it."""


def item_of(
    record: Record, identity: str, state: str, held_bytes: int, lags: Lags, *, began_at: float, now: float
) -> ExchangeItem:
    """The item of a record. `began_at`: in the wall clock; `now`: the loop's time."""
    target = record.target
    return ExchangeItem(
        id=identity,
        kind=record.kind,
        request_id=record.request_id,
        method=printable(record.method),
        host=printable(record.host),
        path=path_of(record.path),
        client=printable(record.client),
        cluster=target.cluster if target is not None else None,
        namespace=target.namespace if target is not None else None,
        service=target.service if target is not None else None,
        port=target.port if target is not None else None,
        link=record.link or None,
        agent=printable(record.agent) or None,
        dialect=record.dialect or None,
        status=record.status or None,
        state=state,
        since=moment(began_at),
        age_seconds=round(max(0.0, now - record.began), 3),
        bytes_up=record.bytes_up,
        bytes_down=record.bytes_down,
        messages_up=record.messages_up,
        messages_down=record.messages_down,
        held_bytes=held_bytes,
        stalled_by=stalled_by(lags, now),
    )


def stalled_by(lags: Lags, now: float) -> Literal["client", "service"] | None:
    """Which side stalls, as `stalls.py` has it; the client if both do."""
    client, service = lags
    if _stalls(client, STALLED_SECONDS, now):
        return "client"
    return "service" if _stalls(service, SERVICE_STALLED_SECONDS, now) else None


def _stalls(lag: Lag | None, seconds: float, now: float) -> bool:
    return lag is not None and lag.since is not None and now - lag.since >= seconds
