"""The bounds of one session: of each of its buffers, and of what it promises."""

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Limits:
    """All in bytes or in streams, all at least 1.

    At worst a session holds no received bytes (they are passed on at once), `send_buffer_bytes` plus one `send_data`
    call per stream, and about 260 KiB of control frames.
    """

    initial_window: int = 262_144
    """The window of both ends when a stream starts. Fixed by the protocol; tests use other values."""
    max_window: int = 16 * 1024 * 1024
    """The largest receive window of a stream: 16 MiB fill a path of 1 Gbit/s and 130 ms."""
    frame_bytes: int = 16_384
    """The largest data body that we send while other streams wait: at 1 Gbit/s each waits 0.13 ms for it."""
    lone_frame_bytes: int = 65_488
    """The same while none does: all of a batch, because each frame costs as much as copying it three times."""
    send_buffer_bytes: int = 65_536
    """Per stream: from here on `send_data` reports full. The size of one batch."""
    max_unacknowledged_opens: int = 200
    """Below the 256 at which hashicorp's accept backlog answers with RST."""
    accept_backlog: int = 256
    """Streams of the peer that the application has not accepted; more are refused with RST."""
    max_streams: int = 16_384
    """All live streams, including those whose RST has not been sent."""
    control_bytes: int = 65_536
    """Queued answers (pongs, refusals). Above it the session ends: the peer left 5,461 of them unread."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value < 1:
                raise ValueError(f"{field.name} must be at least 1, not {value}")
        if self.max_window < self.initial_window:
            raise ValueError(f"max_window {self.max_window} is below initial_window {self.initial_window}")
