"""The latest of something that comes without end, by key: a bounded number, for the operator.

What is put again is the latest again. What no longer holds is forgotten.
"""

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Latest(Generic[Key, Value]):
    """See the module. `most`: how many are kept. Iterates over the values, from the earliest to the latest."""

    __slots__ = ("_most", "_values")

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[Key, Value] = OrderedDict()

    def put(self, key: Key, value: Value) -> None:
        """It is the latest now."""
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._most:
            self._values.popitem(last=False)

    def of(self, key: Key) -> Value | None:
        """What was put last under this key. None: nothing, or it is not kept."""
        return self._values.get(key)

    def forget(self, key: Key) -> None:
        """It no longer holds; idempotent."""
        self._values.pop(key, None)

    def __iter__(self) -> Iterator[Value]:
        return iter(list(self._values.values()))

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"<Latest {len(self)} of at most {self._most}>"
