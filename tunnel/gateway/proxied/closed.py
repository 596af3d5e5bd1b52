"""The WebSockets that an agent was most recently told to close. What it still sends about them needs no answer.

An agent may also have a WebSocket that we do not know: from an earlier gateway process, or one whose handshake
succeeded after we gave up on it. Its connection to the service is then of no use, so the agent is told to close it,
once.
"""

from tunnel.wire import messages

_REMEMBERED = 1_000

_MAY_OPEN = frozenset(("proxy_response_end", "proxy_response"))
"""Messages that complete a handshake."""


class ClosedStreams:
    """Ids, each with whether the WebSocket was still in its handshake."""

    def __init__(self) -> None:
        self._closed: dict[str, bool] = {}

    def remember(self, request_id: str, *, in_handshake: bool) -> None:
        """The agent was told to close this one."""
        if len(self._closed) >= _REMEMBERED:
            del self._closed[next(iter(self._closed))]
        self._closed[request_id] = in_handshake

    def is_left_over(self, request_id: str, kind: str, *, is_data: bool) -> bool:
        """Whether a message that nobody waits for shows that the agent has a WebSocket which we do not know."""
        if len(request_id) > messages.NAME_LIMIT:
            return False  # not an id of a gateway
        if is_data:
            return request_id not in self._closed
        return kind in _MAY_OPEN and self._closed.get(request_id, False)

    def __repr__(self) -> str:
        return f"<ClosedStreams {len(self._closed)} remembered>"
