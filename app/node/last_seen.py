"""When a link of each cluster was last there, in the wall clock. The clusters that were lost longest ago are forgotten.

Only for the operator: who may wait for a link, and how long, is for the registry to say.
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

MOST_CLUSTERS: Final = 1_000
"""Each costs 0.2 KiB."""


class LastSeen:
    """cluster -> when its latest link ended."""

    __slots__ = ("_ended",)

    def __init__(self) -> None:
        self._ended: OrderedDict[str, float] = OrderedDict()

    def ended(self, cluster: str, now: float) -> None:
        """A link of this cluster has ended."""
        self._ended[cluster] = now
        self._ended.move_to_end(cluster)
        if len(self._ended) > MOST_CLUSTERS:
            self._ended.popitem(last=False)

    def of(self, cluster: str) -> float | None:
        """When its latest link ended. None: it had none, or we have forgotten."""
        return self._ended.get(cluster)

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._ended))

    def __len__(self) -> int:
        return len(self._ended)

    def __repr__(self) -> str:
        return f"<LastSeen {len(self)} clusters>"
