"""What is left when everybody has gone: open exchanges, held bytes, links, descriptors, memory, temporary files.

A process that was started again is compared with its predecessor: both had the same load.
"""

import time
from pathlib import Path

from tests.chaos.world import World
from tests.soak.holdings import Holdings, Watch

QUIET_SECONDS = 40.0
"""Until everything is closed after the last client left: idle connections to services are kept for 3 s."""
MORE_DESCRIPTORS = 8
"""What may be open beyond the beginning: connections that the balancer keeps for its next request."""
MORE_BYTES = 32 << 20
"""What a process may have grown by: windows and pools that a fault filled, which the allocator keeps."""


def descriptors(held: Holdings) -> int:
    return held.descriptors.total()


def beyond(now: Holdings, before: Holdings) -> list[str]:
    """What is held beyond the bounds, in words."""
    found = []
    if descriptors(now) > descriptors(before) + MORE_DESCRIPTORS:
        found.append(f"{descriptors(before)} -> {descriptors(now)} descriptors: {now.descriptors - before.descriptors}")
    if now.rss_bytes > before.rss_bytes + MORE_BYTES:
        found.append(f"{before.rss_bytes >> 20} -> {now.rss_bytes >> 20} MiB")
    return found


def left_over(world: World, watches: dict[str, Watch], before: dict[str, Holdings], temporary: Path) -> list[str]:
    found = [f"open: {name} {value:g}" for name, value in world.what_is_open().items()]
    for name, watch in watches.items():
        found += (f"{name}: {what}" for what in beyond(watch.look(), before[name]))
    return found + [f"temporary file {file.name}" for file in temporary.iterdir()]


def leaks(world: World, before: dict[str, Holdings], temporary: Path) -> list[str]:
    """What is left over when everybody has gone, and had time to go."""
    try:
        world.wait_whole()
    except AssertionError as error:
        return [str(error)]
    watches = world.watches()
    deadline = time.monotonic() + QUIET_SECONDS
    while (found := left_over(world, watches, before, temporary)) and time.monotonic() < deadline:
        time.sleep(0.5)  # until the next look
    return found
