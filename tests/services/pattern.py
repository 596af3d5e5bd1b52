"""Large bodies that both ends can make by themselves: the same size and seed give the same bytes.

Every block carries its number, so a block lost, doubled or out of order changes the hash. Never held whole
in memory.
"""

import hashlib
import random
import struct
from collections.abc import Iterator

BLOCK_BYTES = 256 * 1024


def blocks(size_bytes: int, seed: int = 1) -> Iterator[bytes]:
    """Yield `size_bytes` bytes in blocks of at most BLOCK_BYTES."""
    base = random.Random(seed).randbytes(BLOCK_BYTES - 8)
    number = 0
    while size_bytes > 0:
        block = struct.pack(">Q", number) + base
        yield block if size_bytes >= BLOCK_BYTES else block[:size_bytes]
        size_bytes -= BLOCK_BYTES
        number += 1


def digest(size_bytes: int, seed: int = 1) -> str:
    """The SHA-256 of those bytes, in hex."""
    sha256 = hashlib.sha256()
    for block in blocks(size_bytes, seed):
        sha256.update(block)
    return sha256.hexdigest()
