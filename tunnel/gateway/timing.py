"""When a silent link is closed."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """When a silent link is closed, in seconds."""

    ping_interval: float = 1.0
    """How long a link may be silent before it gets a ping; yamux agents are asked to ping as often."""
    ping_timeout: float = 4.4
    """How much longer it may be silent then. With a tick of half a second a path that is cut is noticed within 5.9 s,
    and a cut of 4.4 s costs nothing. With 3 s of reconnect grace, clients of a frozen agent are answered within 9 s."""
    joining: float = 75.0
    """Until the link is ready. The existing agent may be silent for 30 s after a reconnect (tunnel/PROTOCOL.md,
    section 4) and sends a heartbeat every 30 s."""
