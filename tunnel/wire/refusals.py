"""Why an agent gave a stream no connection: the `kind` of its `stream_refused`. Both ends know these words.

A kind that the gateway does not know counts as `OTHER`, so newer agents may say more.
"""

REFUSED = "refused"
"""Nothing listens on the port."""
NOT_ALLOWED = "not_allowed"
"""The agent's own rules forbid it."""
NO_SUCH_NAME = "no_such_name"
"""The service's name has no address."""
SLOW = "slow"
"""No connection in the agent's time for it."""
OTHER = ""
