"""An agent's WebSocket without ASGI: messages arrive as calls and frames leave as writes, without a task or a queue.

Takes over the reading side of a connection (`wire.py`) right after the accept, and writes frames itself. Who made the
connection keeps the closing handshake, the keep-alive pings and the end of it. Works in slices, so that no agent can
block the event loop.
"""

from collections import deque
from collections.abc import Callable

from tunnel import websocket
from tunnel.sockets import hold_little
from tunnel.yamux import Batch, Parts

from .turns import Left, Turns, slices
from .wire import Wire

_SLICE_BYTES = 64 * 1024
"""Bytes of an agent parsed per turn: 5,000 of the smallest yamux frames, about 15 ms."""
_LONG_BYTES = websocket.LONG_BYTES  # read with every piece
_STEP_BYTES = 32 * 1024
"""The same of a longer read that is passed on in pieces, which takes the frame that is there then to its end."""


class AgentChannel:
    """One agent's WebSocket.

    Before `start`, messages go to the wire's queue (the registration). The end of the connection always goes there.
    """

    def __init__(self, protocol: Wire) -> None:
        self._protocol = protocol
        self._codec = websocket.Connection(websocket.Role.SERVER, max_message_bytes=protocol.max_message_bytes)
        self._pieces = websocket.PieceReader(self._codec)
        self._joins = protocol.transport.get_extra_info("sslcontext") is not None
        """Each write is a record of its own: join first."""
        self._waiting: deque[bytes] = deque()
        self._waiting_at = 0  # of the first of them, what was parsed
        self._parts: deque[bytes] = deque()  # the rest of a large message, in order
        self._turns = Turns(protocol.loop.call_soon, protocol.transport, self._work)
        self._on_text: Callable[[str], None] | None = None
        self._on_bytes: Callable[[bytes], None] | None = None
        self.on_writable: Callable[[], None] = lambda: None
        self.divides = False
        """Whether to pass on binary messages in the pieces in which they come. yamux ignores message borders."""

    def start(
        self, on_text: Callable[[str], None], on_bytes: Callable[[bytes], None], on_writable: Callable[[], None]
    ) -> None:
        """Start to pass messages on; call `on_writable` once there is room after `send` returned False."""
        self._on_text = on_text
        self._on_bytes = on_bytes
        self.on_writable = on_writable

    def send(self, message: str | Batch) -> bool:
        """Write one message. False: the transport's buffer is above its mark."""
        protocol = self._protocol
        transport = protocol.transport
        if not transport.is_closing() and not protocol.close_sent:
            if type(message) is not Parts:
                transport.write(self._codec.send_message(message))
            elif self._joins:
                transport.write(self._codec.send_message(bytes(message)))
            else:
                transport.writelines(self._codec.send_in_parts(message.pieces, message.size_bytes))
        return protocol.is_writable

    def hold_little(self) -> None:
        """Let as little as possible wait below `send`, so that what is small may overtake what is large."""
        hold_little(self._protocol.transport)

    def connection_lost(self) -> None:
        """The connection is gone: deliver nothing more; idempotent."""
        self._waiting.clear()
        self._parts.clear()
        self._on_text = self._on_bytes = None
        self.on_writable = lambda: None
        self._turns.end()

    def data_received(self, data: bytes) -> None:
        """Bytes from the agent. Parsed in order, in slices of bounded work."""
        self._protocol.heard = True
        on_bytes = self._on_bytes
        if self._turns.due is None and on_bytes is not None:
            if not self._pieces.left and (len(data) <= _LONG_BYTES or not self.divides):
                message = self._codec.whole_message(data)
                if type(message) is bytes:  # at most 64 KiB
                    on_bytes(message)  # the common case takes the short path
                    return
                if message is not None:
                    self._tell(message)
                    return
            size = len(data)
            if size <= _SLICE_BYTES:
                at = self._parse(data, 0, size)
                if at < size:
                    self._waiting.append(data)
                    self._waiting_at = at
                self._turns.schedule(self._left())
                return
        self._waiting.append(data)
        self._turns.run()

    def _tell(self, message: str | bytes) -> None:
        if isinstance(message, str):
            if self._on_text is not None:
                self._on_text(message)
        elif self._on_bytes is not None:
            self._on_bytes(message)

    def _work(self) -> Left:
        if self._protocol.transport.is_closing():
            self._waiting.clear()  # else its turns would not end before the agent has taken what was written
        if self._parts:
            self._tell(self._parts.popleft())
        elif self._waiting:
            data = self._waiting[0]
            self._waiting_at = self._parse(data, self._waiting_at, self._waiting_at + _STEP_BYTES)
            if self._waiting_at >= len(data):
                self._waiting_at = 0
                if self._waiting:  # else the connection was lost meanwhile
                    self._waiting.popleft()
        return self._left()

    def _parse(self, data: bytes, at: int, stop: int) -> int:
        """Parse a slice of what came, from this place on. Returns where it ended."""
        stop = min(stop, len(data))
        if self._on_bytes is not None and (self.divides or self._pieces.left):
            events, at = self._pieces.receive_data(data, at, stop)
        else:
            events, at = self._codec.receive_data(data[at:stop]), stop
        self._handle_all(events)
        return at

    def _left(self) -> Left:
        if self._parts or self._waiting:
            return Left.MORE
        return Left.BLOCKED if self._protocol.read_paused else Left.NOTHING

    def _handle_all(self, events: list[websocket.Event]) -> None:
        """Handle the events of one slice, and send the codec's answers."""
        protocol = self._protocol
        for event in events:
            if type(event) is websocket.Piece:
                self._tell(event.data)
            else:
                self._handle(event)
        owed = self._codec.data_to_send()
        if owed and not protocol.close_sent and not protocol.transport.is_closing():
            protocol.transport.write(owed)
        if self._codec.state is websocket.State.CLOSED:
            protocol.hang_up()

    def _handle(self, event: websocket.Event) -> None:
        protocol = self._protocol
        match event:
            case websocket.Message() if self._on_bytes is not None:
                data = event.data
                if self.divides and isinstance(data, bytes) and (len(data) > _SLICE_BYTES or self._parts):
                    self._parts.extend(slices(data, _SLICE_BYTES))
                else:
                    self._tell(data)
            case websocket.Message():
                protocol.received(event.data)
                if not protocol.read_paused:
                    protocol.read_paused = True
                    protocol.transport.pause_reading()
            case websocket.Closed() | websocket.Failed():
                protocol.ended(event.code, event.reason)
            case _:
                pass  # the codec answers pings; a pong only shows that the agent is alive
