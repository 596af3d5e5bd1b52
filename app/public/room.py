"""How an exchange is told that it ends because the process holds too much."""

from typing import Final

from tunnel.errors import EndedForRoomError, NoRoomError, TunnelError

from ..observed.metrics import Limit

WHY: Final = {
    Limit.HELD_STALLED: "it stalled, and the gateway needed the room",
    Limit.HELD_HARD: "too much was held for this exchange",
}
"""For the operator."""


def error_of(limit: Limit, *, is_safe: bool) -> TunnelError:
    """Why a request ends. `is_safe`: it may be sent again, because nothing was sent or it changes nothing."""
    return (NoRoomError if is_safe else EndedForRoomError)(WHY[limit])
