"""The client's end of a WebSocket below ASGI: messages as calls, frames as writes, no task and no queue between.

Takes over both directions of uvicorn's WebSocket protocol right after the accept; keep-alive pings and the end of the
connection stay uvicorn's. Work is done in slices of bounded work, so that no client can hold the event loop; while
there is a backlog the socket is not read, so what is held is one read of it and one message, counted into the account.
"""

import logging

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode

from tunnel import websocket
from tunnel.account import Account, Holding

from ..public.client_port import Message, Talk
from .turns import Left, Turns, slices

logger = logging.getLogger("gateway")

_SLICE_BYTES = 16 * 1024
"""Parsed at once: 2,700 of the smallest frames, some 5 ms."""
_TURN_EVENTS = 64
"""Messages and control frames of one turn of the event loop, some 2 ms."""
_SLICE_EVENTS = 16
"""What a slice counts as: 64 KiB a turn, where it brings nothing whole."""
_BATCH_BYTES = 64 * 1024
"""Of frames joined into one write."""
_CLOSE_SECONDS = 10.0
"""For the client's answer to our close frame; and then for what was not sent yet."""


class ClientChannel:
    """See the module; a `WebSocketClient`."""

    __slots__ = (
        "_codec",
        "_events",
        "_frames",
        "_frames_bytes",
        "_full",
        "_held",
        "_paused",
        "_protocol",
        "_talk",
        "_turns",
        "_waiting",
        "_waiting_bytes",
    )

    def __init__(self, protocol: WebSocketsSansIOProtocol, max_message_bytes: int, account: Account) -> None:
        self._protocol = protocol
        largest = min(max_message_bytes, protocol.config.ws_max_size)
        self._codec = websocket.Connection(websocket.Role.SERVER, max_message_bytes=largest)
        self._held = Holding(account)
        self._talk: Talk | None = None
        self._waiting: list[bytes] = []  # slices of one read, not parsed yet (an empty deque takes 760 bytes)
        self._waiting_bytes = 0
        self._events: list[websocket.Event] = []  # of the last slice, not obeyed yet
        self._turns = Turns(protocol.loop, protocol.transport, self._work)
        self._paused = False  # by the conversation
        self._frames: list[bytes] = []  # given, and to leave in one write
        self._frames_bytes = 0
        self._full = False  # the transport's buffer is above its mark, and the conversation waits

    def __repr__(self) -> str:
        state = "free" if self._talk is None else "paused" if self._paused else "open"
        return f"<ClientChannel {state}, {self.held_bytes} bytes held, {self.unsent_bytes} unsent>"

    def start(self, talk: Talk) -> None:
        """Tell `talk` from now on."""
        self._talk = talk

    async def leave(self) -> None:
        """Tell nothing any more; the closing handshake goes on."""
        self._talk = None
        self.resume_reading()

    # --- told by the conversation

    @property
    def held_bytes(self) -> int:
        """See `WebSocketClient.held_bytes`."""
        return self._held.size_bytes

    @property
    def unsent_bytes(self) -> int:
        """See `WebSocketClient.unsent_bytes`."""
        return self._protocol.transport.get_write_buffer_size()

    def send(self, message: Message, /) -> bool:
        """See `WebSocketClient.send`."""
        frame = self._codec.send_message(message)
        self._frames.append(frame)
        self._frames_bytes += len(frame)
        return self._frames_bytes < _BATCH_BYTES

    def send_now(self, message: Message, /) -> bool:
        """See `WebSocketClient.send_now`."""
        protocol = self._protocol
        if not protocol.close_sent and not protocol.transport.is_closing():
            protocol.transport.write(self._codec.send_message(message))
        self._full = not protocol.writable.is_set()
        return not self._full

    def flush(self) -> bool:
        """See `WebSocketClient.flush`: all is written at once; False while the transport's buffer is above its mark."""
        frames = self._frames
        if frames:
            data = frames[0] if len(frames) == 1 else b"".join(frames)
            frames.clear()
            self._frames_bytes = 0
            self._write(data)
        self._full = not self._protocol.writable.is_set()
        return not self._full

    def close(self, code: int, reason: str, /) -> bool:
        """See `WebSocketClient.close`."""
        self.flush()
        protocol = self._protocol
        if not protocol.close_sent:
            self._write(self._codec.close(None if code == 1005 else code, "" if code == 1005 else reason))
            protocol.close_sent = True
            protocol.close_timer = protocol.loop.call_later(_CLOSE_SECONDS, self._hang_up)
        self._full = False
        self.resume_reading()
        return True

    def abort(self) -> None:
        """See `WebSocketClient.abort`."""
        self._protocol.transport.abort()

    def pause_reading(self) -> None:
        """See `WebSocketClient.pause_reading`. The socket is read until more comes: a client that leaves is noticed."""
        self._paused = True

    def resume_reading(self) -> None:
        """See `WebSocketClient.resume_reading`."""
        self._paused = False
        if self._waiting or self._events:
            self._turns.wake()

    # --- told by the protocol

    def data_received(self, data: bytes) -> None:
        """Bytes of the client."""
        if self._paused or self._waiting or self._events or len(data) > _SLICE_BYTES:
            self._waiting.extend(slices(data, _SLICE_BYTES))
            self._waiting_bytes += len(data)
            self._turns.run()
            return
        message = self._codec.whole_message(data)
        if message is not None:
            self._tell(message)  # the usual case, without a detour
            return
        self._events.extend(self._codec.receive_data(data))
        self._turns.run()

    def on_writable(self) -> None:
        """The transport's buffer has drained."""
        self._answer()
        if self._full:
            self._full = False
            if self._talk is not None:
                self._talk.client_writable()

    def ended(self, code: int) -> None:
        """uvicorn closes the connection, for a reason of its own."""
        if self._talk is not None:
            self._talk.client_left(code, "")
        if self._protocol.close_timer is None:
            self._hang_up()

    def connection_lost(self) -> None:
        """The connection is gone: what came whole is told, if somebody takes it."""
        self._turns.cancel()
        while self._events and not self._paused:
            self._obey(self._events.pop(0))
        self._drop()
        talk, self._talk = self._talk, None
        if talk is not None:
            talk.client_left(1006, "")

    # --- inside

    def _work(self) -> Left:
        """Do a turn's work of the backlog."""
        budget = _TURN_EVENTS
        while budget > 0 and not self._paused:
            if self._events:
                budget -= 1
                self._obey(self._events.pop(0))
            elif self._waiting:
                budget -= _SLICE_EVENTS
                data = self._waiting.pop(0)
                self._waiting_bytes -= len(data)
                self._events.extend(self._codec.receive_data(data))
            else:
                break
        self._count()
        if self._waiting or self._events:
            return Left.BLOCKED if self._paused else Left.MORE
        return Left.NOTHING

    def _obey(self, event: websocket.Event) -> None:
        if type(event) is websocket.Message:
            self._tell(event.data)
        elif type(event) is websocket.Ping:
            self._answer()
        elif type(event) is websocket.Pong:
            self._protocol.handle_pong(Frame(Opcode.PONG, event.payload))
        elif isinstance(event, websocket.Closed | websocket.Failed):
            self._end(event)

    def _tell(self, message: Message) -> None:
        if self._talk is None:
            return
        try:
            self._talk.message(message)
        except Exception:  # a fault of ours ends this WebSocket, and no other
            logger.exception("a WebSocket failed")
            self.abort()

    def _answer(self) -> None:
        """Send what the codec owes; it keeps the newest pong for a client that reads nothing of what it was sent."""
        if self._protocol.writable.is_set():
            self._write(self._codec.data_to_send())

    def _end(self, event: websocket.Closed | websocket.Failed) -> None:
        """The client closed, or broke the rules: the codec has our answer, unless our close frame went out before."""
        protocol = self._protocol
        self._drop()
        self._write(self._codec.data_to_send())
        protocol.close_sent = True
        self._hang_up()
        if self._talk is not None:
            self._talk.client_left(event.code, event.reason)

    def _write(self, data: bytes) -> None:
        protocol = self._protocol
        if data and not protocol.close_sent and not protocol.transport.is_closing():
            protocol.transport.write(data)

    def _hang_up(self) -> None:
        """Close once all is written; who does not even read that is cut off."""
        protocol = self._protocol
        if protocol.disconnected:
            return
        timer = protocol.close_timer
        if timer is not None:
            timer.cancel()
        protocol.close_timer = protocol.loop.call_later(_CLOSE_SECONDS, protocol.transport.abort)
        protocol.transport.close()

    def _drop(self) -> None:
        self._waiting.clear()
        self._waiting_bytes = 0
        self._events.clear()
        self._frames.clear()
        self._count()

    def _count(self) -> None:
        self._held.set(self._waiting_bytes + self._codec.buffered_bytes)
