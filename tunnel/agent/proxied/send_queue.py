"""The messages of a link's exchanges that wait for its WebSocket.

These dialects have no flow control from end to end: a gateway that reads slowly fills the WebSocket, and then each
exchange keeps its messages here and stops reading from its service. Never encodes, never touches a socket. Invariants:
the messages of one exchange keep their order; exchanges take turns, one message each; every waiting byte is in the
account; nothing is handed to `send` while the WebSocket is full.
"""

from collections import deque
from collections.abc import Callable

from tunnel.account import Account, Holding


class SendQueue:
    """One link's. `send` hands a message to its WebSocket, which may call `pause` before it returns."""

    def __init__(self, send: Callable[[str], None], account: Account) -> None:
        self.send = send
        self.account = account
        self.paused = False
        """Whether the WebSocket is full."""
        self._turns: deque[Outgoing] = deque()  # those with messages, each once

    def __repr__(self) -> str:
        return f"<SendQueue {len(self._turns)} exchanges wait>"

    def outgoing(self, drained: Callable[[], None]) -> "Outgoing":
        """The messages of a new exchange."""
        return Outgoing(self, drained)

    def wait(self, outgoing: "Outgoing") -> None:
        """Give it a turn: it has messages now."""
        self._turns.append(outgoing)

    def forget(self, outgoing: "Outgoing") -> None:
        """Take its turn away: it has no messages any more."""
        self._turns.remove(outgoing)

    def pause(self) -> None:
        """The WebSocket is full."""
        self.paused = True

    def resume(self) -> None:
        """The WebSocket has room again."""
        self.paused = False
        while self._turns and not self.paused:
            outgoing = self._turns.popleft()
            if outgoing.send_next():
                self._turns.append(outgoing)
            else:
                outgoing.drained()


class Outgoing:
    """One exchange's messages. `drained` is called when the last of those that waited has left."""

    __slots__ = ("_holding", "_messages", "_queue", "drained")

    def __init__(self, queue: SendQueue, drained: Callable[[], None]) -> None:
        self._queue = queue
        self._messages: deque[str] = deque()
        self._holding = Holding(queue.account)
        self.drained = drained

    def __repr__(self) -> str:
        return f"<Outgoing {self._holding.size_bytes} bytes waiting>"

    @property
    def empty(self) -> bool:
        """Whether all that was said has left."""
        return not self._messages

    def say(self, text: str) -> None:
        """Send a message, once it is its turn."""
        if not self._messages:
            if not self._queue.paused:
                self._queue.send(text)
                return
            self._queue.wait(self)
        self._messages.append(text)
        self._holding.add(len(text))

    def send_next(self) -> bool:
        """Send one message; whether there are more."""
        text = self._messages.popleft()
        self._holding.add(-len(text))
        self._queue.send(text)
        return bool(self._messages)

    def discard(self) -> None:
        """Forget what waits; idempotent."""
        if self._messages:
            self._queue.forget(self)
            self._messages.clear()
            self._holding.set(0)
