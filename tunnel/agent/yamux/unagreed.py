"""The carrier of a link on which yamux is not agreed yet: it carries nothing."""

from collections.abc import Callable

from tunnel.agent.carrier import CONTROL_WAITING_BYTES, Carrier
from tunnel.agent.traffic import Running
from tunnel.override import override
from tunnel.wire import messages


class Unagreed(Carrier):
    """Gives way to a `SpliceCarrier` with the gateway's hello. `note` logs what is ignored."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note

    def __repr__(self) -> str:
        return "<Unagreed>"

    @property
    @override
    def message_limit_bytes(self) -> int:
        return messages.ENVELOPE_LIMIT_BYTES

    @property
    @override
    def round_trip_seconds(self) -> float | None:
        return None

    @override
    def running(self) -> Running:
        return Running()

    @override
    def message_received(self, envelope: messages.Envelope, text: bytes, /) -> bool:
        return False

    @override
    def bytes_received(self, data: bytes, now: float, /) -> None:
        self._note("binary message before yamux was agreed")

    @override
    def ping_received(self, answer: Callable[[], None], /) -> None:
        answer()

    @override
    def may_send_control(self, waiting_bytes: int, /) -> bool:
        return waiting_bytes < CONTROL_WAITING_BYTES

    @override
    def probe(self, now: float, /) -> bool:
        """Nothing to ask with but the WebSocket's own ping."""
        return False

    @override
    def flush(self) -> None:
        """Nothing waits."""

    @override
    def pause(self) -> None:
        """Nothing is sent."""

    @override
    def resume(self) -> None:
        """Nothing waits."""

    @override
    def drain(self) -> None:
        """Nothing runs: the link closes at once."""

    @override
    def lost(self, reason: str, /) -> None:
        """Nothing is open."""
