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
_NAME_CHARACTERS: Final = 255


class SharedCounts:
    """See the module."""

    def __init__(self) -> None:
        self._of_node: dict[str, Counts] = {}
        self._elsewhere: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
        self._large: dict[Key, int] = {}  # keys of this node that had enough to tell, and their limits

    # --- for admission

    def elsewhere(self, key: Key) -> int:
        """How many the other nodes have told."""
        return self._elsewhere[str(key[0])][_name_of(key)]

    def admitted(self, key: Key, count: int, limit: int) -> None:
        """This node has so many now, and a limit for them."""
        if count >= _least(limit):
            self._large[key] = limit

    # --- for beats

    def to_tell(self, count_of: Callable[[Key], int]) -> Counts:
        """What this node tells the others. `count_of`: how many it has now."""
        found: dict[str, list[tuple[int, str]]] = {}
        for key, limit in list(self._large.items()):
            count = count_of(key)
            if count < _least(limit):
                del self._large[key]
            elif len(name := _name_of(key)) <= _NAME_CHARACTERS:
                found.setdefault(str(key[0]), []).append((count, name))
        return {kind: {name: count for count, name in nlargest(MOST, counts)} for kind, counts in found.items()}

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
        return f"<SharedCounts of {len(self._of_node)} other nodes: {known} names, {len(self._large)} to tell>"


def _least(limit: int) -> int:
    return max(1, limit // PARTS)


def _name_of(key: Key) -> str:
    """The name in beats: that of a route is its host and path."""
    return "".join(part if isinstance(part, str) else part.decode("ascii", "backslashreplace") for part in key[1:])
