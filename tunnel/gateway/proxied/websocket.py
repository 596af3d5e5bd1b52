"""One WebSocket carried as messages: RFC 6455 frames on the door's side, `[1 byte type][payload]` on the agent's.

The door speaks to a service, so we are the server of its frames: decode what it masks, encode what the agent sends.
The 101 is held back until the agent's answer is complete: a header with 101 may yet be followed by an abort. What the
dialects do differently, the carrier says.

Invariants: messages keep their order both ways; nothing follows a close, either way; the door is told of the end
exactly once, and always by a close frame where it may have one; the agent is told exactly once that it is over.
"""

from typing import TYPE_CHECKING

from tunnel import websocket
from tunnel.errors import BadAnswerError, ServiceBrokeOffError, ServiceUnreachableError, TunnelError
from tunnel.gateway.proxied.answer import AnswerHead
from tunnel.gateway.proxied.connection import DATA
from tunnel.gateway.proxied.exchange import ProxiedExchange
from tunnel.gateway.proxied.frames import VANISHED, encoded_message, sound_close, switching_fields
from tunnel.http1 import BadRequestError, BodyLengthError
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

if TYPE_CHECKING:
    from tunnel.gateway.proxied.carrier import ProxiedCarrier


class WebSocketExchange(ProxiedExchange):
    """One WebSocket, from its handshake to both ends' close."""

    def __init__(
        self,
        carrier: "ProxiedCarrier",
        head: RequestHead,
        request: ProxyRequest,
        sink: Sink,
        *,
        interval_seconds: float,
    ) -> None:
        keys = [value for name, value in head.headers if name.lower() == b"sec-websocket-key"]
        if len(keys) != 1:
            raise BadRequestError("a WebSocket handshake has one Sec-WebSocket-Key")
        limit = carrier.shared.max_message_bytes
        super().__init__(carrier, head, sink, whole_bytes=limit, interval_seconds=interval_seconds)
        self._key = keys[0]
        self._codec = websocket.Connection(websocket.Role.SERVER, max_message_bytes=limit)
        self._assembling = 0  # as last told to the account
        self._handshake: AnswerHead | None = None  # a head that is not yet known to be the answer
        self.open = False
        """The agent said 101 and stayed with it."""
        self._door_closed: bytes | None = None  # the payload of the door's close frame
        self._agent_told = False  # that it is over
        carrier.connection.send_proxy_request(self.request_id, request)

    # --- told by the door

    @property
    def held_bytes(self) -> int:
        """See `Exchange.held_bytes`."""
        return super().held_bytes + self._assembling

    def send_data(self, data: bytes, /) -> bool:
        """See `Exchange.send_data`: frames, cut anywhere. Raises BodyLengthError before the 101."""
        if self.over or self._door_closed is not None or self.carrier.is_lost:
            return True
        if not self.open:
            self.reset()
            raise BodyLengthError("a WebSocket's handshake has no body")
        welcome = True
        for event in self._codec.receive_data(data):
            match event:
                case websocket.Message():
                    welcome = self.carrier.send_message(self, encoded_message(event.data))
                case websocket.Ping() if self.carrier.forwards_pings:
                    welcome = self._send(PING, event.payload)
                case websocket.Pong() if self.carrier.forwards_pings:
                    welcome = self._send(PONG, event.payload)
                case websocket.Closed():
                    self._close_by_door(event.code, event.reason)
                case websocket.Failed():
                    self.close_door(event.code, event.reason, f"our own door: {event.reason}")
                case _:
                    pass  # a ping says nothing of a service that no pong comes from; see the carrier
        self._count()
        return welcome

    def end(self) -> None:
        """See `Exchange.end`. Without a close frame before it, the WebSocket is abandoned."""
        if self._door_closed is None and not self._told:
            self.reset()

    # --- told by the carrier

    def header_received(self, head: AnswerHead) -> None:
        """The service's answer to the handshake, or its beginning."""
        if self.answer_began:
            self.rule_broken("a second proxy_response_header")
            return
        self.answer_began = True
        self._handshake = head

    def chunk_received(self, data: bytes) -> None:
        """The body of a refusal."""
        if self.open or (self._handshake is not None and self._handshake.status == 101):
            self.rule_broken("proxy_response_chunk of a WebSocket")
        elif not self.answer_began:
            self.rule_broken("proxy_response_chunk before the header")
        else:
            self._refuse()
            self._put(DATA, data)

    def end_received(self) -> None:
        """The 101 stands, or the refusal is complete."""
        head = self._handshake
        if self.open or not self.answer_began:
            self.rule_broken("proxy_response_end without a header before it")
        elif head is not None and head.status == 101:
            self._accept(head)
        else:
            self._refuse()
            self._put_end()

    def abort_received(self, text: str) -> None:
        """No WebSocket: a refusal by the service, where the agent gave its status and fields."""
        head = self._handshake
        if self.open:
            self.service_ended(text)
        elif head is not None and 300 <= head.status < 600 and head.headers is not None:
            self._refuse()
            self._put_end()
        elif self.answer_began and head is None:
            self.break_off(ServiceBrokeOffError(f"the agent says {text[:300]!r}"))
        else:
            status = f"status {head.status}, " if head is not None else ""
            self.break_off(ServiceUnreachableError(f"{status}the agent says {text[:300]!r}"))

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
        """One encoded WebSocket message of the service."""
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
            self._answer_is_over()
        elif kind == PING:
            if self._may_cross(payload) and self._door_closed is None and not self.stream.lane.full:
                self._send(PONG, payload)  # an agent that does not read gets no more of them
        elif self._may_cross(payload):
            self._put(DATA, encoded)

    def service_ended(self, reason: str) -> None:
        """The agent says that it is over. Without a close frame before that, the service has vanished."""
        if not self.open:
            self.break_off(ServiceUnreachableError(f"closed in its handshake, the agent says {reason[:300]!r}"))
        elif self._door_closed is not None:
            self._put_close(self._door_closed)
        else:
            self._log(f"the service vanished, the agent says {reason[:300]!r}")
            self._put_close(close_payload(VANISHED, "service vanished"))

    def close_door(self, code: int, reason: str, why: str) -> None:
        """End it from our side, after what came before: the door gets this close, the agent is told to clean up."""
        self._log(why)
        if self.open:
            self._put_close(close_payload(code, reason))
        else:
            self.break_off(BadAnswerError(why), agent_goes_on=True)

    def link_lost(self, error: TunnelError) -> None:
        """Messages may have been lost with it: a WebSocket does not go on, unless all of it is here."""
        if not self.answer_ended:
            self.fail(error)

    @property
    def adoptable(self) -> bool:
        """Never: what was sent in the gap is lost."""
        return False

    # --- inside

    def _may_cross(self, control_payload: bytes) -> bool:
        return self.carrier.forwards_pings and len(control_payload) <= CONTROL_LIMIT_BYTES

    def _send(self, kind: int, payload: bytes) -> bool:
        return self.carrier.send_message(self, encode_websocket_message(kind, payload))

    def _close_by_door(self, code: int, reason: str) -> None:
        payload = close_payload(None, "") if code == 1005 else close_payload(code, reason)
        self._door_closed = payload
        self._agent_told = self.carrier.close_service(self, payload)
        if self._agent_told:
            self._put_close(payload)  # nobody else will answer it

    def _put_close(self, payload: bytes) -> None:
        if not self.answer_ended:
            self._put(DATA, bytes((CLOSE,)) + payload)
            self._answer_is_over()

    def _accept(self, head: AnswerHead) -> None:
        self.open = True
        self._handshake = None
        self._put_head(head)

    def _refuse(self) -> None:
        """The held head is the answer's after all."""
        head, self._handshake = self._handshake, None
        if head is not None:
            self._put_head(head)

    async def _deliver(self) -> None:
        connection = self.carrier.connection
        head = await connection.wait_for_proxy_response(self.request_id)
        if head.status != 101:
            await self._deliver_answer(head, upgrade=True)
            return
        fields = switching_fields(head, self._key)
        await self._unpaused()
        self._tell_head(ResponseHead(101, fields))
        while not self._told:
            await self._unpaused()
            encoded = await connection.read_stream_chunk(self.request_id)
            await self._unpaused(len(encoded))
            self._tell_message(encoded[0], encoded[1:])

    def _tell_message(self, kind: int, payload: bytes) -> None:
        if kind != CLOSE:
            self._tell_data(encode_frame(kind, payload, masked=False))
        elif self._tell_data(encode_frame(CLOSE, sound_close(payload), masked=False)):
            self._tell_end()

    def _ended(self) -> None:
        self._abandon()
        self._dispose()

    def _abandon(self) -> None:
        refused = self.answer_ended and not self.open and not self._agent_goes_on
        if not self._agent_told and not refused and self.stream.lane.sent:
            self._agent_told = True
            self.carrier.close_stream(self, "closed" if self.answer_ended else "given up")
            self.carrier.closed.remember(self.request_id, in_handshake=not self.answer_ended and not self.open)

    def _dispose(self) -> None:
        self._codec = websocket.Connection(websocket.Role.SERVER)
        self._count()
        super()._dispose()

    def _count(self) -> None:
        """Tell the account what is held of the message being assembled."""
        held = self._codec.buffered_bytes
        if held != self._assembling:
            self.carrier.shared.account.adjust(held - self._assembling)
            self._assembling = held
