"""What a process keeps: the objects of our own classes, how many of each and how large. The same on every machine."""

import gc
import sys
from collections import Counter
from collections.abc import Container

OURS = ("app.", "tunnel.")


def kept() -> Counter[str]:
    """How many objects there are of each class of ours, by its name."""
    gc.collect()
    return Counter(type(item).__name__ for item in gc.get_objects() if str(type(item).__module__).startswith(OURS))


def kept_bytes(names: Container[str]) -> int:
    """Of the objects of the classes with these names, without what they refer to."""
    gc.collect()
    found = (item for item in gc.get_objects() if str(type(item).__module__).startswith(OURS))
    return sum(sys.getsizeof(item) for item in found if type(item).__name__ in names)
