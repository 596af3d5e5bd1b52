"""One HTTP request and its answer, carried as messages (tunnel/PROTOCOL.md section 5).

A body up to `COLLECTED_BYTES` is collected and leaves with its request, in one message. A longer one follows it in
chunks, limited by the link's `UploadWindow`. Both are smaller where the agent accepts only smaller messages. The answer
comes as a header, chunks and an end, or in one message.

When its link is lost, a request that left whole and has no answer yet waits: its agent may answer on its next link.
A request that must not be repeated waits for as long as its agent may take, once such a link came.

Invariants: an upload that does not reach its end is cancelled, here or on the agent's next link; without that it would
hang in the agent for ever. More or less body than announced ends the exchange with BodyLengthError, and its sink is not
told.
"""

import asyncio
from typing import NoReturn

from tunnel.account import Holding
from tunnel.errors import LinkLostError, TunnelError
from tunnel.gateway.proxied.answer import AnswerHead
from tunnel.gateway.proxied.carrying import ExchangeCarrier
from tunnel.gateway.proxied.exchange import ProxiedExchange
from tunnel.gateway.proxied.proxy_stream import DATA
from tunnel.http1 import BodyLengthError, is_repeatable
from tunnel.override import override
from tunnel.port import RequestHead, Sink
from tunnel.wire import messages
from tunnel.wire.message_limits import carried_bytes, enveloped_bytes, size_of
from tunnel.wire.proxy_messages import BodyChunk, Nothing, ProxyRequest, encode_data

COLLECTED_BYTES = 4 * 1024 * 1024
"""A body up to here leaves in one message: the service gets it with its length, which many services need, and it does
not block the agent's reader (tunnel/PROTOCOL.md section 5, "Limits")."""

CHUNK_BYTES = 32 * 1024
"""Of a longer body: what the agent writes to its service at once."""

ANSWER_SECONDS = 35.0
"""By then an agent whose own limit is 30 s has answered, or never will."""

_AMPLE_BYTES = enveloped_bytes(COLLECTED_BYTES) + 1024 * 1024
"""An agent that accepts this much accepts every request with a collected body: a head has at most 128 KiB, escaped."""

_COLLECTED, _STREAMED, _SENT = range(3)


