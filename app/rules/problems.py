"""The gateway's own answers to clients whose request it could not carry.

Each `Problem` says what happened, to what, and what to do next: status, a stable code, and three texts. Programs get
JSON and browsers a small page, by `Accept`. The texts never name an agent's error or an internal host.
"""

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from tunnel.errors import (
    BadAnswerError,
    ClientTooSlowError,
    EndedByOperatorError,
    EndedForRoomError,
    LinkBusyError,
    LinkLostError,
    MessageTooLargeError,
    NoAgentError,
    NodeBusyError,
    NoRoomError,
    NoSuchServiceError,
    NotPassedOnError,
    RequestRefusedError,
    ServiceBrokeOffError,
    ServiceNotAllowedError,
    ServiceRefusedError,
    ServiceSlowError,
    ServiceUnreachableError,
    StoppingError,
    StreamRefusedError,
    TlsFailedError,
    TooManyWaitingError,
    TooSlowError,
    TunnelError,
)
from tunnel.port import Headers


@dataclass(frozen=True, slots=True)
class Problem:
    """One kind of failure, as clients see it."""

    status: int
    code: str
    title: str
    what: str
    """What happened, and to what."""
    hint: str
    """What to do next, and who does it."""
    retry_after: int | None = None
    close_code: int = 1011
    """For a WebSocket that is already open (RFC 6455 section 7.4)."""


_MAYBE = "The request may have been carried out."
"""For every problem that can come after a part of the request was sent: its reader must not simply try again."""
_CHECK = "Check whether it took effect before you send it again."

