"""The WebSockets that an agent was told to close, the newest of them: what still comes of those needs no answer.

Of any other that nobody has here the agent keeps a connection to its service for nothing: one of a gateway process
before this one, or one whose handshake succeeded after it was given up. It is told to close it, once.
"""

from tunnel.wire import messages

_REMEMBERED = 1_000

_MAY_OPEN = frozenset(("proxy_response_end", "proxy_response"))
"""Messages by which a handshake succeeds."""


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
        """Whether a message for nobody says that the agent has a WebSocket for nobody."""
        if len(request_id) > messages.NAME_LIMIT:
            return False  # no gateway's id
        if is_data:
            return request_id not in self._closed
        return kind in _MAY_OPEN and self._closed.get(request_id, False)

    def __repr__(self) -> str:
        return f"<ClosedStreams {len(self._closed)} remembered>"
