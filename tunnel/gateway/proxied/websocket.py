"""One WebSocket carried as messages: RFC 6455 frames on the door's side, `[1 byte type][payload]` on the agent's.

The door speaks to a service, so we are the server of its frames: we decode what it masks and encode what the agent
sends. The 101 is held back until the agent's answer is complete, because a header with 101 may be followed by an abort
(tunnel/PROTOCOL.md section 5). The carrier knows what the dialects do differently.

Invariants: messages keep their order both ways. Nothing follows a close, either way. The door is told of the end
exactly once, with a close frame wherever it may have one. The agent is told exactly once that it is over.
"""

from tunnel import websocket
from tunnel.account import Holding
from tunnel.errors import (
    BadAnswerError,
    MessageTooLargeError,
    ServiceBrokeOffError,
    ServiceUnreachableError,
    TunnelError,
)
from tunnel.gateway.proxied.answer import AnswerHead
from tunnel.gateway.proxied.carrying import WebSocketCarrier
from tunnel.gateway.proxied.exchange import ProxiedExchange
from tunnel.gateway.proxied.frames import VANISHED, encoded_message, sound_close, switching_fields
from tunnel.gateway.proxied.proxy_stream import DATA
from tunnel.gateway.refusals import quoted
from tunnel.http1 import BodyLengthError, UnsendableHeadError
from tunnel.override import override
from tunnel.port import RequestHead, ResponseHead, Sink
from tunnel.websocket.frames import CONTROL_LIMIT_BYTES, close_payload, encode_frame
from tunnel.wire.messages import MessageError
from tunnel.wire.proxy_messages import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    ProxyRequest,
    decode_websocket_message,
    encode_websocket_message,
)


