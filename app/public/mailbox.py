"""What a WebSocket's service has said and its client has not taken yet, counted into the process account."""

from collections import deque

from tunnel.account import Account, Holding

from .client_port import Message

_MESSAGE_BYTES = 128
"""What a message costs besides its payload: empty ones are held, too."""


class Mailbox:
    """Whole messages in order, each with when it was whole; and the sizes of the one that is being assembled, and of
    those that the client was given and has not taken.
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
        """All that waits, is being assembled, or was given to the client and not taken."""
        return self._held.size_bytes

    def put(self, message: Message, now: float) -> None:
        """A message is whole; dropped once nobody will take it."""
        if not self._closed:
            self._messages.append((message, now))
            self._held.add(len(message) + _MESSAGE_BYTES)

    @property
    def first(self) -> Message:
        """The oldest message, which stays. Raises IndexError when there is none."""
        return self._messages[0][0]

    def take(self) -> tuple[Message, float]:
        """The oldest message. Raises IndexError when there is none."""
        message, arrived = self._messages.popleft()
        self._held.add(-len(message) - _MESSAGE_BYTES)
        return message, arrived

    def assembling(self, size_bytes: int) -> None:
        """So much of the next message is there."""
        if size_bytes != self.assembling_bytes and not self._closed:
            self._held.add(size_bytes - self.assembling_bytes)
            self.assembling_bytes = size_bytes

    def passing(self, size_bytes: int) -> None:
        """So much is with the client, who does not take it."""
        if size_bytes != self.passing_bytes and not self._closed:
            self._held.add(size_bytes - self.passing_bytes)
            self.passing_bytes = size_bytes

    def clear(self) -> None:
        """Nobody will take what waits."""
        while self._messages:
            self.take()

    def close(self) -> None:
        """Nobody will take anything any more; idempotent."""
        self._messages.clear()
        self.assembling_bytes = self.passing_bytes = 0
        self._held.close()
        self._closed = True

    def __len__(self) -> int:
        return len(self._messages)


def size_of(message: Message) -> int:
    """Bytes of payload: of text in UTF-8, which costs a pass only where it is not ASCII."""
    if isinstance(message, str) and not message.isascii():
        return len(message.encode())
    return len(message)
