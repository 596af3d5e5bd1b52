"""How many WebSockets other nodes have, where a limit counts them over all nodes. Made only where there are some.

Each node tells its counts in its beats, once a second, and only those that make a difference: of a limit at least one
part in `PARTS`, and of each kind the `MOST` largest. So a limit may be passed by what all nodes admit within a second,
and by what the others do not tell: with n nodes less than (n - 1) / `PARTS` of it. A node that is gone counts no more;
one that is only silent does, as its WebSockets may live.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from heapq import nlargest
from typing import Final

Key = tuple[str | bytes, ...]
"""As `Admission` counts: the kind, and which one."""
Counts = dict[str, dict[str, int]]
"""By kind, then by name."""

KINDS: Final = ("cluster", "route", "client")
PARTS: Final = 20
MOST: Final = 500
"""Told of one kind: 25 KiB in each beat."""
KEPT: Final = 2_000
"""Of one kind, looked at for each beat: 2 ms. Beyond these, only what has more than the least of them comes in."""
_NAME_BYTES: Final = 255


class SharedCounts:
    """See the module."""

    def __init__(self) -> None:
        self._of_node: dict[str, Counts] = {}
        self._elsewhere: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
        self._large: dict[str, dict[Key, int]] = {kind: {} for kind in KINDS}
        """Keys of this node that had enough to tell, and how much that is."""
        self._above: dict[str, int] = dict.fromkeys(KINDS, 0)
        """What a key that is not among them must have to be kept: more than this."""

    # --- for admission

    def elsewhere(self, key: Key) -> int:
        """How many the other nodes have told."""
        return self._elsewhere[str(key[0])][_name_of(key)]

    def admitted(self, key: Key, count: int, limit: int) -> None:
        """This node has so many now, and a limit for them."""
        if count >= (least := _least(limit)):
            kind = str(key[0])
            if count > self._above[kind] or key in self._large[kind]:
                self._large[kind][key] = least

    # --- for beats

    def to_tell(self, count_of: Callable[[Key], int]) -> Counts:
        """What this node tells the others. `count_of`: how many it has now."""
        told = {}
        for kind, large in self._large.items():
            counts = [(count_of(key), key) for key in large]
            enough = [(count, key) for count, key in counts if count >= large[key]]
            kept = nlargest(KEPT, enough)
            self._above[kind] = kept[-1][0] if len(enough) > KEPT else 0
            self._large[kind] = {key: large[key] for _, key in kept}
            names = ((_name_of(key), count) for count, key in kept[:MOST])
            told[kind] = {name: count for name, count in names if len(name.encode(errors="replace")) <= _NAME_BYTES}
        return {kind: counts for kind, counts in told.items() if counts}

    def heard(self, node: str, counts: Mapping[str, Mapping[str, int]]) -> None:
        """Another node has these now, and no others."""
        self.gone(node)
        told = {kind: dict(counts[kind]) for kind in KINDS if counts.get(kind)}
        if told:
            self._of_node[node] = told
        for kind, names in told.items():
            self._elsewhere[kind].update(names)

    def gone(self, node: str) -> None:
        """It has none any more; idempotent."""
        for kind, names in self._of_node.pop(node, {}).items():
            elsewhere = self._elsewhere[kind]
            for name, count in names.items():
                elsewhere[name] -= count
                if elsewhere[name] <= 0:
                    del elsewhere[name]

    def __repr__(self) -> str:
        known = sum(map(len, self._elsewhere.values()))
        large = sum(map(len, self._large.values()))
        return f"<SharedCounts of {len(self._of_node)} other nodes: {known} names, {large} to tell>"


def _least(limit: int) -> int:
    return max(1, limit // PARTS)


def _name_of(key: Key) -> str:
    """The name in beats: that of a route is its host and path."""
    return "".join(part if isinstance(part, str) else part.decode("ascii", "backslashreplace") for part in key[1:])
