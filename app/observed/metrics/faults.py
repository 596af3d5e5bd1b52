"""Whose fault it was that a request failed: the values of the label `fault`, and the table that decides.

An objective for the tunnel must not be missed because a service is down or a client goes away. So each outcome has one
culprit, and what nobody foresaw counts against the tunnel.
"""

from enum import StrEnum

from tunnel.errors import TunnelError

from ...rules import problems
from ..record import ClosedBy, Record
from .labels import Limit


class Fault(StrEnum):
    """Who is to blame."""

    NONE = "none"
    """Nobody: the service's answer was passed on, a WebSocket opened, or the client was sent to https."""
    CLIENT = "client"
    """The client sent what cannot be served, left, or met a limit or a decision of the operator."""
    SERVICE = "service"
    """The service answered with an error of its own, wrongly, too slowly or not at all."""
    TUNNEL = "tunnel"
    """The gateway, the agent or what is between them."""


_OF_PROBLEMS: dict[Fault, tuple[problems.Problem, ...]] = {
    Fault.NONE: (problems.HTTPS_REDIRECT,),
    Fault.CLIENT: (
        problems.NO_ROUTE, problems.UNSAFE_PATH, problems.BAD_REQUEST, problems.TARGET_TOO_LONG,
        problems.HEAD_TOO_LARGE, problems.TOO_LARGE_FOR_AGENT, problems.NOT_IMPLEMENTED,
        problems.VERSION_NOT_SUPPORTED, problems.UPGRADE_REQUIRED, problems.HEAD_TIMEOUT, problems.BODY_TOO_LARGE,
        problems.BODY_FRAMING, problems.REQUEST_TIMEOUT, problems.ORIGIN_REFUSED, problems.TOO_MANY_OF_ROUTE,
        problems.TOO_MANY_OF_CLUSTER, problems.TOO_MANY_OF_CLIENT, problems.TOO_MANY_REQUESTS_OF_CLIENT,
        problems.ENDED_BY_OPERATOR,
    ),
    Fault.SERVICE: (
        problems.UNREACHABLE, problems.SERVICE_REFUSED, problems.NO_SUCH_SERVICE, problems.SERVICE_SLOW,
        problems.BROKE_OFF, problems.BAD_ANSWER, problems.TLS_FAILED, problems.TOO_SLOW,
    ),
    Fault.TUNNEL: (
        problems.NO_WEBSOCKETS, problems.STOPPING, problems.NO_AGENT, problems.BUSY, problems.STOPPED_UNANSWERED,
        problems.TOO_MANY_CONNECTIONS, problems.AGENT_LOST, problems.NOT_ALLOWED, problems.ENDED_FOR_ROOM,
        problems.INTERNAL,
    ),
}  # fmt: skip

OF_OUTCOME = {problem.code: fault for fault, them in _OF_PROBLEMS.items() for problem in them} | {
    "client_left": Fault.CLIENT
}
"""Of every outcome but `ok`, where the status decides, and `broken_off`, where the record does."""

_OF_LIMIT = {
    Limit.BODY_SIZE.value: Fault.CLIENT,
    Limit.HELD_STALLED.value: Fault.CLIENT,
    Limit.SPOOL.value: Fault.CLIENT,
    Limit.TIMEOUT_IDLE.value: Fault.SERVICE,
    Limit.TIMEOUT_WRITE.value: Fault.SERVICE,
}
"""Who makes the gateway break an answer off: a client that does not read, a service that neither sends nor reads."""

_CLOSERS: dict[Fault, ClosedBy] = {Fault.CLIENT: "client", Fault.SERVICE: "service", Fault.TUNNEL: "gateway"}
_OF_CLOSERS = {closer: fault for fault, closer in _CLOSERS.items()}


def fault_of(status: int, outcome: str) -> Fault:
    """Who is to blame for a request that ended so. Its answer was not broken off."""
    if outcome == "ok":
        return Fault.SERVICE if status >= 500 else Fault.NONE
    return OF_OUTCOME.get(outcome, Fault.TUNNEL)


def fault_of_break(record: Record) -> Fault:
    """Who is to blame for an answer that was broken off."""
    return _OF_LIMIT.get(record.limit) or _OF_CLOSERS.get(record.closed_by, Fault.TUNNEL)


def breaker_of(error: Exception) -> ClosedBy:
    """Who breaks off an answer that ends with this error. What is wrong with a client's body is no `TunnelError`."""
    if not isinstance(error, TunnelError):
        return "client"
    return _CLOSERS[OF_OUTCOME[problems.problem_of(error).code]]