class ProxiedWebSocket(ProxiedExchange):
    """One WebSocket, from its handshake until both ends have closed."""

    carrier: WebSocketCarrier

    def __init__(
        self,
        carrier: WebSocketCarrier,
        head: RequestHead,
        request: ProxyRequest,
        sink: Sink,
        *,
        interval_seconds: float,
    ) -> None:
        keys = [value for name, value in head.headers if name.lower() == b"sec-websocket-key"]
        if len(keys) != 1:
            raise UnsendableHeadError("a WebSocket handshake has one Sec-WebSocket-Key")
        limit = carrier.max_message_bytes
        super().__init__(carrier, head, sink, whole_bytes=limit, interval_seconds=interval_seconds)
        self._key = keys[0]
        self._codec = websocket.Connection(websocket.Role.SERVER, max_message_bytes=limit, answers_pings=False)
        self._assembling = Holding(carrier.account)  # the door's message that is not complete yet
        self._handshake: AnswerHead | None = None  # a head that may not be the answer yet
        self.open = False
        """The agent said 101 and confirmed it."""
        self._door_closed: bytes | None = None  # the payload of the door's close frame
        self._agent_told = False  # that it is over
        self._send_request(request)

    # --- told by the door

    @property
    @override
    def held_bytes(self) -> int:
        return super().held_bytes + self._assembling.size_bytes

    @override
    def send_data(self, data: bytes, /) -> bool:
        """Take RFC 6455 frames, cut anywhere. Raises BodyLengthError before the 101."""
        if self.over or self._door_closed is not None or self.carrier.is_lost:
            return True
        if not self.open:
            self.reset()
            raise BodyLengthError("a WebSocket's handshake has no body")
        welcome = True
        for event in self._codec.receive_data(data):
            if self._agent_told:
                break  # nothing follows a message that was too large
            match event:
                case websocket.Message():
                    welcome = self._send_message(encoded_message(event.data))
                case websocket.Ping() if self.carrier.forwards_pings:
                    welcome = self._send(PING, event.payload)
                case websocket.Pong() if self.carrier.forwards_pings:
                    welcome = self._send(PONG, event.payload)
                case websocket.Closed():
                    self._close_by_door(event.code, event.reason)
                case websocket.Failed():
                    self.close_door(event.code, event.reason, f"our own door: {event.reason}")
                case _:
                    pass  # a ping that the agent would not forward: no pong of ours may stand for the service's
        self._assembling.set(self._codec.buffered_bytes)
        return welcome

    @override
    def end(self) -> None:
        """Our direction ends. Without a close frame before it, the WebSocket is reset."""
        if self._door_closed is None and not self._told:
            self.reset()

    # --- told by the carrier

    @override
    def header_received(self, head: AnswerHead) -> None:
        """The service's answer to the handshake, or its beginning."""
        if self.answer_began:
            self.rule_broken("a second proxy_response_header")
            return
        self.answer_began = True
        self._handshake = head

    @override
    def chunk_received(self, data: bytes) -> None:
        """The body of a refusal."""
        if self.open or (self._handshake is not None and self._handshake.status == 101):
            self.rule_broken("proxy_response_chunk of a WebSocket")
        elif not self.answer_began:
            self.rule_broken("proxy_response_chunk before the header")
        else:
            self._refuse()
            self._put(DATA, data)

    @override
    def end_received(self) -> None:
        """The 101 is final, or the refusal is complete."""
        head = self._handshake
        if self.open or not self.answer_began:
            self.rule_broken("proxy_response_end without a header before it")
        elif head is not None and head.status == 101:
            self._accept(head)
        else:
            self._refuse()
            self._put_end()

    @override
    def abort_received(self, text: str) -> None:
        """There is no WebSocket. It was refused by the service if the agent gave its status and fields."""
        head = self._handshake
        if self.open:
            self.service_ended(text)
        elif head is not None and 300 <= head.status < 600 and head.headers is not None:
            self._refuse()
            self._put_end()
        elif self.answer_began and head is None:
            self.fail_in_turn(ServiceBrokeOffError(quoted(text)))
        else:
            status = f"status {head.status}, " if head is not None else ""
            self.fail_in_turn(ServiceUnreachableError(f"{status}{quoted(text)}"))

    @override
    def whole_received(self, head: AnswerHead, body: bytes) -> None:
        """The answer to the handshake, in one message."""
        if self.answer_began:
            self.rule_broken("proxy_response after a proxy_response_header")
        elif head.status == 101:
            self._accept(head)
        else:
            self._put_head(head)
            if body:
                self._put(DATA, body)
            self._put_end()

    def message_received(self, encoded: bytes) -> None:
        """One encoded WebSocket message from the service."""
        try:
            kind, payload = decode_websocket_message(encoded)
        except MessageError as error:
            self.close_door(VANISHED, "message not understood", str(error))
            return
        if not self.open:
            self.rule_broken("a WebSocket message before the 101")
        elif kind in (TEXT, BINARY):
            self._put(DATA, encoded)
        elif kind == CLOSE:
            self._put(DATA, encoded)
            self._end_answer()
        elif kind == PING:
            if self._may_cross(payload) and self._door_closed is None and not self.stream.lane.full:
                self._send(PONG, payload)  # not to an agent that does not read: they would pile up
        elif self._may_cross(payload):
            self._put(DATA, encoded)

    def service_ended(self, reason: str) -> None:
        """The agent says that the WebSocket is over. Without a close frame before that, the service vanished."""
        if not self.open:
            self.fail_in_turn(ServiceUnreachableError(f"closed in its handshake, {quoted(reason)}"))
        elif self._door_closed is not None:
            self._put_close(self._door_closed)
        else:
            self._log(f"the service vanished, {quoted(reason)}")
            self._put_close(close_payload(VANISHED, "service vanished"))

    def close_door(self, code: int, reason: str, why: str) -> None:
        """Close from our side, after what came before. The door gets this close; the agent is told to clean up."""
        self._log(why)
        if self.open:
            self._put_close(close_payload(code, reason))
        else:
            self.fail_in_turn(BadAnswerError(why), agent_goes_on=True)

    @override
    def link_lost(self, error: TunnelError) -> None:
        """Fail unless everything arrived: messages may have been lost with the link."""
        if not self.answer_ended:
            self.fail(error)

    @property
    @override
    def adoptable(self) -> bool:
        """Never: messages sent between the two links are lost."""
        return False

    # --- inside

    def _may_cross(self, control_payload: bytes) -> bool:
        return self.carrier.forwards_pings and len(control_payload) <= CONTROL_LIMIT_BYTES

    def _send(self, kind: int, payload: bytes) -> bool:
        return self.carrier.send_message(self.stream, encode_websocket_message(kind, payload))

    def _send_message(self, encoded: bytes) -> bool:
        """Send a message; close both sides with 1009 if the agent does not accept one of this size."""
        try:
            return self.carrier.send_message(self.stream, encoded)
        except MessageTooLargeError as error:
            self._log(str(error))
            self._door_closed = close_payload(1009, "")
            self._agent_told = True
            self.carrier.break_off(self.stream, self._door_closed)
            self.fail_in_turn(error)
            return True

    def _close_by_door(self, code: int, reason: str) -> None:
        payload = close_payload(None, "") if code == 1005 else close_payload(code, reason)
        self._door_closed = payload
        self._agent_told = self.carrier.close_service(self.stream, payload)
        if self._agent_told:
            self._put_close(payload)  # no answer will come, so answer the door ourselves

    def _put_close(self, payload: bytes) -> None:
        if not self.answer_ended:
            self._put(DATA, bytes((CLOSE,)) + payload)
            self._end_answer()

    def _accept(self, head: AnswerHead) -> None:
        self.open = True
        self._handshake = None
        self._put_head(head)

    def _refuse(self) -> None:
        """The head that we held back is the service's refusal."""
        head, self._handshake = self._handshake, None
        if head is not None:
            self._put_head(head)

    @override
    async def _deliver(self) -> None:
        head = await self.stream.receive_head()
        if head.status != 101:
            await self._deliver_answer(head, upgrade=True)
            return
        fields = switching_fields(head, self._key)
        await self._unpaused()
        self._tell_head(ResponseHead(101, fields))
        while not self._told:
            await self._unpaused()
            encoded = await self.stream.receive_data()
            await self._unpaused(len(encoded))
            self._tell_message(encoded[0], encoded[1:])

    def _tell_message(self, kind: int, payload: bytes) -> None:
        if kind != CLOSE:
            self._tell_data(encode_frame(kind, payload, masked=False))
        elif self._tell_data(encode_frame(CLOSE, sound_close(payload), masked=False)):
            self._tell_end()

    @override
    def _answer_delivered(self) -> None:
        self._cancel()
        self._close()

    @override
    def _cancel(self) -> None:
        refused = self.answer_ended and not self.open and not self._agent_goes_on
        if not self._agent_told and not refused and self.stream.lane.sent:
            self._agent_told = True
            reason = "closed" if self.answer_ended else "given up"
            self.carrier.end_websocket(self.stream, reason, in_handshake=not self.answer_ended and not self.open)

    @override
    def _close(self) -> None:
        self._codec = websocket.Connection(websocket.Role.SERVER)
        self._assembling.close()
        super()._close()
