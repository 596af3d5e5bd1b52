"""WebSocket clients that talk on and on, come back when they are cut off, and check every message.

Each conversation has its own id, and each message its number: what comes back must be exactly what was sent, once, in
order, up to the conversation's end. How it ended is kept, for both sides to be compared.
"""

import asyncio
from dataclasses import dataclass, field

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus

from tests.system.clients import websocket
from tests.system.harness import Stack

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
    received: int = 0
    ending: str = "open"
    """`closed` by us in order, `vanished` on our order, `lost`, or what was wrong."""
    code: int | None = None
    """The close code that the client got; None without a close frame."""


@dataclass
class Talker:
    """One client, again and again."""

    stack: Stack
    name: str
    over: asyncio.Event
    conversations: list[Conversation] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    """Answers to handshakes that were no 101."""
    talking: asyncio.Event = field(default_factory=asyncio.Event)
    """The first message came back."""
    vanishing: asyncio.Event = field(default_factory=asyncio.Event)
    """Set from outside: leave now, without a word."""

    async def run(self) -> None:
        while not self.over.is_set():
            key = f"{self.name}-{len(self.conversations)}"
            try:
                async with websocket(self.stack.url("ws", f"/echo?id={key}", "ws"), compression=None) as client:
                    conversation = Conversation(key)
                    self.conversations.append(conversation)
                    try:
                        await self._talk(conversation, client)
                    except ConnectionClosed:
                        conversation.ending, conversation.code = "lost", client.close_code
                    except TimeoutError:
                        conversation.ending = f"left hanging after {conversation.received} messages"
            except InvalidStatus as refusal:
                self.refusals.append(str(refusal.response.status_code))
            except (OSError, InvalidMessage, TimeoutError) as error:
                self.refusals.append(repr(error))
            if not self.over.is_set():
                await self._pause(RETRY_SECONDS)

    async def _talk(self, conversation: Conversation, client: ClientConnection) -> None:
        while not self.over.is_set():
            if self.vanishing.is_set():
                self.vanishing.clear()
                client.transport.abort()
                conversation.ending = "vanished"
                return
            sent = [f"{conversation.key}:{conversation.received + number}" for number in range(BURST)]
            for message in sent:
                await client.send(message)
            for message in sent:
                async with asyncio.timeout(SILENCE_SECONDS):
                    answer = await client.recv()
                if answer != message:
                    conversation.ending = f"wrong: {answer!r} instead of {message!r}"
                    return
                conversation.received += 1
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
