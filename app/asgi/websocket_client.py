"""The client's end of a WebSocket under any ASGI server: two tasks around `receive` and `send`.

The server has one message at a time. While reading is paused, one message is read ahead, so that we notice a client
that leaves. ASGI cannot send a close frame without a code: 1005 is sent as 1000.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine
from typing import Any

from tunnel.override import override

from ..public.client_port import Message, WebSocketClient, WebSocketListener
from .types import Receive, Send

logger = logging.getLogger("gateway")

_TURN_MESSAGES = 64
"""After this many messages without a wait, other exchanges get a turn."""


class AsgiWebSocketClient(WebSocketClient):
    """The client's end of one WebSocket."""

    held_bytes = 0
    unsent_bytes = 0

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._queue: deque[dict[str, Any]] = deque()
        self._given = asyncio.Event()
        self._may_read = asyncio.Event()
        self._may_read.set()
        self._tasks: list[asyncio.Task[None]] = []

    @override
    def start(self, listener: WebSocketListener, /) -> None:
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(_guarded(each(listener), listener)) for each in (self._read, self._write)]

    @override
    def leave(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def gone(self) -> None:
        """Wait for the tasks, after `leave`."""
        tasks, self._tasks = self._tasks, []
        if tasks:
            await asyncio.wait(tasks)

    # --- called by the conversation

    @override
    def send(self, message: Message, /) -> bool:
        self._queue.append({"type": "websocket.send", "text" if isinstance(message, str) else "bytes": message})
        return False

    @override
    def send_now(self, message: Message, /) -> bool:
        self.send(message)
        return self.flush()

    @override
    def flush(self) -> bool:
        self._given.set()
        return False

    @override
    def close(self, code: int, reason: str, /) -> bool:
        self._queue.append({"type": "websocket.close", "code": 1000 if code == 1005 else code, "reason": reason})
        return self.flush()

    @override
    def abort(self) -> None: ...  # ASGI cannot cut a connection: it is left to the server

    @override
    def pause_reading(self) -> None:
        self._may_read.clear()

    @override
    def resume_reading(self) -> None:
        self._may_read.set()

    # --- the tasks

    async def _read(self, listener: WebSocketListener) -> None:
        received = 0
        while True:
            event = await self._receive()
            if event["type"] == "websocket.disconnect":
                code = event.get("code") or 1005
                if code == 1005 and "reason" not in event:
                    code = 1006  # this is how uvicorn reports a connection that ended without a close frame
                listener.client_left(code, event.get("reason") or "")
                return
            await self._may_read.wait()
            text = event.get("text")
            listener.message(text if text is not None else event.get("bytes") or b"")
            received += 1
            if received % _TURN_MESSAGES == 0:
                await asyncio.sleep(0)

    async def _write(self, listener: WebSocketListener) -> None:
        sent = 0
        while True:
            await self._given.wait()
            self._given.clear()
            while self._queue:
                await self._send(self._queue.popleft())
            listener.client_writable()
            sent += 1
            if sent % _TURN_MESSAGES == 0:
                await asyncio.sleep(0)


async def _guarded(running: Coroutine[Any, Any, None], listener: WebSocketListener) -> None:
    """Run one direction. If it fails, the client counts as gone."""
    try:
        await running
    except OSError:  # ASGI 2.4: the client has left
        listener.client_left(1006, "")
    except Exception:
        logger.exception("a WebSocket's client failed")
        listener.client_left(1006, "")
