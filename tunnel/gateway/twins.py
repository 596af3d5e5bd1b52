"""Two processes with one agent id: when a newer link may no longer replace the older one.

"The newest link wins" is right for an agent that came back. Two pods with one id would replace each other for ever,
each time breaking off what the other carries. Sans-I/O: gets the time with each call. The rules:

1. A link may replace a live link of the same agent three times within 30 s.
2. After that the older link stays and a newcomer is refused. Each refusal holds the newcomers of its pool off for 30 s:
   the existing agent names itself only in its first heartbeat, so at the handshake only its cluster is known.
3. The quarrel is forgotten 90 s after its last newcomer (that agent redials at least every 75 s), and at once when the
   agent has no link any more. So a single agent that reconnects quickly waits at most until the gateway's pings have
   given up its old link.
"""

from collections import deque

from tunnel.port import Pool

REPLACEMENTS = 3
WITHIN_SECONDS = 30.0
HOLD_SECONDS = 30.0
FORGET_SECONDS = 90.0


class _Quarrel:
    __slots__ = ("held_until", "last", "replaced_at")

    def __init__(self) -> None:
        self.replaced_at: deque[float] = deque(maxlen=REPLACEMENTS)
        self.held_until: float | None = None
        self.last = 0.0


class Twins:
    """The agents of one registry that were replaced lately; at most one entry per agent with a live link."""

    def __init__(self) -> None:
        self._quarrels: dict[tuple[Pool, str], _Quarrel] = {}

    def may_replace(self, pool: Pool, agent_id: str, now: float) -> bool:
        """A newcomer names itself as an agent with a live link. True: replace that link. False: refuse the newcomer."""
        quarrel = self._quarrels.setdefault((pool, agent_id), _Quarrel())
        if quarrel.held_until is not None and now - quarrel.last < FORGET_SECONDS:
            quarrel.held_until, quarrel.last = now + HOLD_SECONDS, now
            return False
        quarrel.replaced_at.append(now)
        quarrel.last, quarrel.held_until = now, None
        if len(quarrel.replaced_at) == REPLACEMENTS and now - quarrel.replaced_at[0] <= WITHIN_SECONDS:
            quarrel.held_until = now + HOLD_SECONDS
        return True

    def is_contested(self, pool: Pool, agent_id: str) -> bool:
        """Whether the last replacement was the last one allowed, or a newcomer was refused since."""
        quarrel = self._quarrels.get((pool, agent_id))
        return quarrel is not None and quarrel.held_until is not None

    def hold_off(self, pool: Pool, now: float) -> bool:
        """Whether a newcomer of this pool that cannot name itself yet is refused."""
        return any(
            name == pool and quarrel.held_until is not None and now < quarrel.held_until
            for (name, _), quarrel in self._quarrels.items()
        )

    def gone(self, pool: Pool, agent_id: str) -> None:
        """The agent has no link any more; idempotent."""
        self._quarrels.pop((pool, agent_id), None)

    def __repr__(self) -> str:
        return f"<Twins {sorted(self._quarrels, key=str)}>"
