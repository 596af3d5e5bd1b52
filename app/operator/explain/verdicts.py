"""What each verdict says, and what to do: in words, for the operator.

By label where there is one (`label.py`), else by the code of the answer. `docs/operation.md` explains the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ...rules import problems
from ...rules.problems import Problem
from .label import Label


@dataclass(frozen=True, slots=True)
class Verdict:
    """What happened, where nothing more exact is known, and the next step. An empty hint: nothing is to be done."""

    text: str
    hint: str


CODES: Final = {value.code: value for value in vars(problems).values() if isinstance(value, Problem)}

_ROUTES: Final = "GET /-/routes (tunnel-gateway routes) lists what is published."
_AGENT: Final = "Check that the agent is running. Its log says why it cannot connect."

VERDICTS: Final[Mapping[str, Verdict]] = {
    Label.ANSWERED: Verdict("the service answered", ""),
    Label.DECLINED: Verdict(
        "the service refused the WebSocket", "See the service's own log: the handshake reached it, and it said no."
    ),
    Label.NOT_SENT: Verdict(
        "nothing that the gateway knows stands against it; nothing was sent",
        "Send a probe (probe=true) to see what the service says.",
    ),
    Label.DRAINING: Verdict(
        "it is served, but this node is draining",
        "If the node is meant to stop, do nothing: balancers leave it by /readyz.",
    ),
    Label.OURS: Verdict("the gateway itself answers there; no service gets the request", ""),
    Label.NO_SUCH_HOST: Verdict(
        "nothing is published at this host",
        "Compare the host with those below. To publish it, add a [[routes]] entry, or run tunnel-agent http with a "
        f"token that covers it. {_ROUTES}",
    ),
    Label.WRONG_PATH: Verdict(
        "the host is published, but no prefix fits the path", "Compare the path with the prefixes of the host's routes."
    ),
    Label.CONTROL_HOST: Verdict(
        "the host is a control host",
        "Publish the application at another host, or take this one out of control_hosts and public_url.",
    ),
    Label.SHADOWED: Verdict(
        "an agent registered it, but the host has other routes, which come first",
        "A host of the file has no routes of agents; one that an agent publishes, only what this agent publishes.",
    ),
    Label.UNCOVERED: Verdict(
        "an agent registered or published it, but no token covers it any more",
        "Restore hosts and clusters of the agent's [[agents]] entry, or add the route to the file.",
    ),
    Label.EXPIRED: Verdict(
        "an agent registered it, and did not renew it in time",
        "Check that the agent is still running: it registers its routes again when it starts, and every 5 minutes.",
    ),
    Label.UNPUBLISHED: Verdict(
        "an agent published it until lately",
        "Start the agent again where it ran: tunnel-agent http with the same host.",
    ),
    Label.REFUSED: Verdict(
        "an agent wanted to register or publish it, and was refused",
        "Compare the reason with hosts, clusters and max_published of the agent's [[agents]] entry.",
    ),
    Label.UNKNOWN_CLUSTER: Verdict(
        "no token covers the cluster",
        "Add the cluster to the clusters of an [[agents]] entry, or correct the route's cluster.",
    ),
    Label.AGENT_REFUSED: Verdict(
        "an agent that claims the cluster was refused",
        "Compare the agent's token and --cluster with [[agents]]: the token has to cover this cluster.",
    ),
    Label.NEVER_CONNECTED: Verdict("no agent of the cluster has connected since this gateway started", _AGENT),
    Label.AWAY: Verdict("no agent of the cluster is connected", _AGENT),
    Label.PUBLISHER_AWAY: Verdict(
        "the agent that published it is not connected",
        "Check that tunnel-agent http still runs there; if it comes back within 60 s it has the address again at once.",
    ),
    Label.OUT_OF_REACH: Verdict(
        "another node has an agent of the cluster, and this node does not reach that one",
        "GET /-/nodes (tunnel-gateway nodes) says why the peer link is down. The agent is well: do not restart it.",
    ),
    Label.NOT_READY: Verdict(
        "the cluster is connected, but no link takes requests",
        "GET /-/links (tunnel-gateway links) shows the state of each. A link that joins for long: see the agent's log.",
    ),
    Label.RETURNING: Verdict(
        "the cluster's agent was lost just now, and requests wait for it",
        "Ask again in a few seconds: the agent comes back, or the answer says why not.",
    ),
    Label.FULL: Verdict(
        "the gateway holds as many bytes as it may", 'See "Memory" in docs/operation.md: who does not read?'
    ),
    Label.CLOSED: Verdict("this node is stopping and takes no new connection", "Ask another node."),
    Label.NO_ANSWER: Verdict(
        "no answer came while the probe waited",
        "See why the service is slow. Clients wait as long as response_head_timeout or upgrade_timeout of the route.",
    ),
    "https_redirect": Verdict(
        "the client is sent to https",
        "Ask with https. If clients did: the proxy that ends TLS has to be in trusted_proxies, and to say so.",
    ),
    "unsafe_path": Verdict(
        "once decoded, the path would lead to another route, or out of the service's own part",
        "Ask for the path without %2F, // and dot segments.",
    ),
    "bad_request": Verdict(
        "the request is not valid, or the agent's dialect cannot carry it",
        "The detail names what is wrong. Over json and chunk: connect an agent with yamux.",
    ),
    "no_route": Verdict("nothing is published at this address", _ROUTES),
    "no_agent": Verdict("no agent of the cluster is connected", _AGENT),
    "agent_lost": Verdict("the agent disconnected before it answered", _AGENT),
    "busy": Verdict(
        "the gateway has no room for another request", "See gateway_limits_hit_total: waiting, streams_link."
    ),
    "ended_for_room": Verdict("the gateway ended the request to make room", 'See "Memory" in docs/operation.md.'),
    "ended_by_operator": Verdict("somebody ended the probe", "The events have exchange_ended_by_operator."),
    "stopping": Verdict("this node is stopping", "Ask another node."),
    "stopping_unanswered": Verdict("this node stopped before the service answered", "Ask another node."),
    "service_refused": Verdict(
        "nothing accepts connections at the service's port",
        "Check that the service runs, and that the route's port is the one it listens on.",
    ),
    "not_allowed": Verdict(
        "the agent may not reach the service", "Add the service to the agent's --service or --allow."
    ),
    "no_such_service": Verdict(
        "the service's name has no address in the cluster",
        "Compare service and namespace of the route with the cluster.",
    ),
    "service_slow": Verdict(
        "the agent got no connection to the service in time",
        "Check network policies and the service's node: packets are dropped, or nothing is accepted.",
    ),
    "service_unreachable": Verdict(
        "the service closed the connection without an answer", "See the service's own log, and the agent's."
    ),
    "service_broke_off": Verdict("the service closed the connection during its answer", "See the service's own log."),
    "bad_answer": Verdict(
        "the service's answer breaks its protocol",
        "Compare scheme and port of the route with what the service speaks: it may want TLS.",
    ),
    "tls_failed": Verdict(
        "TLS with the service failed",
        "The detail says how. Compare scheme, port, ca_file and server_name of the route with what the service has.",
    ),
    "service_too_slow": Verdict(
        "the service did not begin its answer in time",
        "See why the service is slow, or raise response_head_timeout or upgrade_timeout of the route.",
    ),
    "origin_refused": Verdict(
        "pages of this origin may not open WebSockets here", "If they should, add the origin to origins of the route."
    ),
    "too_many_websockets": Verdict(
        "the route has as many open WebSockets as it allows", "Raise max_websockets of the route, or close some."
    ),
    "too_many_websockets_of_cluster": Verdict(
        "the cluster has as many open WebSockets as it may", "Raise max_websockets_per_cluster, or close some."
    ),
    "too_many_websockets_of_client": Verdict(
        "your own address has as many open WebSockets as a client may",
        "Raise max_websockets_per_client, or close some.",
    ),
    "too_many_requests_of_client": Verdict(
        "your own address has as many running requests as a client may",
        "Raise max_requests_per_client, or ask again when some have ended.",
    ),
    "not_implemented": Verdict("the gateway does not carry this method here", "TRACE needs allow_trace on the route."),
    "internal_error": Verdict("the gateway failed", "See the traceback in the gateway's log, and report it."),
    "broken_off": Verdict("the answer broke off", "The detail says who ended it. See the service's own log."),
    "client_left": Verdict("the probe left", "Ask again."),
}


def verdict_of(label: str) -> Verdict:
    """The verdict of a label, or of a code that has none: then what clients are told."""
    known = VERDICTS.get(label)
    if known is None:
        problem = CODES.get(label, problems.INTERNAL)
        return Verdict(problem.what, problem.hint)
    return known
