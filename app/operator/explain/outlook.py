"""What would become of a request, as far as that is known before anything is sent.

Asks what the public side asks, of the same objects and in the same order: `app/public/routed.py` for the route,
`HttpCall.begin` and `WebSocketCall.begin` for the rest. Takes nothing: a ticket is given back at once.
"""

from dataclasses import dataclass, replace

from tunnel.errors import NoAgentError, NoRoomError, TunnelError
from tunnel.gateway.link import Link
from tunnel.gateway.proxied.request import UnsayableError, check_target, checked_query, decoded_path
from tunnel.port import Target, Upstream

from ...node.asking import OtherNode, named
from ...node.gateway import Gateway
from ...observed.record import printable
from ...rules import own_paths, problems
from ...rules.hosts import normalise_host
from ...rules.problems import Problem
from ...rules.request import Request
from ...rules.routes import Route, UnsafePathError, match
from ...settings.hosts import is_address
from .absence import Cause, why_no_link, why_no_route
from .label import Label


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is known of a request. `code`: `ok`, or the code of the answer that it would get."""

    label: str
    """Which verdict it is: the code, or one that says more."""
    code: str = "ok"
    status: int | None = None
    route: Route | None = None
    link: Link | None = None
    node: str = ""
    """The id of another node, whose agent it would go to."""
    detail: str = ""
    """What happened, where more is known than the label says: for the operator."""

    @property
    def may_be_sent(self) -> bool:
        """Whether a probe shows more: not of our own endpoints, nor where new clients get no connection."""
        return self.label not in (Label.OURS, Label.CLOSED)


def outlook_of(gateway: Gateway, request: Request) -> Outlook:
    """The outlook of a request or a WebSocket that came now."""
    host = normalise_host(request.host.decode("ascii"))
    if gateway.closing and gateway.listeners:
        return Outlook(Label.CLOSED, problems.STOPPING.code, problems.STOPPING.status)
    try:
        route = match(gateway.routes_of(host), request.path)
    except UnsafePathError as error:
        return _refused(problems.UNSAFE_PATH, detail=str(error))
    if route is None:
        if _is_ours(gateway, host, request):
            return Outlook(Label.OURS)
        return _because(problems.NO_ROUTE, why_no_route(gateway, host, request.path))
    problem = _problem_of(gateway, route, request)
    if problem is not None:
        return _refused(problem, route=route)
    return _on_a_link(gateway, route, request)


def _is_ours(gateway: Gateway, host: str, request: Request) -> bool:
    """Whether one of our own endpoints answers. An address is taken for the one that the connection comes in on."""
    settings, path = gateway.settings, request.path
    if path in own_paths.HEALTH:
        return not request.is_websocket
    if host not in settings.control_hosts and not is_address(host):
        return False
    if request.is_websocket:
        return path in own_paths.SOCKETS
    for_operator = settings.admin_token_hash is not None and settings.admin_bind is None
    return own_paths.is_call(path) or (for_operator and (path == b"/metrics" or path.startswith(b"/-/")))


def _problem_of(gateway: Gateway, route: Route, request: Request) -> Problem | None:
    """Why a request or a WebSocket is refused whatever its cluster does."""
    policy = route.policy
    if request.method == "TRACE" and not policy.allow_trace:
        return problems.NOT_IMPLEMENTED
    if policy.rewrite is not None and (problem := policy.rewrite.refusal(request)) is not None:
        return problem
    if gateway.closing:
        return problems.STOPPING
    if request.is_websocket:
        ticket = gateway.admission.admit(route, request, gateway.settings.max_websockets_per_cluster)
    elif policy.max_requests_per_client is not None:
        ticket = gateway.admission.admit_request(route, request)
    else:
        return None
    if isinstance(ticket, Problem):
        return ticket
    ticket.release()
    return None


def _on_a_link(gateway: Gateway, route: Route, request: Request) -> Outlook:
    target = route.target
    try:
        upstream = gateway.choose(route, request)
    except NoAgentError:
        return _because(problems.NO_AGENT, why_no_link(gateway, route), route)
    except TunnelError as error:
        problem = problems.refusal_of(error, sent=False)
        label = Label.FULL if isinstance(error, NoRoomError) else problem.code
        return _refused(problem, label, route=route, detail=str(error))
    if upstream is None:
        seconds = gateway.registry.seconds_of_grace(target.pool)
        whose = f"{printable(target.publisher)} of" if target.publisher else "of"
        who = f"no agent {whose} cluster {target.cluster}"
        text = f"{who} takes requests now; a request waits up to {seconds:.1f} s for it"
        return _because(problems.NO_AGENT, Cause(Label.RETURNING, text), route)
    link = next((link for link in gateway.registry.links(target.pool) if link.name == upstream.label), None)
    refused = _refused_by_dialect(route, request, upstream.dialect)
    if refused is not None:
        return replace(refused, link=link)
    outlook = Outlook(Label.DRAINING if gateway.draining else Label.NOT_SENT, route=route, link=link)
    return (
        outlook
        if not upstream.node
        else replace(outlook, node=upstream.node, detail=_by_hop(gateway, target, upstream))
    )


def _by_hop(gateway: Gateway, target: Target, upstream: Upstream) -> str:
    """What happens where another node's agent would be asked."""
    others = gateway.ask.others() if gateway.ask is not None else ()
    node = next((other for other in others if other.node == upstream.node), OtherNode(node=upstream.node, name=""))
    ends = ", and this node is draining" if gateway.draining else "; nothing was sent"
    return f"cluster {target.cluster} has an agent on {named([node])}, and a request here would hop to it{ends}"


def _refused_by_dialect(route: Route, request: Request, dialect: str) -> Outlook | None:
    """What cannot be carried unchanged as JSON is refused before anything is sent."""
    if dialect == "yamux":
        return None
    rewrite = route.policy.rewrite
    try:
        check_target(route.target, dialect)
        decoded_path(rewrite.path_of(request) if rewrite is not None else request.path, dialect)
        checked_query(request.query, dialect)
    except UnsayableError as error:
        return _refused(problems.BAD_REQUEST, route=route, detail=str(error))
    except TunnelError as error:
        return _refused(problems.problem_of(error), route=route, detail=str(error))
    return None


def _because(problem: Problem, cause: Cause, route: Route | None = None) -> Outlook:
    return _refused(problem, cause.label, route=route, detail=cause.text)


def _refused(problem: Problem, label: str = "", *, route: Route | None = None, detail: str = "") -> Outlook:
    return Outlook(label or problem.code, problem.code, problem.status, route, detail=detail)
