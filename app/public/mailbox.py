"""Messages from a WebSocket's service that its client has not taken yet, counted in the process's account."""

from collections import deque

from tunnel.account import Account, Holding

from .client_port import Message

_MESSAGE_BYTES = 128
"""Overhead of one message, so that empty messages are counted too."""


class Mailbox:
    """Whole messages in order, each with the time it was complete.

    Also counts the message being assembled, and the bytes handed to the client and not yet drained.
    """

    __slots__ = ("_closed", "_held", "_messages", "assembling_bytes", "passing_bytes")

    def __init__(self, account: Account) -> None:
        self._held = Holding(account)
        self._messages: deque[tuple[Message, float]] = deque()
        self._closed = False
        self.assembling_bytes = 0
        self.passing_bytes = 0

    @property
    def held_bytes(self) -> int:
        """Bytes of all waiting messages, of the one being assembled, and of those not yet drained."""
        return self._held.size_bytes

    def put(self, message: Message, now: float) -> None:
        """Add a whole message. Dropped after `close`."""
        if not self._closed:
            self._messages.append((message, now))
            self._held.add(len(message) + _MESSAGE_BYTES)

    @property
    def first(self) -> Message:
        """The oldest message, without removing it. Raises IndexError if there is none."""
        return self._messages[0][0]

    def take(self) -> tuple[Message, float]:
        """Remove the oldest message; returns it and its arrival time. Raises IndexError if there is none."""
        message, arrived = self._messages.popleft()
        self._held.add(-len(message) - _MESSAGE_BYTES)
        return message, arrived

    def assembling(self, size_bytes: int) -> None:
        """Set how many bytes of the next message have arrived."""
        if size_bytes != self.assembling_bytes and not self._closed:
            self._held.add(size_bytes - self.assembling_bytes)
            self.assembling_bytes = size_bytes

    def passing(self, size_bytes: int) -> None:
        """Set how many bytes were handed to the client and are not yet drained."""
        if size_bytes != self.passing_bytes and not self._closed:
            self._held.add(size_bytes - self.passing_bytes)
            self.passing_bytes = size_bytes

    def clear(self) -> None:
        """Drop all waiting messages."""
        while self._messages:
            self.take()

    def close(self) -> None:
        """Drop everything and take nothing more; idempotent."""
        self._messages.clear()
        self.assembling_bytes = self.passing_bytes = 0
        self._held.close()
        self._closed = True

    def __len__(self) -> int:
        return len(self._messages)


def size_of(message: Message) -> int:
    """Bytes of payload; text counts as UTF-8. Only text that is not ASCII has to be encoded for this."""
    if isinstance(message, str) and not message.isascii():
        return len(message.encode())
    return len(message)
