"""Which published hosts are written most like one that is not: somebody mistyped it, here or in the file."""

import asyncio
import heapq
from collections.abc import Iterable
from difflib import SequenceMatcher

MOST = 5
_LIKE = 0.6
"""How much of two names has to be the same, as `difflib` counts it: its own default for close matches."""
_HOSTS_PER_TURN = 50
"""A comparison costs 10 us, and 100 for names that are much alike."""


async def nearest_hosts(host: str, hosts: Iterable[str]) -> list[str]:
    """Those most like `host`, the likest first, five at most. Repetitions count once.

    Looks at some in each turn of the loop.
    """
    matcher = SequenceMatcher(autojunk=False)
    matcher.set_seq2(host)
    found: list[tuple[float, str]] = []
    seen: set[str] = set()
    for number, other in enumerate(hosts, 1):
        if number % _HOSTS_PER_TURN == 0:
            await asyncio.sleep(0)
        if other in seen:
            continue
        seen.add(other)
        matcher.set_seq1(other)
        if matcher.real_quick_ratio() >= _LIKE and matcher.quick_ratio() >= _LIKE:
            ratio = matcher.ratio()
            if ratio >= _LIKE:
                found.append((ratio, other))
    return [name for _, name in heapq.nlargest(MOST, found)]
