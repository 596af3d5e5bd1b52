"""The markers that deletes leave in a bucket. They must go some time, or a bucket grows with every node that ever was.

A marker must outlive every mirror that goes on from its last revision: see `TRUSTED_SECONDS` in `mirror`.
"""

import time

from .jetstream import JetStream
from .watch import Delivery, Watch


async def purge(stream: JetStream, *, older_than_seconds: float, live: int) -> int:
    """Drop those that are older than this, and return how many. `live`: how many keys have a value.

    Reads the heads of all messages, unless there are no more of them than live keys. A key that was written again in
    the meantime is left alone. Raises RequestError.
    """
    if (await stream.info()).state.messages <= live:
        return 0
    before = time.time() - older_than_seconds
    purged = 0
    for marker in await _listed(stream):
        if marker.written < before:
            purged += await stream.purge(marker.key, up_to=marker.revision)
    return purged


async def _listed(stream: JetStream) -> list[Delivery]:
    found: list[Delivery] = []

    def take(delivery: Delivery) -> None:
        if delivery.value is None:
            found.append(delivery)

    def caught_up() -> None:
        watch.break_off("all is listed")

    watch = Watch(stream, start=1, take=take, caught_up=caught_up, headers_only=True)
    await watch.run()
    return found
