"""The client's end of a WebSocket without ASGI: messages arrive as calls and frames leave as writes, without a task.

Takes over both directions of a connection (`wire.py`) right after the accept. Who made the connection keeps the
keep-alive pings and the end of it. Works in bounded slices, so that no client can block the event loop. The socket is
not read while there is a backlog, so this holds at most one read of it, one message and some pongs, counted in the
process's account.
"""

import logging

from tunnel import websocket
from tunnel.account import Account, Holding
from tunnel.override import override

from ..public.client_port import Message, WebSocketClient, WebSocketListener
from .backlog import Backlog
from .sockets import is_reset, unsent_bytes
from .turns import Left, Turns
from .wire import Wire

logger = logging.getLogger("gateway")

TURN_EVENTS = 12
"""Messages and control frames handled in one slice of work, about 0.4 ms."""
_FRAMES = 32
"""Parsed at once, and counted as `_FRAMES_EVENTS`: 2 us each. Most bring an event, and some only a fragment."""
_FRAMES_EVENTS = 2
_BATCH_BYTES = 64 * 1024
"""Frames joined into one write."""


class ClientChannel(WebSocketClient):
    """The client's end of one WebSocket, on a server's transport."""

    __slots__ = (
        "_codec",
        "_events",
        "_frames",
        "_frames_bytes",
        "_full",
        "_held",
        "_listener",
        "_paused",
        "_protocol",
        "_turns",
        "_waiting",
        "_waiting_at",
    )

    def __init__(self, protocol: Wire, max_message_bytes: int, account: Account, backlog: Backlog) -> None:
        self._protocol = protocol
        largest = min(max_message_bytes, protocol.max_message_bytes)
        self._codec = websocket.Connection(websocket.Role.SERVER, max_message_bytes=largest)
        self._held = Holding(account)
        self._listener: WebSocketListener | None = None
        self._waiting = b""  # one read, not yet parsed from `_waiting_at` on
        self._waiting_at = 0
        self._events: list[websocket.Event] = []  # events of the last slice, not yet handled
        self._turns = Turns(backlog.call_soon, protocol.transport, self._work)
        self._paused = False  # by the conversation
        self._frames: list[bytes] = []  # queued for the next flush
        self._frames_bytes = 0
        self._full = False  # the transport's buffer is above its mark, and the conversation waits

    def __repr__(self) -> str:
        state = "free" if self._listener is None else "paused" if self._paused else "open"
        return f"<ClientChannel {state}, {self.held_bytes} bytes held, {self.unsent_bytes} unsent>"

    @override
    def start(self, listener: WebSocketListener, /) -> None:
        self._listener = listener

    @override
    def leave(self) -> None:
        self._listener = None
        self.resume_reading()  # the closing handshake continues

    # --- called by the conversation

    @property
    @override
    def held_bytes(self) -> int:
        return self._held.size_bytes

    @property
    @override
    def unsent_bytes(self) -> int:
        return unsent_bytes(self._protocol.transport)

    @override
    def send(self, message: Message, /) -> bool:
        frame = self._codec.send_message(message)
        self._frames.append(frame)
        self._frames_bytes += len(frame)
        return self._frames_bytes < _BATCH_BYTES

    @override
    def send_now(self, message: Message, /) -> bool:
        protocol = self._protocol
        if not protocol.close_sent and not protocol.transport.is_closing():
            protocol.transport.write(self._codec.send_message(message))
        self._full = not protocol.is_writable
        return not self._full

    @override
    def flush(self) -> bool:
        frames = self._frames
        if frames:
            data = frames[0] if len(frames) == 1 else b"".join(frames)
            frames.clear()
            self._frames_bytes = 0
            self._write(data)
        self._full = not self._protocol.is_writable
        return not self._full

    @override
    def close(self, code: int, reason: str, /) -> bool:
        self.flush()
        protocol = self._protocol
        if not protocol.close_sent:
            self._write(self._codec.close(None if code == 1005 else code, "" if code == 1005 else reason))
            protocol.await_close()
        self._full = False
        self.resume_reading()
        return True

    @override
    def abort(self) -> None:
        self._protocol.transport.abort()

    @override
    def pause_reading(self) -> None:
        self._paused = True  # the socket is still read until data arrives, so that we notice a client that leaves

    @override
    def resume_reading(self) -> None:
        self._paused = False
        if self._waiting or self._events:
            self._turns.wake()

    # --- called by the protocol

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        self._protocol.heard = True
        if self._paused or self._waiting or self._events:
            data = self._waiting[self._waiting_at :] + data
        else:
            message = self._codec.whole_message(data)
            if message is not None:
                self._tell(message)  # the common case takes the short path
                return
        self._waiting, self._waiting_at = data, 0
        self._turns.run()

    def on_writable(self) -> None:
        """The transport's buffer has drained."""
        self._answer()
        self._count()
        if self._full:
            self._full = False
            if self._listener is not None:
                self._listener.client_writable()

    def ended(self, code: int) -> None:
        """The server closes the connection, for a reason of its own."""
        if self._listener is not None:
            self._listener.client_left(code, "")

    def connection_lost(self) -> None:
        """The connection is gone: pass on the events that are left, unless paused."""
        self._turns.end()
        while self._events and not self._paused:
            self._handle(self._events.pop(0))
        self._codec.lose()
        self._drop()
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.client_left(1006, "")

    # --- inside

    def _work(self) -> Left:
        """Do one turn's work of the backlog."""
        if self._waiting_at and is_reset(self._protocol.transport):
            self._drop()
            self._protocol.transport.abort()
            return Left.NOT_OURS
        budget = TURN_EVENTS
        while budget > 0 and not self._paused:
            if self._events:
                budget -= 1
                self._handle(self._events.pop(0))
            elif self._waiting:
                budget -= _FRAMES_EVENTS
                self._parse()
            else:
                break
        self._count()
        if self._waiting or self._events:
            return Left.BLOCKED if self._paused else Left.MORE
        return Left.NOTHING

    def _parse(self) -> None:
        """Parse some frames of what waits."""
        events, at = self._codec.receive_frames(self._waiting, self._waiting_at, _FRAMES)
        self._events.extend(events)
        if at < len(self._waiting):
            self._waiting_at = at
        else:
            self._waiting, self._waiting_at = b"", 0

    def _handle(self, event: websocket.Event) -> None:
        if type(event) is websocket.Message:
            self._tell(event.data)
        elif type(event) is websocket.Ping:
            self._answer()
        elif isinstance(event, websocket.Closed | websocket.Failed):
            self._end(event)

    def _tell(self, message: Message) -> None:
        if self._listener is None:
            return
        try:
            self._listener.message(message)
        except Exception:  # a bug in the gateway ends only this WebSocket
            logger.exception("a WebSocket failed")
            self.abort()

    def _answer(self) -> None:
        """Send the codec's pending answers. While the client does not read, the codec keeps the newest pongs."""
        if self._protocol.is_writable:
            self._write(self._codec.data_to_send())

    def _end(self, event: websocket.Closed | websocket.Failed) -> None:
        """The client closed or broke the protocol: send the codec's answer, unless our close frame was sent before."""
        protocol = self._protocol
        self._drop()
        self._write(self._codec.data_to_send())
        protocol.close_sent = True
        protocol.hang_up()
        if self._listener is not None:
            self._listener.client_left(event.code, event.reason)

    def _write(self, data: bytes) -> None:
        protocol = self._protocol
        if data and not protocol.close_sent and not protocol.transport.is_closing():
            protocol.transport.write(data)

    def _drop(self) -> None:
        self._waiting, self._waiting_at = b"", 0
        self._events.clear()
        self._frames.clear()
        self._count()

    def _count(self) -> None:
        held = len(self._waiting) + self._codec.buffered_bytes + self._codec.owed_bytes
        if held and not self._held.size_bytes and self._listener is not None:
            self._listener.client_holds()
        self._held.set(held)
