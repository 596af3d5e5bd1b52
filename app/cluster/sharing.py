"""What agents register and publish, as all nodes have it: both share the bucket `routes`, and are followed here.

`routes` and `published` say what is done; this says when. `run` never ends, and what fails is tried again.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from ..node.gateway import Gateway
from .bucket import Bucket, BucketError
from .copy_mark import CopyMark
from .keys import PUBLISHED
from .presence import Presence
from .published import SharedPublications
from .routes import SharedRoutes
from .sections import sections
from .wall_clock import WallClock

logger = logging.getLogger("gateway.routes")

LOOK_SECONDS: Final = 1.0


class Sharing:
    """Both, of one gateway. `name`: of the bucket."""

    def __init__(
        self, gateway: Gateway, bucket: Bucket, presence: Presence, *, name: str, wall_clock: WallClock
    ) -> None:
        of_published, of_learned = sections(bucket, PUBLISHED)
        folder = gateway.settings.state_dir
        mark = CopyMark(Path(folder), name) if folder is not None else None
        copy_of = mark.read() if mark is not None else None
        self.routes = SharedRoutes(
            of_learned, gateway.learned, clock=time.time, copy_of=copy_of, may_expire=wall_clock.is_right
        )  # fmt: skip
        if mark is not None:
            self.routes.on_copied = mark.write
        self.published = SharedPublications(of_published, gateway.published, presence, clock=time.monotonic)
        gateway.registering = self.routes
        gateway.settling = self.published
        self._is_due = asyncio.Event()
        self.published.on_due = self._is_due.set

    async def run(self) -> None:
        """Follow both."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_registered(), name="cluster registered routes")
            group.create_task(self._follow_published(), name="cluster published routes")

    async def _follow_registered(self) -> None:
        while True:
            await _tried(self.routes.catch_up)
            await asyncio.sleep(LOOK_SECONDS)

    async def _follow_published(self) -> None:
        while True:
            self._is_due.clear()
            await _tried(self.published.catch_up)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._is_due.wait()

    def __repr__(self) -> str:
        return f"<Sharing {self.routes!r}, {self.published!r}>"


async def _tried(catch_up: Callable[[], Awaitable[None]]) -> None:
    try:
        await catch_up()
    except BucketError as error:
        logger.debug("the routes are not shared yet: %s", error)
    except Exception:
        logger.exception("sharing the routes failed")
