"""What a route allows, and for how long: one frozen `Policy` per route, and the decisions that follow from it.

The top of the configuration sets the defaults, and a route's own keys override them. Nothing here reads a clock or
does I/O: callers pass the time in, ask, and act.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tunnel.port import Headers

from .rewrite import Rewrite

_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


@dataclass(frozen=True, slots=True)
class HeaderChanges:
    """Header fields to remove and to set, in this order, towards the service or the client. Names in lower case."""

    set: Headers = field(repr=False)
    """May hold secrets."""
    remove: frozenset[bytes]

    def apply(self, headers: Headers) -> Headers:
        """The changed fields. A field that is set replaces all fields of its name."""
        if not self.set and not self.remove:
            return headers
        gone = self.remove | {name for name, _ in self.set}
        return [item for item in headers if item[0].lower() not in gone] + self.set


NO_CHANGES = HeaderChanges([], frozenset())


@dataclass(frozen=True, slots=True)
class Policy:
    """One route's limits and timeouts. Sizes in bytes, times in seconds; None: unlimited."""

    origins: tuple[str, ...] = ("same-origin",)
    """The pages that may open WebSockets: `same-origin` (the requested Host), `*`, `host`, `host:port`,
    `scheme://host[:port]`, or `*.domain` for its subdomains."""
    allow_missing_origin: bool = True
    """Programs send no Origin; browsers always do."""
    allow_null_origin: bool = False
    messages_per_second: float | None = None
    """Per WebSocket and direction."""
    bytes_per_second: float | None = None
    rate_burst_seconds: float = 1.0
    """How many seconds' worth may arrive at once."""
    rate_limit_action: str = "close"
    """`close` with 1008, or `slow` the sender down."""
    websocket_compression: str = "pass"
    """`pass`: the two ends agree on extensions of a spliced WebSocket; `decline`: they are not offered any."""
    max_message_bytes: int = 10 * 1024 * 1024
    max_body_bytes: int | None = None
    max_websockets: int | None = None
    """Open at once on this route."""
    max_websockets_per_client: int | None = None
    """Open at once from one client address, over all routes."""
    max_requests_per_client: int | None = None
    """Running at once from one client address, over all routes that have such a limit."""
    sticky: str = "off"
    """`off`, `cookie` or `client`: keep a client on one of a cluster's agents."""
    allow_trace: bool = False
    """TRACE shows its sender the request as the service got it, with the fields that we add."""
    upgrade_timeout: float = 10.0
    response_head_timeout: float = 60.0
    idle_timeout: float = 300.0
    """HTTP: the longest pause within an answer. WebSocket: the longest time without a message or a pong."""
    http_write_timeout: float = 60.0
    """Abort a request when its client or its service has taken no byte for this long."""
    websocket_write_timeout: float = 10.0
    request_headers: HeaderChanges = NO_CHANGES
    response_headers: HeaderChanges = NO_CHANGES
    rewrite: Rewrite | None = None
    """Of addresses, before the changes above. A route's own: there is none for all routes."""

    @property
    def slows_senders(self) -> bool:
        """Whether a rate limit holds messages back, which needs them one by one."""
        limited = self.messages_per_second is not None or self.bytes_per_second is not None
        return limited and self.rate_limit_action == "slow"


DEFAULT_POLICY = Policy()


def origin_allowed(policy: Policy, origins: Iterable[bytes], host: str, scheme: str, route_host: str) -> bool:
    """Whether a page of this Origin may open a WebSocket (RFC 6455 section 10.2, RFC 6454).

    `origins`: the Origin fields, as sent; more than one is refused. `host`: the requested Host, with its port.
    `scheme`: the client's (`http` or `https`). `route_host`: the route's own host, which `same-origin` includes.
    Hosts and ports are compared; a missing port is the scheme's default.
    """
    values = list(origins)
    if not values:
        return policy.allow_missing_origin
    if len(values) > 1:
        return False
    text = values[0].decode("latin-1").strip().lower()
    if text == "null":
        return policy.allow_null_origin
    origin = _split(text, None)
    if origin is None:
        return False
    return any(_matches(pattern, origin, host, scheme, route_host) for pattern in policy.origins)