NO_ROUTE = Problem(
    404, "no_route", "Nothing here", "No application is published at this address.",
    "Check the address. To publish an application here, the operator adds a [[routes]] entry for this host and path.",
)  # fmt: skip
HTTPS_REDIRECT = Problem(
    308, "https_redirect", "Moved to https", "This application is published by https.",
    "Follow the redirect, and use the https address from now on.",
)  # fmt: skip
UNSAFE_PATH = Problem(
    400, "unsafe_path", "Ambiguous path", "The path can be read in two ways that lead to different places.",
    "Send the path without encoded slashes and dot segments.",
)  # fmt: skip
BAD_REQUEST = Problem(
    400, "bad_request", "Bad request",
    "The request is not valid HTTP, or the connected agent cannot carry it unchanged.",
    "If the message names something that HTTP allows, the request is fine: ask the operator to connect an agent that "
    "supports yamux. Otherwise fix the request.",
)  # fmt: skip
NO_WEBSOCKETS = Problem(
    501, "websockets_unavailable", "WebSockets are not available",
    "The server in front of this application passes WebSocket handshakes on as plain HTTP.",
    "Ask the operator to install uvicorn[standard], or to start the server with WebSocket support.",
)  # fmt: skip
STOPPING = Problem(503, "stopping", "Restarting", "The gateway is stopping.", "Try again in a few seconds.", 2, 1012)
NO_AGENT = Problem(
    503, "no_agent", "The cluster is not connected", "No agent of this application's cluster is connected.",
    "Try again soon. Ask the operator to check that the agent is running and can reach the gateway.", 5, 1012,
)  # fmt: skip
BUSY = Problem(
    503, "busy", "Too busy", "The gateway has no room for another request or WebSocket.", "Try again soon.", 2, 1013
)
STOPPED_UNANSWERED = Problem(
    502, "stopping_unanswered", "Restarting",
    f"The gateway stopped before the application answered. {_MAYBE}", _CHECK, None, 1012,
)  # fmt: skip
TOO_MANY_CONNECTIONS = Problem(
    503, "too_many_connections", "Too busy", "The gateway has as many connections open as it allows.",
    "Try again soon. Ask the operator to look at gateway_connections_shed_total and max_connections.", 5, 1013,
)  # fmt: skip
AGENT_LOST = Problem(
    502, "agent_lost", "Connection to the cluster lost",
    f"The cluster's agent disconnected before it answered. {_MAYBE}",
    f"{_CHECK} The agent reconnects by itself.", None, 1012,
)  # fmt: skip
UNREACHABLE = Problem(
    502, "service_unreachable", "The application does not answer",
    f"The cluster is connected, but its service refused the connection or closed it without an answer. {_MAYBE}",
    f"{_CHECK} Ask the operator to check that the service is running, that it listens on the routed port, and that "
    "the agent may reach it.",
)  # fmt: skip
SERVICE_REFUSED = Problem(
    502, "service_refused", "The application is not running",
    "The cluster is connected, but nothing accepts connections at the application's port.",
    "Ask the operator to check that the service is running and listens on the routed port.",
)  # fmt: skip
NOT_ALLOWED = Problem(
    502, "not_allowed", "The application may not be reached", "The cluster's agent is not allowed to reach it.",
    "Ask the operator to allow the service in the agent's settings (--service or --allow).",
)  # fmt: skip
NO_SUCH_SERVICE = Problem(
    502, "no_such_service", "No such application in the cluster", "The cluster knows no service of the routed name.",
    "Ask the operator to compare the route's service and namespace with the cluster.",
)  # fmt: skip
SERVICE_SLOW = Problem(
    504, "service_slow", "The application cannot be reached", "The service did not accept a connection in time.",
    "Ask the operator to check the service, and the network and its policies between the agent and the service.",
)  # fmt: skip
BROKE_OFF = Problem(
    502, "service_broke_off", "The application broke off",
    f"The service closed the connection during its answer. {_MAYBE}",
    f"{_CHECK} If it happens again, ask the operator to look at the service's own log.",
)  # fmt: skip
BAD_ANSWER = Problem(
    502, "bad_answer", "The application's answer is not valid", "The service's answer breaks its protocol.",
    "Ask the operator to compare the route's scheme and port with what the service speaks.",
)  # fmt: skip
TLS_FAILED = Problem(
    502, "tls_failed", "No secure connection to the application",
    "TLS with the service failed, or its certificate is not the expected one.",
    "Ask the operator to compare the route's ca_file and server_name with the service's certificate.",
)  # fmt: skip
TOO_SLOW = Problem(
    504, "service_too_slow", "The application took too long",
    f"The service did not begin its answer in time. {_MAYBE}",
    f"{_CHECK} If it happens again, ask the operator to check the service, or to allow it more time.",
)  # fmt: skip
TARGET_TOO_LONG = Problem(
    414, "target_too_long", "The address is too long",
    "The first line of the request is longer than the gateway reads.",
    "Send what is in the address in the request's body.",
)  # fmt: skip
HEAD_TOO_LARGE = Problem(
    431, "head_too_large", "Too many header fields",
    "The request's head has more bytes or more fields than the gateway reads.",
    "Delete this site's cookies, or send fewer or shorter header fields.",
)  # fmt: skip
TOO_LARGE_FOR_AGENT = Problem(
    431, "too_large_for_agent", "Too many header fields",
    "The request's head is larger than the cluster's agent accepts in one message.",
    "Delete this site's cookies, or send fewer or shorter header fields. The operator can also connect an agent that "
    "supports yamux.", None, 1009,
)  # fmt: skip
NOT_IMPLEMENTED = Problem(
    501, "not_implemented", "Not supported", "The request asks for something that the gateway does not support.",
    "Send the request without it.",
)  # fmt: skip
VERSION_NOT_SUPPORTED = Problem(
    505, "version_not_supported", "HTTP version not supported", "The gateway speaks HTTP/1.1 and HTTP/1.0 here.",
    "Send the request again as HTTP/1.1.",
)  # fmt: skip
UPGRADE_REQUIRED = Problem(
    426, "websocket_version", "WebSocket version not supported", "The gateway speaks version 13 of WebSockets.",
    "Open the WebSocket with version 13 (RFC 6455).",
)  # fmt: skip
HEAD_TIMEOUT = Problem(
    408, "head_timeout", "Your request came too slowly", "The head of the request did not arrive in time.",
    "Send the request again over a better connection.",
)  # fmt: skip
BODY_TOO_LARGE = Problem(
    413, "body_too_large", "Too large", "The request's body is larger than this application allows.",
    "Send less, or ask the operator to raise the route's max_body_bytes.",
)  # fmt: skip
BODY_FRAMING = Problem(
    413, "body_framing", "Too large", "The framing of the request's body is too large for what the chunks carry.",
    "Send larger chunks, with shorter extensions.",
)  # fmt: skip
REQUEST_TIMEOUT = Problem(
    408, "request_timeout", "Your request came too slowly", "The rest of the request's body did not arrive in time.",
    "Send the request again over a better connection.",
)  # fmt: skip
ORIGIN_REFUSED = Problem(
    403, "origin_refused", "Not from here", "Pages of this origin may not open WebSockets to this application.",
    "If they should, the operator adds the page's origin to the route's origins.",
)  # fmt: skip
TOO_MANY_OF_ROUTE = Problem(
    503, "too_many_websockets", "Too many connections", "This application has as many open WebSockets as it allows.",
    "Try again later, or ask the operator to raise the route's max_websockets.", 10,
)  # fmt: skip
TOO_MANY_OF_CLUSTER = Problem(
    503, "too_many_websockets_of_cluster", "Too many connections",
    "This application's cluster has as many open WebSockets as it allows.",
    "Try again later, or ask the operator to raise max_websockets_per_cluster.", 10,
)  # fmt: skip
TOO_MANY_OF_CLIENT = Problem(
    429, "too_many_websockets_of_client", "Too many connections", "Too many WebSockets are open from your address.",
    "Close some, or ask the operator to raise max_websockets_per_client.", 10,
)  # fmt: skip
TOO_MANY_REQUESTS_OF_CLIENT = Problem(
    429, "too_many_requests_of_client", "Too many requests", "Too many requests from your address are running.",
    "Wait until some of them have ended, or ask the operator to raise max_requests_per_client.", 2,
)  # fmt: skip
ENDED_FOR_ROOM = Problem(
    502, "ended_for_room", "Ended midway",
    "The gateway ran out of room and ended the request. The application may have carried it out.",
    "Check whether it was carried out before you send it again.", None, 1013,
)  # fmt: skip
ENDED_BY_OPERATOR = Problem(
    502, "ended_by_operator", "Ended by the operator", f"The gateway's operator ended this request. {_MAYBE}",
    f"{_CHECK} Ask the operator why it was ended.", None, 1012,
)  # fmt: skip
INTERNAL = Problem(
    500, "internal_error", "Internal error", "The gateway failed to handle the request.",
    "Ask the operator to look at the gateway's log.",
)  # fmt: skip

