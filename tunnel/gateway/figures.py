"""What a carrier knows of the traffic on its link at one moment, for the operator. The data path keeps none of it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one link."""

    streams: int = 0
    """Open ones, with those that are kept for the next request."""
    window_bytes: int = 0
    """How many bytes may be on their way at once. yamux: what the agent may send, on all streams together. Else: of
    uploads, to the agent."""
    stalled_streams: int = 0
    """Those for which bytes wait: the agent takes no more of them, or the client has not taken what came."""
    bytes_waiting: int = 0
    """Bytes that wait to leave for the agent."""
    round_trip_seconds: float | None = None
    """None: not measured yet."""


NO_FIGURES = Figures()
