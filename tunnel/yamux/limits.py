"""The bounds of one session: every buffer it holds, and what it promises."""

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Limits:
    """All in bytes or in streams, all at least 1.

    The worst case of received and unsent bytes that a session holds: none received (they are handed on at
    once), `send_buffer_bytes` plus one `send_data` call per stream, and about 260 KiB of control frames.
    """

    initial_window: int = 262_144
    """Both ends' window when a stream starts. Fixed by the protocol; another value only for tests."""
    max_window: int = 16 * 1024 * 1024
    """What one stream's receive window may grow to: 16 MiB fill a 1 Gbit/s path of 130 ms."""
    frame_bytes: int = 16_384
    """The largest data body we send: at 1 Gbit/s another stream waits 0.13 ms for it."""
    send_buffer_bytes: int = 65_536
    """Per stream: at or above it `send_data` reports full. One `data_to_send` batch."""
    max_unacknowledged_opens: int = 200
    """Below the 256 at which hashicorp's accept backlog answers with RST."""
    accept_backlog: int = 256
    """Streams of the peer that the application has not accepted yet; more are refused with RST."""
    max_streams: int = 16_384
    """Live streams in all, with those whose RST has not left yet."""
    control_bytes: int = 65_536
    """Queued answers (pongs, refusals) above which the session ends: 5,461 that the peer did not take."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value < 1:
                raise ValueError(f"{field.name} must be at least 1, not {value}")
        if self.max_window < self.initial_window:
            raise ValueError(f"max_window {self.max_window} is below initial_window {self.initial_window}")
