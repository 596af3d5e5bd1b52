"""What views say of an address and of a request, in clean text. Pure."""

import math
from datetime import UTC, datetime, tzinfo
from urllib.parse import urlsplit

from tunnel.agent import units
from tunnel.agent.view.text import clean
from tunnel.agent.view.view import Address
from tunnel.wire.publishing import RequestRow

_UNKNOWN_TIME = "-"
_DAY_SECONDS = 86_400.0


def published(address: Address) -> str:
    """`http://localhost:5173 is published at https://me.dev.example.com/`."""
    return f"{clean(address.service)} is published at {clean(address.url)}"


def gone(address: Address) -> str:
    """The same for one that is no more."""
    return f"{clean(address.service)} is no longer published at {clean(address.url)}"


def host_of(address: Address) -> str:
    """The host that clients name."""
    try:
        return urlsplit(address.url).netloc
    except ValueError:
        return address.url


def request(row: RequestRow, *, with_host: bool) -> str:
    """`2026-11-29T09:52:39Z 502 GET /x 12 ms 203.0.113.7 (service_refused)`."""
    moment = _moment(row, UTC)
    at = f"{moment:%Y-%m-%dT%H:%M:%SZ}" if moment is not None else _UNKNOWN_TIME
    parts = (at, status(row), method(row), where(row, with_host=with_host), duration(row), client(row), why(row))
    return " ".join(filter(None, parts))


def left_out(number: int) -> str:
    """Requests that came too fast to be shown."""
    return f"left out {number} more"


def time_of_day(row: RequestRow) -> str:
    """When it began, by this machine's clock."""
    moment = _moment(row, None)
    return f"{moment:%H:%M:%S}" if moment is not None else _UNKNOWN_TIME


def status(row: RequestRow) -> str:
    """`200`; without an answer `-`."""
    return str(row.status) if 100 <= row.status <= 999 else "-"


def why(row: RequestRow) -> str:
    """Of an exchange that failed: `(service_refused)`."""
    return "" if row.outcome in {"ok", ""} else f"({clean(row.outcome, 40)})"


def method(row: RequestRow) -> str:
    """Of a WebSocket: `WS`."""
    return "WS" if row.kind == "websocket" else clean(row.method, 20)


def where(row: RequestRow, *, with_host: bool) -> str:
    """The path, after the host where there are several."""
    return clean(f"{row.host}{row.path}" if with_host else row.path)


def duration(row: RequestRow) -> str:
    """How long it took."""
    seconds = row.seconds if math.isfinite(row.seconds) else 0.0
    return units.milliseconds(max(seconds, 0.0)) if seconds < 1 else units.duration(min(seconds, 365 * _DAY_SECONDS))


def client(row: RequestRow) -> str:
    """Its address."""
    return clean(row.client, 64)


def _moment(row: RequestRow, zone: tzinfo | None) -> datetime | None:
    """When it began, by the clocks of a zone; None: of this machine's."""
    try:
        moment = datetime.fromisoformat(row.at)
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).astimezone(zone)
    except (ValueError, OverflowError, OSError):
        return None
