"""What can go wrong in a yamux session, by blame and by scope.

A `LocalError` is ours: the state of the session or stream does not allow the call; the session continues. A
`ProtocolError` is the peer's and ends the session: only a go-away frame is left to send. Whatever a peer sends,
nothing else is raised for it.
"""
# The names are the package's interface, and read better in `except` clauses without the suffix.
# ruff: noqa: N818


class YamuxError(Exception):
    """Everything that this package raises on purpose, except ValueError for impossible arguments."""


class LocalError(YamuxError):
    """Blame: the caller. Scope: the call. Nothing was changed and nothing will be sent."""


class StreamClosed(LocalError):
    """The stream takes no more data: it was ended or reset, by either side, or never existed."""


class GoneAway(LocalError):
    """No stream can be opened any more: the peer sent a go-away, or the session ended with an error."""


class TooManyStreams(LocalError):
    """No stream can be opened now: `Limits.max_streams` are alive."""


class StreamIdsExhausted(LocalError):
    """No stream can be opened any more: all 2^31 ids of our side are used. Start a new session."""


class ProtocolError(YamuxError):
    """Blame: the peer. Scope: the session, which is over. The text names the frame, never its content."""


class InvalidVersion(ProtocolError):
    """A header with a version other than 0: most likely the two ends are out of step."""


class InvalidType(ProtocolError):
    """A header with a type other than data, window update, ping and go-away."""


class InvalidStreamId(ProtocolError):
    """A SYN for id 0, or for an id of our own parity."""


class DuplicateStream(ProtocolError):
    """A SYN for an id that is alive, or was used before."""


class WindowExceeded(ProtocolError):
    """A data header that announces more than is left of the stream's receive window."""


class CreditOverflow(ProtocolError):
    """A window update that raises our credit above 2^32-1."""


class UnexpectedFlag(ProtocolError):
    """A second FIN on a stream."""


class FloodError(ProtocolError):
    """The peer asks for answers (pings, refused opens) faster than it reads them: `Limits.control_bytes`."""
