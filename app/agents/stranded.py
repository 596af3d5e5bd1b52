"""Clusters whose agent registers routes over REST and has no link: when to warn of them.

The existing agent ends like that if anything but 101 answered it on the controller socket at its start: it reports
itself healthy and never dials again. An agent that is about to connect may register a moment before its link is there,
so a cluster counts only if it still has none a minute later. Sans-I/O: gets the time with each call. At most one entry
per cluster that a token covers.
"""

SETTLED_SECONDS = 60.0
"""From the first call without a link to the warning. Calls come every 5 min."""
AGAIN_SECONDS = 3600.0


class Stranded:
    """The clusters that called without a link."""

    def __init__(self) -> None:
        self._warn_at: dict[str, float] = {}

    def called(self, cluster: str, now: float, *, is_linked: bool) -> bool:
        """An agent of this cluster registered a route; whether to warn."""
        if is_linked:
            self._warn_at.pop(cluster, None)
            return False
        if now < self._warn_at.setdefault(cluster, now + SETTLED_SECONDS):
            return False
        self._warn_at[cluster] = now + AGAIN_SECONDS
        return True

    def __repr__(self) -> str:
        return f"<Stranded {sorted(self._warn_at)}>"
