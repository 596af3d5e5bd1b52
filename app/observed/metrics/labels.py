"""The values that labels may take. Each set is bounded, and no client can add to one.

Unknown values become `other`. So a client that invents methods, or an agent that invents close codes, cannot make the
number of time series grow.
"""

from collections.abc import Container
from enum import StrEnum

from tunnel.errors import LinkBusyError, MessageTooLargeError, NoRoomError, NotReadError, TooManyWaitingError

from ...rules import problems

OTHER = "other"

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
"""RFC 9110 section 9.3, and PATCH (RFC 5789)."""

SIDES = frozenset({"client", "service", "gateway"})
"""Who ended a WebSocket."""

OUTCOMES = frozenset(
    {"ok", "client_left", "broken_off"}
    | {value.code for value in vars(problems).values() if isinstance(value, problems.Problem)}
)
"""How an exchange ended, including the codes of the gateway's own answers."""

LINK_STATES = frozenset({"joining", "ready", "doubted", "leaving"})


class Limit(StrEnum):
    """The limits that an exchange may reach: the values of the label `limit`."""

    ORIGIN = "origin"
    MESSAGES_RATE = "messages_rate"
    MESSAGE_SIZE = "message_size"
    BODY_SIZE = "body_size"
    WEBSOCKETS_ROUTE = "websockets_route"
    WEBSOCKETS_CLIENT = "websockets_client"
    WEBSOCKETS_CLUSTER = "websockets_cluster"
    REQUESTS_CLIENT = "requests_client"
    STREAMS_LINK = "streams_link"
    HELD_HIGH = "held_high"
    HELD_HARD = "held_hard"
    HELD_STALLED = "held_stalled"
    SPOOL = "spool"
    WAITING = "waiting"
    TIMEOUT_HEAD = "timeout_head"
    TIMEOUT_UPGRADE = "timeout_upgrade"
    TIMEOUT_IDLE = "timeout_idle"
    TIMEOUT_WRITE = "timeout_write"


class Shed(StrEnum):
    """Why a connection was ended because of the bound on connections: the values of the label `reason`."""

    IDLE = "idle"
    TURNED_AWAY = "turned_away"
    CUT_OFF = "cut_off"


class Relieved(StrEnum):
    """Why something was ended to make room: the values of the label `reason`."""

    STALLED = "stalled"
    HELD_MOST = "held_most"
    UNREAD = "unread"


class AgentRefused(StrEnum):
    """Why an agent was refused: the values of the label `reason`."""

    NO_TOKEN = "no_token"  # noqa: S105  (none of these is a secret)
    UNKNOWN_TOKEN = "unknown_token"  # noqa: S105  (a label, no secret)
    TOKEN_REVOKED = "token_revoked"  # noqa: S105  (a label, no secret)
    NOT_COVERED = "not_covered"
    """The cluster, or the host, is not of its token."""
    WRONG_HOST = "wrong_host"
    WRONG_PATH = "wrong_path"
    STOPPING = "stopping"
    TWIN = "twin"
    BAD_REGISTER = "bad_register"
    DIALECT = "dialect"
    FULL = "full"
    BAD_CALL = "bad_call"
    """A REST call, or a handshake, that the gateway cannot read."""


class HeaderFault(StrEnum):
    """Why a balancer's connection was closed before it began: the values of the label `reason`."""

    UNTRUSTED = "untrusted"
    INVALID = "invalid"
    LATE = "late"
    CROWDED = "crowded"


class HopEnd(StrEnum):
    """What another node answered to a stream that it was to carry: the values of the label `answer`."""

    THROUGH = "through"
    NOT_HERE = "not_here"
    DRAINING = "draining"
    BUSY = "busy"
    REFUSED = "refused"
    """It has the agent, and the service cannot be reached or the request cannot be carried."""


class WriteEnd(StrEnum):
    """Why a write to a bucket was not confirmed: values of the label `outcome`."""

    CONFLICT = "conflict"
    """Another node was first."""
    AWAY = "away"
    """NATS cannot be reached, or refused it."""
    UNCERTAIN = "uncertain"
    """No answer came: it may have been done."""


_LIMIT_OF_PROBLEM = {
    problems.BODY_TOO_LARGE: Limit.BODY_SIZE,
    problems.BODY_FRAMING: Limit.BODY_SIZE,
    problems.ORIGIN_REFUSED: Limit.ORIGIN,
    problems.TOO_MANY_OF_ROUTE: Limit.WEBSOCKETS_ROUTE,
    problems.TOO_MANY_OF_CLIENT: Limit.WEBSOCKETS_CLIENT,
    problems.TOO_MANY_REQUESTS_OF_CLIENT: Limit.REQUESTS_CLIENT,
    problems.TOO_MANY_OF_CLUSTER: Limit.WEBSOCKETS_CLUSTER,
}


def limit_of(problem: problems.Problem) -> Limit | None:
    """The limit behind this answer. None when there is none, or more than one."""
    return _LIMIT_OF_PROBLEM.get(problem)


_LIMIT_OF_ERROR: dict[type[Exception], Limit] = {
    NoRoomError: Limit.HELD_HIGH,
    NotReadError: Limit.SPOOL,
    TooManyWaitingError: Limit.WAITING,
    LinkBusyError: Limit.STREAMS_LINK,
    MessageTooLargeError: Limit.MESSAGE_SIZE,
}


def limit_of_error(error: Exception) -> Limit | None:
    """The limit behind this error. None when it is not about a limit."""
    return _LIMIT_OF_ERROR.get(type(error))


_METHOD_LABELS = {method: method for method in METHODS} | {method.encode(): method for method in METHODS}
_STATUS_CLASSES = ("none", "1xx", "2xx", "3xx", "4xx", "5xx")
_KNOWN_CODES = frozenset(range(1000, 1016)) - {1004}


def method_label(method: str | bytes) -> str:
    """The method itself if it is known, else `other`."""
    return _METHOD_LABELS.get(method, OTHER)


def status_class(status: int) -> str:
    """`2xx` and so on. `none` when the client got no answer."""
    return _STATUS_CLASSES[status // 100] if 0 <= status < 600 else OTHER


def code_class(code: int | None) -> str:
    """A close code that RFC 6455 defines, or its range: `3xxx` (registered) or `4xxx` (private)."""
    if code in _KNOWN_CODES:
        return str(code)
    if code is None:
        return "none"
    return {3: "3xxx", 4: "4xxx"}.get(code // 1000, OTHER)


MOST_CLUSTERS = 1_000
"""One cluster has some 20 series, at most 40 (`clusters.py`): more from one target would burden a small Prometheus."""


class ClusterLabels:
    """Cluster names as label values: the first 1,000, then `other`.

    The configuration and the agents' tokens already bound the clusters; this is a second bound.
    """

    __slots__ = ("_known", "_limit")

    def __init__(self, limit: int = MOST_CLUSTERS) -> None:
        self._limit = limit
        self._known: set[str] = set()

    def label(self, cluster: str) -> str:
        """The label value of a cluster."""
        if cluster in self._known:
            return cluster
        if len(self._known) >= self._limit:
            return OTHER
        self._known.add(cluster)
        return cluster

    def keep(self, clusters: Container[str]) -> set[str]:
        """Forget all others, which makes room. Returns those that were forgotten."""
        gone = {cluster for cluster in self._known if cluster not in clusters}
        self._known -= gone
        return gone
