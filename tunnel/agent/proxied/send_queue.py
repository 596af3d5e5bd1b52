"""The messages of a link's exchanges that wait for its WebSocket, in turns.

There is no flow control from end to end: a gateway that reads slowly fills the WebSocket, and then each exchange waits
with what it has, and stops reading its service. Never encodes, never touches a socket. Invariants: the messages of an
exchange leave in their order; one of each in turn; every waiting byte is in the account; nothing is handed to `send`
while the WebSocket is full.
"""

from collections import deque
from collections.abc import Callable

from tunnel.account import Account


class SendQueue:
    """One link's. `has_room`: whether its WebSocket takes more."""

    def __init__(self, send: Callable[[str], None], has_room: Callable[[], bool], account: Account) -> None:
        self.send = send
        self.has_room = has_room
        self.account = account
        self._turns: deque[Outgoing] = deque()  # those with messages, each once

    def __repr__(self) -> str:
        return f"<SendQueue {len(self._turns)} exchanges wait>"

    def outgoing(self, drained: Callable[[], None]) -> "Outgoing":
        """A new exchange's."""
        return Outgoing(self, drained)

    def wait(self, outgoing: "Outgoing") -> None:
        """It has messages now."""
        self._turns.append(outgoing)

    def forget(self, outgoing: "Outgoing") -> None:
        """It has none any more."""
        self._turns.remove(outgoing)

    def resume(self) -> None:
        """The WebSocket has room again."""
        while self._turns and self.has_room():
            outgoing = self._turns.popleft()
            if outgoing.send_next():
                self._turns.append(outgoing)
            else:
                outgoing.drained()


class Outgoing:
    """One exchange's messages. `drained` is called when, after a wait, the last of them left."""

    __slots__ = ("_messages", "_queue", "drained", "waiting_bytes")

    def __init__(self, queue: SendQueue, drained: Callable[[], None]) -> None:
        self._queue = queue
        self._messages: deque[str] = deque()
        self.drained = drained
        self.waiting_bytes = 0

    def __repr__(self) -> str:
        return f"<Outgoing {self.waiting_bytes} bytes waiting>"

    @property
    def empty(self) -> bool:
        """Whether all that was said has left."""
        return not self._messages

    def say(self, text: str) -> None:
        """Send a message, once it is its turn."""
        if not self._messages and self._queue.has_room():
            self._queue.send(text)
            return
        if not self._messages:
            self._queue.wait(self)
        self._messages.append(text)
        self._hold(len(text))

    def send_next(self) -> bool:
        """Send one message; whether there are more."""
        text = self._messages.popleft()
        self._hold(-len(text))
        self._queue.send(text)
        return bool(self._messages)

    def discard(self) -> None:
        """Forget what waits; idempotent."""
        if self._messages:
            self._queue.forget(self)
            self._messages.clear()
            self._hold(-self.waiting_bytes)

    def _hold(self, delta_bytes: int) -> None:
        self.waiting_bytes += delta_bytes
        self._queue.account.adjust(delta_bytes)
