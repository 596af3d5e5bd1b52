"""Deadlines in slots of half a second: what is not due costs nothing, however much there is.

An item is in one slot, that of its deadline; `due` takes out the slots that have come. Putting, moving and removing an
item cost the same whatever the number of items, and a moment without deadlines costs one comparison. Gets the time from
its caller; never calls an item.
"""

from math import inf
from typing import Generic, TypeVar

Item = TypeVar("Item")
"""Anything that can be a key."""

SLOT_SECONDS = 0.5
"""As long as the ticks of those who look at the slots: finer slots would not be seen any sooner. Slots are made when
they are used, so the latest deadline may be a day away: one minute of deadlines takes at most 120 of them."""


class _Slot(dict[Item, None]):
    """The items of one slot, in the order in which they were put: each has the slot, not a number of its own."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number


class Wheel(Generic[Item]):
    """Items by their next deadline."""

    __slots__ = ("_now", "_slot_of", "_slots")

    def __init__(self) -> None:
        self._slots: dict[int, _Slot[Item]] = {}
        self._slot_of: dict[Item, _Slot[Item]] = {}
        self._now = -1  # the last slot that was taken out

    def put(self, item: Item, at: float) -> None:
        """The item is due at this time, and no longer at any other; never, if that is infinite."""
        self.remove(item)
        if at == inf:
            return
        number = max(int(at // SLOT_SECONDS), self._now + 1)
        slot = self._slots.get(number)
        if slot is None:
            slot = self._slots[number] = _Slot(number)
        self._slot_of[item] = slot
        slot[item] = None

    def remove(self, item: Item) -> None:
        """Forget an item; idempotent."""
        slot = self._slot_of.pop(item, None)
        if slot is not None:
            del slot[item]
            if not slot:
                del self._slots[slot.number]

    def due(self, now: float) -> list[Item]:
        """Take out what is due by the end of the slot that `now` is in: never late, and early by less than a slot."""
        last, self._now = self._now, max(self._now, int(now // SLOT_SECONDS))
        found: list[Item] = []
        if not self._slots:
            return found
        if self._now - last <= len(self._slots):
            numbers = [number for number in range(last + 1, self._now + 1) if number in self._slots]
        else:  # after a long pause, or at the first call
            numbers = sorted(number for number in self._slots if number <= self._now)
        for number in numbers:
            for item in self._slots.pop(number):
                del self._slot_of[item]
                found.append(item)
        return found

    def __len__(self) -> int:
        return len(self._slot_of)

    def __repr__(self) -> str:
        return f"<Wheel {len(self)} in {len(self._slots)} slots>"
