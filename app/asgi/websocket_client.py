"""The client's end of a WebSocket under any ASGI server: two coroutines around `receive` and `send`.

One message is with the server at a time, and one is read ahead while reading is paused: so a client that leaves then is
noticed. ASGI cannot send a close frame without a code: 1005 crosses as 1000.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from ..public.client_port import Message, Talk
from .types import Receive, Send

logger = logging.getLogger("gateway")

_TURN_MESSAGES = 64
"""After so many messages without a wait the other exchanges have their turn."""


class AsgiWebSocketClient:
    """The client's end of one WebSocket. `abort` cuts its connection, where the server has that."""

    held_bytes = 0
    unsent_bytes = 0

    def __init__(self, receive: Receive, send: Send, abort: Callable[[], None] | None) -> None:
        self._abort = abort
        self._receive = receive
        self._send = send
        self._queue: deque[dict[str, Any]] = deque()
        self._given = asyncio.Event()
        self._may_read = asyncio.Event()
        self._may_read.set()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, talk: Talk) -> None:
        """Begin to read and to write."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(_guarded(each(talk), talk)) for each in (self._read, self._write)]

    async def leave(self) -> None:
        """Nothing is told any more."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    # --- told by the conversation

    def send(self, message: Message, /) -> bool:
        """See `WebSocketClient.send`."""
        self._queue.append({"type": "websocket.send", "text" if isinstance(message, str) else "bytes": message})
        return False

    def send_now(self, message: Message, /) -> bool:
        """See `WebSocketClient.send_now`."""
        self.send(message)
        return self.flush()

    def flush(self) -> bool:
        """See `WebSocketClient.flush`."""
        self._given.set()
        return False

    def close(self, code: int, reason: str, /) -> bool:
        """See `WebSocketClient.close`."""
        self._queue.append({"type": "websocket.close", "code": 1000 if code == 1005 else code, "reason": reason})
        return self.flush()

    def abort(self) -> None:
        """See `WebSocketClient.abort`; a server that cannot is left to close in its own way."""
        if self._abort is not None:
            self._abort()

    def pause_reading(self) -> None:
        """See `WebSocketClient.pause_reading`."""
        self._may_read.clear()

    def resume_reading(self) -> None:
        """See `WebSocketClient.resume_reading`."""
        self._may_read.set()

    # --- the coroutines

    async def _read(self, talk: Talk) -> None:
        received = 0
        while True:
            event = await self._receive()
            if event["type"] == "websocket.disconnect":
                code = event.get("code") or 1005
                if code == 1005 and "reason" not in event:
                    code = 1006  # uvicorn's way to say that the connection ended without a close frame
                talk.client_left(code, event.get("reason") or "")
                return
            await self._may_read.wait()
            text = event.get("text")
            talk.message(text if text is not None else event.get("bytes") or b"")
            received += 1
            if received % _TURN_MESSAGES == 0:
                await asyncio.sleep(0)

    async def _write(self, talk: Talk) -> None:
        sent = 0
        while True:
            await self._given.wait()
            self._given.clear()
            while self._queue:
                await self._send(self._queue.popleft())
            talk.client_writable()
            sent += 1
            if sent % _TURN_MESSAGES == 0:
                await asyncio.sleep(0)


async def _guarded(running: Coroutine[Any, Any, None], talk: Talk) -> None:
    """A direction that fails ends the conversation."""
    try:
        await running
    except OSError:  # ASGI 2.4: the client has left
        talk.client_left(1006, "")
    except Exception:
        logger.exception("a WebSocket's client failed")
        talk.client_left(1006, "")
