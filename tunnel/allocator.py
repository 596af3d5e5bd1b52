"""What the C library does with freed memory. Only the entrances call this; who mounts the app decides for itself.

Reads of up to 256 KB pass through, one after the other. glibc gives such pieces back to the system when they are freed,
and each new one costs a page fault for every 4 KiB.
"""

import ctypes
from typing import Final

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # <malloc.h>
KEPT_BYTES: Final = 32 * 1024 * 1024
"""At the end of the heap, free and not given back."""
HEAP_PIECE_BYTES: Final = 16 * 1024 * 1024
"""A smaller piece comes from the heap, and so may come from there again."""


def keep_freed_memory() -> bool:
    """Reuse the memory of freed pieces. False: this system's C library has no such setting, and nothing was done."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # not glibc; on Windows there is no such library
        return False
    return bool(mallopt(_MMAP_THRESHOLD, HEAP_PIECE_BYTES) and mallopt(_TRIM_THRESHOLD, KEPT_BYTES))
