"""WebSocket clients that talk on and on, come back when they are cut off, and check every message.

Each conversation has its own id, and each message its number: what comes back must be exactly what was sent, once, in
order, up to the conversation's end. How it ended is kept, for both sides to be compared.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus

from tests.system.clients import websocket

BURST = 3
PAUSE_SECONDS = 0.5
"""Between two bursts of one talker."""
RETRY_SECONDS = 0.3
SILENCE_SECONDS = 20.0
"""No answer and no end for so long: the client was left hanging."""


@dataclass
class Conversation:
    """One WebSocket from its 101 to its end."""

    key: str
    headers: Mapping[str, str]
    """Of its 101."""
    began: float
    ended: float = 0.0
    """Both by the monotonic clock."""
    sent: int = 0
    received: int = 0
    ending: str = "open"
    """`closed` by us in order, `vanished` on our order, `lost`, or what was wrong."""
    code: int | None = None
    """The close code that the client got; 1006 without a close frame."""

    def next_message(self) -> str:
        self.sent += 1
        return f"{self.key}:{self.sent - 1}"

    def take(self, message: object) -> bool:
        """Whether it is exactly the next one; else the conversation's ending says so."""
        if message != (due := f"{self.key}:{self.received}"):
            self.ending = f"wrong: {message!r} instead of {due!r}"
            return False
        self.received += 1
        return True


@dataclass(frozen=True)
class Refusal:
    """A handshake without a 101. Times by the monotonic clock."""

    key: str
    began: float
    ended: float
    status: int | None
    """None: no answer."""
    said: str
    """The status, or the error."""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass
class Talker:
    """One client, again and again."""

    url: Callable[[str], str]
    """The URL of a path."""
    name: str
    over: asyncio.Event
    conversations: list[Conversation] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    talking: asyncio.Event = field(default_factory=asyncio.Event)
    """The first message came back."""
    vanishing: asyncio.Event = field(default_factory=asyncio.Event)
    """Set from outside: leave now, without a word."""

    async def run(self) -> None:
        tries = 0
        while not self.over.is_set():
            key = f"{self.name}-{tries}"
            tries += 1
            began = time.monotonic()
            try:
                async with websocket(self.url(f"/echo?id={key}"), compression=None) as client:
                    assert client.response is not None
                    conversation = Conversation(key, client.response.headers, began)
                    self.conversations.append(conversation)
                    try:
                        await self._talk(conversation, client)
                    except ConnectionClosed:
                        conversation.ending, conversation.code = "lost", client.close_code
                    except TimeoutError:
                        conversation.ending = f"left hanging after {conversation.received} messages"
                    conversation.ended = time.monotonic()
            except InvalidStatus as refusal:
                answer = refusal.response
                said = str(answer.status_code)
                self._refused(key, began, answer.status_code, said, answer.headers, bytes(answer.body))
            except (OSError, InvalidMessage, TimeoutError) as error:
                self._refused(key, began, None, repr(error))
            if not self.over.is_set():
                await self._pause(RETRY_SECONDS)

    def _refused(self, key: str, began: float, status: int | None, said: str, *answer: Any) -> None:
        self.refusals.append(Refusal(key, began, time.monotonic(), status, said, *answer))

    async def _talk(self, conversation: Conversation, client: ClientConnection) -> None:
        while not self.over.is_set():
            if self.vanishing.is_set():
                self.vanishing.clear()
                client.transport.abort()
                conversation.ending = "vanished"
                return
            for _ in range(BURST):
                await client.send(conversation.next_message())
            for _ in range(BURST):
                async with asyncio.timeout(SILENCE_SECONDS):
                    answer = await client.recv()
                if not conversation.take(answer):
                    return
            self.talking.set()
            await self._pause(PAUSE_SECONDS)
        await client.close()
        more = [message async for message in client]
        conversation.ending = f"too much: {more[:3]}" if more else "closed"
        conversation.code = client.close_code

    async def _pause(self, seconds: float) -> None:
        """The pace of a client that thinks; cut short by the end."""
        try:
            async with asyncio.timeout(seconds):
                await self.over.wait()
        except TimeoutError:
            return
