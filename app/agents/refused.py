"""Why an agent is refused: what it is told, and what the operator is told.

Each problem that an agent is answered with has one reason, which log, events and the metric share. An agent whose token
is unknown learns only that: whoever guesses tokens learns nothing else. The codes are older than the reasons, and stay.
"""

import re
from typing import Final
from urllib.parse import unquote_to_bytes

from ..node.gateway import Gateway
from ..node.seats import TOO_MANY
from ..observed.metrics import AgentRefused
from ..rules import problems
from ..rules.problems import Problem
from ..rules.request import Request
from ..settings import token_hash

_COMPARE = "Ask the operator to compare the agent's token and cluster with [[agents]] in the gateway's configuration."

NO_TOKEN: Final = Problem(503, "agent_refused", "Agent refused", "The agent sent no token.", _COMPARE, 5)
UNKNOWN_TOKEN: Final = Problem(503, "agent_refused", "Agent refused", "The agent's token is unknown here.", _COMPARE, 5)
NOT_COVERED: Final = Problem(
    503, "agent_refused", "Agent refused", "The agent's token does not cover the cluster that the agent names.",
    _COMPARE, 5,
)  # fmt: skip
WRONG_HOST: Final = Problem(
    503, "not_a_control_host", "Not an address for agents", "The gateway does not serve agents on this host.",
    "Ask the operator to set public_url or control_hosts to the host that the agent dials.", 5,
)  # fmt: skip
TWIN: Final = Problem(
    503, "agent_twin", "Another agent with this id", "Two processes of this cluster seem to have one agent id.",
    "Ask the operator to look for replicas: 2, or for an old pod on a partitioned node.", 30,
)  # fmt: skip
REVOKED: Final = Problem(
    401, "token_revoked", "Token revoked", "This agent's token was revoked.", "Ask the operator for a new token."
)

_REASONS: Final = {
    NO_TOKEN: AgentRefused.NO_TOKEN,
    UNKNOWN_TOKEN: AgentRefused.UNKNOWN_TOKEN,
    NOT_COVERED: AgentRefused.NOT_COVERED,
    WRONG_HOST: AgentRefused.WRONG_HOST,
    TWIN: AgentRefused.TWIN,
    REVOKED: AgentRefused.TOKEN_REVOKED,
    TOO_MANY: AgentRefused.FULL,
    problems.TOO_MANY_CONNECTIONS: AgentRefused.FULL,
    problems.BUSY: AgentRefused.FULL,
    problems.STOPPING: AgentRefused.STOPPING,
}

_CLAIM: Final = re.compile(rb"(?:^|&)cluster_uuid=([^&]{1,384})")


def reason_of(problem: Problem) -> AgentRefused:
    """Why, for log, events and metric."""
    return _REASONS.get(problem, AgentRefused.BAD_CALL)


def tell(
    gateway: Gateway, request: Request, reason: AgentRefused, code: int, why: str, *, cluster: str = "", agent: str = ""
) -> None:
    """Tell the operator that this agent was refused. `code`: the status, or the code of the close, with which."""
    token = token_hash(request.bearer_token) if request.bearer_token else b""
    gateway.refused_agents.told(
        reason, code, why,
        address=request.client, cluster=cluster or claimed_cluster(gateway, request, token), agent=agent, token=token,
    )  # fmt: skip


def tell_of_path(gateway: Gateway, request: Request) -> None:
    """Tell the operator of a WebSocket handshake at a control host for a path that nobody serves.

    Only where it brings a token: browsers bring none.
    """
    if request.bearer_token:
        path = request.path[:100].decode("ascii", "backslashreplace")
        why = f"nothing for agents at path {path!r}"
        tell(gateway, request, AgentRefused.WRONG_PATH, problems.NO_ROUTE.status, why)


def claimed_cluster(gateway: Gateway, request: Request, token: bytes) -> str:
    """The cluster that a handshake names, else the only one of its token. Empty: it is not known."""
    found = _CLAIM.search(request.query)
    if found is not None:
        return unquote_to_bytes(found[1]).decode("utf-8", "replace")
    grant = gateway.settings.grants.get(token)
    return grant.clusters[0] if grant is not None and len(grant.clusters) == 1 else ""