class ProxiedHttp(ProxiedExchange):
    """One request. Its sink gets the answer."""

    def __init__(self, carrier: ExchangeCarrier, head: RequestHead, request: ProxyRequest, sink: Sink) -> None:
        whole = 0 if request.supports_response_streaming else carrier.max_message_bytes
        super().__init__(carrier, head, sink, whole_bytes=whole)
        self._request = request
        self._length = head.body_length
        self._repeatable = is_repeatable(head.method) and head.body_length == 0
        self._taken = 0
        self._body = bytearray()
        self._body_holding = Holding(carrier.account)
        self._upload = _COLLECTED
        self._dropped = False  # part of the upload was not sent: the answer was already complete, or the head too large
        self._collected_bytes, self._chunk_bytes = COLLECTED_BYTES, CHUNK_BYTES
        if carrier.agent_limit_bytes < _AMPLE_BYTES:
            self._divide_by(carrier.agent_limit_bytes)
        self._timer: asyncio.TimerHandle | None = None
        if self._length == 0:
            self._send_whole()
        elif self._length is not None and self._length > self._collected_bytes:
            self._begin_upload()

    # --- told by the door

    @property
    @override
    def held_bytes(self) -> int:
        return super().held_bytes + self._body_holding.size_bytes

    @override
    def send_data(self, data: bytes, /) -> bool:
        """Take body bytes. Raises BodyLengthError."""
        if self.over or not data:
            return True
        self._taken += len(data)
        if self._upload == _SENT or (self._length is not None and self._taken > self._length):
            self._refuse_body("more body than announced")
        welcome = True
        if self._upload == _COLLECTED:
            self._body += data
            self._body_holding.set(len(self._body))
            if self._length is None and len(self._body) > self._collected_bytes:
                self._begin_upload()
                welcome = self._send_chunks(self._take_body())
        else:
            welcome = self._send_chunks(data)
        if self._taken == self._length and not self.over:  # at its hard mark the account may have reset us
            self._complete()
        return welcome

    @override
    def end(self) -> None:
        """The body is complete. Raises BodyLengthError."""
        if self.over or self._upload == _SENT:
            return
        if self._length is not None:
            self._refuse_body("less body than announced")
        self._complete()

    # --- told by the carrier

    @override
    def header_received(self, head: AnswerHead) -> None:
        if self.answer_began:
            self.rule_broken("a second proxy_response_header")
        else:
            self._put_head(head)

    @override
    def chunk_received(self, data: bytes) -> None:
        if not self.answer_began:
            self.rule_broken("proxy_response_chunk before the header")
        else:
            self._put(DATA, data)

    @override
    def end_received(self) -> None:
        if not self.answer_began:
            self.rule_broken("proxy_response_end before the header")
        else:
            self._put_end()

    @override
    def whole_received(self, head: AnswerHead, body: bytes) -> None:
        if self.answer_began:
            self.rule_broken("proxy_response after a proxy_response_header")
            return
        self._put_head(head)
        if body:
            self._put(DATA, body)
        self._put_end()

    @override
    def link_lost(self, error: TunnelError) -> None:
        """Deliver what arrived completely, wait for what may still come, fail otherwise."""
        if self.answer_ended:
            return
        if self.answer_began or not self._left_whole or self.carrier.forgetful:
            self.fail(error)
            return
        self._wait_for_answer(self.carrier.grace_seconds)

    @property
    @override
    def adoptable(self) -> bool:
        return not self.answer_began and self._left_whole

    @override
    def adopted(self, carrier: ExchangeCarrier) -> None:
        self._end_upload()  # it left whole, on the old link
        self._stop_timer()
        super().adopted(carrier)

    # --- the way up

    @property
    def _left_whole(self) -> bool:
        return self._upload == _SENT and self.stream.lane.empty and self.stream.lane.sent > 0

    def _complete(self) -> None:
        """The door gave the last byte of the body."""
        if self._upload == _COLLECTED:
            self._send_whole()
            return
        self._upload = _SENT
        if self._dropped or self.carrier.is_lost or (self._told and not self.stream.lane.empty):
            self._tell("proxy_cancel")  # part of the body was dropped, or lost with the link
        elif self._told:
            self._tell("proxy_request_stream_end")
        else:
            self.stream.send(messages.encode("proxy_request_stream_end", Nothing(), self.request_id))
        if self._told:
            self._close()

    def _send_whole(self) -> None:
        self._upload = _SENT
        if self._body:
            self._request.body, self._request.body_encoding = encode_data(self._take_body()), "base64"
        self._send_request(self._request)
        self._request.body = ""

    def _divide_by(self, limit_bytes: int) -> None:
        """Divide the body so that the agent accepts each message."""
        head = size_of(messages.encode("proxy_request", self._request, self.request_id))
        self._collected_bytes = min(COLLECTED_BYTES, carried_bytes(limit_bytes - head))
        self._chunk_bytes = min(CHUNK_BYTES, carried_bytes(limit_bytes))

    def _begin_upload(self) -> None:
        self._upload = _STREAMED
        self.carrier.upload_began()
        self._request.streaming = True
        if self._length is not None:
            # The existing agent's HTTP client drops it. Others pass it on, for services that insist on it.
            self._request.headers["Content-Length"] = [str(self._length)]
        self._dropped = not self._send_request(self._request)

    def _end_upload(self) -> None:
        """Idempotent; nothing for a request that was not streamed."""
        if self._request.streaming:
            self._request.streaming = False
            self.carrier.upload_ended()

    def _send_chunks(self, data: bytes) -> bool:
        if self._told or self.carrier.is_lost or self._dropped:
            self._dropped = True  # the agent would discard it, and there is no sink to be told `writable`
            return True
        welcome = True
        size = self._chunk_bytes
        for at in range(0, len(data), size):
            piece = data[at : at + size]
            chunk = BodyChunk(data=encode_data(piece), size=len(piece))
            text = messages.encode("proxy_request_chunk", chunk, self.request_id)
            welcome = self.stream.send(text, upload_bytes=len(piece))
        return welcome

    def _refuse_body(self, why: str) -> NoReturn:
        self.reset()
        raise BodyLengthError(why)

    def _take_body(self) -> bytes:
        body = bytes(self._body)
        self._body.clear()
        self._body_holding.set(0)
        return body

    # --- its end

    @override
    async def _deliver(self) -> None:
        await self._deliver_answer(await self.stream.receive_head())

    @override
    def _answer_delivered(self) -> None:
        if self._upload == _SENT:
            if not self.stream.lane.empty:
                self._tell("proxy_cancel")  # the service answered before it had the whole body: drop the rest
            self._close()

    @override
    def _cancel(self) -> None:
        """An upload that did not leave whole must be cancelled. For others this tells agents that can stop."""
        lane = self.stream.lane
        through = self._upload == _SENT and lane.empty
        done = (self.answer_ended and not self._agent_goes_on) or self.carrier.is_lost
        if lane.sent and not (through and done):
            self._tell("proxy_cancel")

    def _tell(self, kind: str) -> None:
        self.stream.drop_unsent()
        self.carrier.tell(messages.encode(kind, Nothing(), self.request_id))

    @override
    def _close(self) -> None:
        self._end_upload()
        self._upload = _SENT
        self._body.clear()
        self._body_holding.close()
        self._stop_timer()
        super()._close()

    # --- waiting for the agent's next link

    def _wait_for_answer(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(max(0.0, seconds), self._waited)

    def _waited(self) -> None:
        self._timer = None
        left = self.stream.lane.last_sent + ANSWER_SECONDS - self.carrier.clock()
        came = self.carrier.newer_link_came(self.stream.lane.last_sent)
        if came and not self._repeatable and left > 0:
            self._wait_for_answer(left)
        else:
            self.fail(LinkLostError(f"{self.carrier.name} was lost, and no answer came on the agent's next link"))

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
