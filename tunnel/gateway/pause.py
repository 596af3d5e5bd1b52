"""A pause of this process (SIGSTOP, a frozen host), and the proof of life that a peer owes after one.

A peer may have given us up meanwhile, with its connection still open: after 8 s the existing agent ignores each byte of
its yamux session (tunnel/PROTOCOL.md, section 4). So after a pause the peer is asked at once, and only the answer to a
ping that left after the pause counts: everything else may have been sent before the peer gave up.

Never decides by what happened during the pause: the time for the answer begins after it, and what came in meanwhile is
read first. Gets the time only from its callers.
"""

PAUSE_SECONDS = 2.0
"""Ticks come twice a second. One that is later than this found the process asleep, or far too busy."""

PROOF_SECONDS = 3.0
"""For the answer: a long round trip of 1 s, and as much again for what is queued on either side."""

_SENDING_SECONDS = 1.0
"""A peer that was silent for longer is not one whose answer is stuck behind what it sends."""


class Pause:
    """The last pause of this process, as one link sees it."""

    __slots__ = ("_ended_at", "_last_tick", "_until")

    def __init__(self, now: float) -> None:
        self._last_tick = now
        self._ended_at: float | None = None  # until the peer has proved that it is there
        self._until = now

    def ended(self, now: float) -> bool:
        """Call it with every tick. True: the process stood still until now, so ask the peer at once."""
        paused = now - self._last_tick > PAUSE_SECONDS
        self._last_tick = now
        if paused:
            self._ended_at, self._until = now, now + PROOF_SECONDS
        return paused

    def is_unproved(self, now: float, answered_at: float | None) -> bool:
        """Whether the time for the proof is over without one.

        `answered_at`: when the latest ping that was answered had left; None: this peer's pings have no answer of their
        own, and anything that it sends is proof.
        """
        ended_at = self._ended_at
        if ended_at is None:
            return False
        if answered_at is None or answered_at > ended_at - PAUSE_SECONDS / 2:  # earlier pings left before the pause
            self._ended_at = None
            return False
        return now > self._until

    def extend(self, now: float, silent_seconds: float, longest_seconds: float) -> bool:
        """Give a peer on a slow path, from which something comes all the time, another second. False: close it."""
        self._until = now + _SENDING_SECONDS
        since = self._ended_at if self._ended_at is not None else now
        return silent_seconds <= _SENDING_SECONDS and now - since < longest_seconds

    def __repr__(self) -> str:
        return f"<Pause {'over' if self._ended_at is None else f'ended at {self._ended_at:.1f}'}>"
