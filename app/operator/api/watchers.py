"""Who watches the API: server-sent events to at most `MOST_WATCHERS` clients, in bounded memory.

A watcher of a resource gets its answer as `snapshot`, then `change` when it differs, at most once a second; what only
tells the time does not make a difference. A watcher of the events gets each once. Nothing is queued for a watcher: what
it has not taken is what is being sent, one answer of at most `WATCHED_BYTES`, which the account counts. One that takes
nothing for `PATIENCE_SECONDS` is ended. All are ended when a drain begins to close, and before `aclose` returns. While
nobody watches, nothing runs.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Final

from starlette.types import Message, Receive, Send

from tunnel.account import Account, Holding

from .errors import ApiError, busy

MOST_WATCHERS: Final = 32
WATCHED_BYTES: Final = 128 * 1024
"""Of one answer. With a piece on its way and what a server buffers (64 KiB), less than 256 KiB wait for a watcher."""
PIECE_BYTES: Final = 32 * 1024
CHANGES_SECONDS: Final = 1.0
"""Between two looks."""
COMMENT_SECONDS: Final = 15.0
"""Of silence, before a comment shows that we are here."""
PATIENCE_SECONDS: Final = 30.0
"""For a piece."""
_FAREWELL_SECONDS: Final = 0.5
"""For the piece on its way, when all are ended."""

COMMENT: Final = b": still here\n\n"
_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # else nginx keeps events until it has 4 KiB of them
]
_ONLY_TIME: Final = re.compile(
    rb'"(?:age_seconds|heard_seconds_ago|uptime_seconds|revision|lag)":[^,}]*|"last_seen":"[^"]*"'
)
"""Of a bucket's copy, `revision` and `lag` do, too: every node beats once a second."""


class Watcher:
    """One client that watches."""

    __slots__ = ("_holding", "_send", "_sending", "_wake", "is_ended")

    def __init__(self, send: Send, account: Account) -> None:
        self._send = send
        self._holding = Holding(account)
        self._wake = asyncio.Event()
        self._sending: asyncio.Timeout | None = None
        self.is_ended = False
        """It is sent nothing more but the end."""

    @property
    def held_bytes(self) -> int:
        """What waits for it."""
        return self._holding.size_bytes

    def end(self) -> None:
        """Send nothing more but the end; idempotent."""
        if not self.is_ended:
            self.is_ended = True
            self._wake.set()
            if self._sending is not None and not self._sending.expired():
                self._sending.reschedule(asyncio.get_running_loop().time() + _FAREWELL_SECONDS)

    def wake(self) -> None:
        """There may be something new."""
        self._wake.set()

    async def pause(self, seconds: float) -> bool:
        """Wait so long, or until the next `wake` or the end. Whether all of the time has passed."""
        if self.is_ended:
            return False
        self._wake.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return True
        return False

    async def run(self, receive: Receive, events: AsyncGenerator[bytes]) -> None:
        """Answer with these events until they end, the client leaves, or `end`.

        There is at least one. What raises ApiError does so before it: then nothing was sent.
        """
        listening = asyncio.get_running_loop().create_task(self._until_left(receive))
        try:
            async with contextlib.aclosing(events):
                first = await anext(events)
                await self._tell({"type": "http.response.start", "status": 200, "headers": _HEADERS})
                await self._put(first)
                async for event in events:
                    await self._put(event)
                    if self.is_ended:
                        break
            await self._tell({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            pass  # it takes nothing, so it cannot be told either: the server cuts it off
        finally:
            self._holding.close()
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _put(self, event: bytes) -> None:
        """Send an event in pieces, each once the one before was taken, unless it is ended in between."""
        self._holding.set(len(event))
        rest = memoryview(event)
        while rest and not self.is_ended:
            piece, rest = rest[:PIECE_BYTES], rest[PIECE_BYTES:]
            await self._tell({"type": "http.response.body", "body": bytes(piece), "more_body": True})
            self._holding.set(len(rest))

    async def _tell(self, message: Message) -> None:
        """Send a message. Raises TimeoutError if the client takes nothing."""
        seconds = _FAREWELL_SECONDS if self.is_ended else PATIENCE_SECONDS
        try:
            async with asyncio.timeout(seconds) as self._sending:
                await self._send(message)
        finally:
            self._sending = None

    async def _until_left(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.end()


class Watchers:
    """All of one gateway. A companion: it ends them with the gateway.

    `tasks`: those that the gateway waits for before it is closed.
    """

    def __init__(self, account: Account, tasks: "set[asyncio.Task[Any] | None]") -> None:
        self._account = account
        self._tasks = tasks
        self._running: set[Watcher] = set()
        self._is_over = False

    def __len__(self) -> int:
        return len(self._running)

    @property
    def held_bytes(self) -> int:
        """What waits for all of them."""
        return sum(watcher.held_bytes for watcher in self._running)

    def start(self) -> None:
        """Nothing to start."""

    def stop(self) -> None:
        """End all, and take no more; idempotent."""
        self._is_over = True
        for watcher in list(self._running):
            watcher.end()

    async def serve(self, receive: Receive, send: Send, events: Callable[[Watcher], AsyncGenerator[bytes]]) -> None:
        """Answer a request with these events. Raises ApiError where there is no room; then nothing was sent."""
        if self._is_over:
            raise busy("the gateway is stopping; watch another one")
        if len(self._running) >= MOST_WATCHERS:
            raise busy(f"{MOST_WATCHERS} clients are watching already; end one of them, or ask without watch")
        watcher = Watcher(send, self._account)
        task = asyncio.current_task()
        self._running.add(watcher)
        self._tasks.add(task)
        try:
            await watcher.run(receive, events(watcher))
        finally:
            self._running.discard(watcher)
            self._tasks.discard(task)

    def __repr__(self) -> str:
        return f"<Watchers {len(self)}, {self.held_bytes} bytes waiting>"


async def changes(watcher: Watcher, look: Callable[[], Awaitable[bytes]]) -> AsyncGenerator[bytes]:
    """What `look` says now, and then each time that it has changed."""
    clock = asyncio.get_running_loop().time
    body = await look()
    seen, spoken_at = _ONLY_TIME.sub(b"", body), clock()
    yield event("snapshot", body)
    while await watcher.pause(CHANGES_SECONDS):  # nothing wakes it but the end
        try:
            body = await look()
        except ApiError:
            return  # the node that it asked for is gone: if it comes again, it is told
        mark = _ONLY_TIME.sub(b"", body)
        if mark != seen:
            seen, spoken_at = mark, clock()
            yield event("change", body)
        elif clock() - spoken_at >= COMMENT_SECONDS:
            spoken_at = clock()
            yield COMMENT


def event(name: str, data: bytes, identity: str | None = None) -> bytes:
    """A server-sent event. `data`: JSON in one line. `identity`: its id."""
    line = b"" if identity is None else b"id: %s\n" % identity.encode()
    return b"%sevent: %s\ndata: %s\n\n" % (line, name.encode(), data.rstrip(b"\n"))
