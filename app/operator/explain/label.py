"""Names of verdicts that say more than the code of an answer. `docs/operation.md` has each of them."""

from enum import StrEnum


class Label(StrEnum):
    """Why, where one code has several causes, or none."""

    # ok
    ANSWERED = "answered"
    """The service answered, or opened the WebSocket."""
    DECLINED = "declined"
    """The service refused the WebSocket, with an answer of its own."""
    NOT_SENT = "not_sent"
    """Nothing stands against it, and nothing was sent."""
    DRAINING = "draining"
    """It is served, but the node is about to stop."""
    OURS = "ours"
    """The gateway itself answers there."""
    # no_route
    NO_SUCH_HOST = "no_such_host"
    WRONG_PATH = "wrong_path"
    CONTROL_HOST = "control_host"
    """Nobody can route a control host."""
    SHADOWED = "shadowed"
    """An agent registered or published it, and the host has other routes, which come first."""
    UNCOVERED = "no_token"
    """An agent registered or published it, and no token covers it any more."""
    EXPIRED = "expired"
    """An agent registered it, and did not renew it."""
    UNPUBLISHED = "unpublished"
    """An agent published it until lately."""
    REFUSED = "refused"
    """An agent wanted to register or publish it."""
    # no_agent
    UNKNOWN_CLUSTER = "unknown_cluster"
    """No token covers the cluster."""
    AGENT_REFUSED = "agent_refused"
    """An agent that claims the cluster was refused."""
    NEVER_CONNECTED = "never_connected"
    AWAY = "away"
    PUBLISHER_AWAY = "publisher_away"
    """The agent that published it is not connected."""
    NOT_READY = "not_ready"
    """It has a link, and that takes no requests now."""
    RETURNING = "returning"
    """A request waits for the agent, which may be on its way."""
    # others
    FULL = "full"
    """busy: the process holds too many bytes."""
    CLOSED = "closed"
    """stopping: the node takes no new connection."""
    NO_ANSWER = "no_answer"
    """client_left: the probe waited for as long as it may."""