_Origin = tuple[str, str, int | None]
"""Scheme, host, port; the scheme's default port where none was given."""


def _split(text: str, scheme: str | None) -> _Origin | None:
    """Split `scheme://host[:port]`, or `host[:port]` where a scheme is given. None for anything else."""
    if "://" not in text:
        if scheme is None:
            return None
        text = f"{scheme}://{text}"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    if not parts.hostname or parts.path or parts.query or parts.fragment or parts.username is not None:
        return None
    return parts.scheme, parts.hostname.rstrip("."), port if port is not None else _DEFAULT_PORTS.get(parts.scheme)


def _matches(pattern: str, origin: _Origin, host: str, scheme: str, route_host: str) -> bool:
    if pattern == "*":
        return True
    if pattern == "same-origin":
        asked = _split(host.lower(), scheme)
        # A proxy in front may terminate TLS, so compare the host and the port as written, but not the scheme.
        if origin[0] not in ("http", "https"):
            return False
        if asked is not None and origin[1] == asked[1] and (origin[2] == asked[2] or _both_default(origin, asked)):
            return True
        return not route_host.startswith("*") and origin[1] == route_host and origin[2] in (80, 443)
    if pattern.startswith("*."):
        return origin[1].endswith(pattern[1:]) and origin[2] == _DEFAULT_PORTS.get(origin[0])
    wanted = _split(pattern, origin[0])
    if wanted is None or wanted[1] != origin[1] or wanted[2] != origin[2]:
        return False
    return "://" not in pattern or wanted[0] == origin[0]


def _both_default(one: _Origin, other: _Origin) -> bool:
    return one[2] == _DEFAULT_PORTS.get(one[0]) and other[2] == _DEFAULT_PORTS.get(other[0])


class TokenBucket:
    """A rate with a burst. `take` says how long to wait; 0 when the amount is available now."""

    __slots__ = ("_burst", "_filled_at", "_level", "_rate")

    def __init__(self, rate_per_second: float, burst_seconds: float, now: float) -> None:
        self._rate = rate_per_second
        self._burst = max(rate_per_second * burst_seconds, 1.0)
        self._level = self._burst
        self._filled_at = now

    def take(self, amount: float, now: float) -> float:
        """Take `amount`. Returns the seconds until it is available. The bucket may go into debt, so nothing starves."""
        self._level = min(self._burst, self._level + (now - self._filled_at) * self._rate)
        self._filled_at = now
        self._level -= amount
        return max(0.0, -self._level / self._rate)

    def seconds_until(self, amount: float, now: float) -> float:
        """The seconds until `amount`, at most a full bucket, is available; 0: it is. Takes nothing."""
        level = min(self._burst, self._level + (now - self._filled_at) * self._rate)
        return max(0.0, (amount - level) / self._rate)

    def would_exceed(self, amount: float, now: float) -> bool:
        """Whether `amount` is more than is available now. Takes nothing."""
        level = min(self._burst, self._level + (now - self._filled_at) * self._rate)
        return amount > level


class RateLimit:
    """Messages and bytes per second of one direction of one WebSocket."""

    __slots__ = ("_bytes", "_messages", "_slow")

    def __init__(self, policy: Policy, now: float) -> None:
        burst = policy.rate_burst_seconds
        self._messages = TokenBucket(policy.messages_per_second, burst, now) if policy.messages_per_second else None
        self._bytes = TokenBucket(policy.bytes_per_second, burst, now) if policy.bytes_per_second else None
        self._slow = policy.rate_limit_action == "slow"

    def admit(self, size: int, now: float) -> float | None:
        """Seconds to wait before passing this message on; 0: none. None: over the limit, close with 1008."""
        wait = 0.0
        for bucket, amount in ((self._messages, 1), (self._bytes, size)):
            if bucket is not None:
                if not self._slow and bucket.would_exceed(amount, now):
                    return None
                wait = max(wait, bucket.take(amount, now))
        return wait


def rate_limit(policy: Policy, now: float) -> RateLimit | None:
    """A limit for one direction. None where the policy has no limit."""
    if policy.messages_per_second is None and policy.bytes_per_second is None:
        return None
    return RateLimit(policy, now)