_BY_ERROR: dict[type[TunnelError], Problem] = {
    NoAgentError: NO_AGENT,
    NotPassedOnError: NO_AGENT,
    NodeBusyError: BUSY,
    LinkBusyError: BUSY,
    NoRoomError: BUSY,
    EndedForRoomError: ENDED_FOR_ROOM,
    EndedByOperatorError: ENDED_BY_OPERATOR,
    TooManyWaitingError: BUSY,
    LinkLostError: AGENT_LOST,
    StreamRefusedError: UNREACHABLE,
    RequestRefusedError: BAD_REQUEST,
    MessageTooLargeError: TOO_LARGE_FOR_AGENT,
    ServiceUnreachableError: UNREACHABLE,
    ServiceRefusedError: SERVICE_REFUSED,
    ServiceNotAllowedError: NOT_ALLOWED,
    NoSuchServiceError: NO_SUCH_SERVICE,
    ServiceSlowError: SERVICE_SLOW,
    ServiceBrokeOffError: BROKE_OFF,
    BadAnswerError: BAD_ANSWER,
    TlsFailedError: TLS_FAILED,
    TooSlowError: TOO_SLOW,
    StoppingError: STOPPING,
    ClientTooSlowError: REQUEST_TIMEOUT,
}


def problem_of(error: TunnelError) -> Problem:
    """The answer to an error of the tunnel: the only table of them."""
    for kind in type(error).__mro__:
        if kind in _BY_ERROR:
            return _BY_ERROR[kind]
    return INTERNAL


_WHERE_SENT = {STOPPING: STOPPED_UNANSWERED, NO_AGENT: AGENT_LOST}
_WHERE_NOT_SENT = {AGENT_LOST: NO_AGENT}


def refusal_of(error: TunnelError, *, sent: bool) -> Problem:
    """The answer to a client whose request failed with this error; `sent`: some of the request had left us.

    "Try again" (503, Retry-After) is said only of a request that nobody had: another could be carried out twice. What
    another node did not pass on, nobody had.
    """
    problem = problem_of(error)
    if isinstance(error, NotPassedOnError):
        return problem
    return (_WHERE_SENT if sent else _WHERE_NOT_SENT).get(problem, problem)


def detail_of(error: TunnelError) -> str:
    """What a client is told about this error beyond its problem, mostly nothing."""
    if isinstance(error, NoAgentError) and error.waited_seconds > 0:
        return f"The request waited {error.waited_seconds:.1f} s for it to reconnect"
    return ""


_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{status} {title}</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:36em;margin:12vh auto;padding:0 1em;color:#222}}
h1{{font-size:1.5em}}code{{color:#666}}@media(prefers-color-scheme:dark){{body{{background:#181818;color:#ddd}}}}</style>
<h1>{title}</h1><p>{what}</p><p>{hint}</p><p><code>{status} {code}</code></p></html>
"""


def render(problem: Problem, request_headers: Headers, detail: str = "") -> tuple[int, Headers, bytes]:
    """Status, ASGI headers and body of the answer.

    `detail` is shown to the client, so it must come from the client's own request, or from `detail_of`.
    """
    wants_page = any(name == b"accept" and b"text/html" in value for name, value in request_headers)
    what = f"{problem.what} ({detail})" if detail else problem.what
    if wants_page:
        texts = {"title": problem.title, "what": what, "hint": problem.hint, "code": problem.code}
        escaped = {name: html.escape(text) for name, text in texts.items()}
        body = _PAGE.format(status=problem.status, **escaped).encode()
        media_type = b"text/html; charset=utf-8"
    else:
        answer: Mapping[str, Any] = {
            "code": problem.code, "status": problem.status, "message": what, "hint": problem.hint
        }  # fmt: skip
        body = msgspec.json.encode(answer) + b"\n"
        media_type = b"application/json"
    headers: Headers = [
        (b"content-type", media_type),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    if problem.retry_after is not None:
        headers.append((b"retry-after", str(problem.retry_after).encode()))
    return problem.status, headers, body
