"""One HTTP request and its answer, carried as messages.

A body up to `COLLECTED_BYTES` is collected and leaves with its request, in one message; a longer one follows it in
chunks, metered by the link's `Window`. The answer comes in a header, chunks and an end, or whole.

When its link is lost, a request that left whole and has no answer yet waits as an orphan: its agent answers on its next
link. One that must not be repeated waits as long as its agent may take, if such a link came.

Invariants: an upload that does not reach its end is cancelled, here or on the agent's next link: it would hang in the
agent for ever. More or less body than announced ends the exchange with BodyLengthError, and its sink is not told.
"""

import asyncio
from typing import TYPE_CHECKING, NoReturn

from tunnel.errors import LinkLostError, TunnelError
from tunnel.gateway.proxied.answer import AnswerHead
from tunnel.gateway.proxied.connection import DATA
from tunnel.gateway.proxied.exchange import ProxiedExchange
from tunnel.http1 import BodyLengthError, is_repeatable
from tunnel.port import RequestHead, Sink
from tunnel.wire import messages
from tunnel.wire.proxy_messages import BodyChunk, Nothing, ProxyRequest, encode_data

if TYPE_CHECKING:
    from tunnel.gateway.proxied.carrier import ProxiedCarrier

COLLECTED_BYTES = 4 * 1024 * 1024
"""A body up to here leaves in one message (agent-protocol.md section 5.3: prefer that up to some MiB): the service gets
it with its length, which many need, and the agent's reader is not held up."""

CHUNK_BYTES = 32 * 1024
"""Of a longer body: what the agent writes to its service at once."""

ANSWER_SECONDS = 35.0
"""After so long an agent whose own limit is 30 s has answered, or never will."""

_COLLECTED, _STREAMED, _SENT = range(3)


class HttpExchange(ProxiedExchange):
    """One request; the sink gets its answer."""

    def __init__(self, carrier: "ProxiedCarrier", head: RequestHead, request: ProxyRequest, sink: Sink) -> None:
        whole = 0 if request.supports_response_streaming else carrier.shared.max_message_bytes
        super().__init__(carrier, head, sink, whole_bytes=whole)
        self._request = request
        self._length = head.body_length
        self._repeatable = is_repeatable(head.method) and head.body_length == 0
        self._taken = 0
        self._body = bytearray()
        self._upload = _COLLECTED
        self._dropped = False  # some of the upload was not sent: the answer was complete
        self._timer: asyncio.TimerHandle | None = None
        if self._length == 0:
            self._send_whole()
        elif self._length is not None and self._length > COLLECTED_BYTES:
            self._begin_upload()

    # --- told by the door

    @property
    def held_bytes(self) -> int:
        """See `Exchange.held_bytes`."""
        return super().held_bytes + len(self._body)

    def send_data(self, data: bytes, /) -> bool:
        """See `Exchange.send_data`. Raises BodyLengthError."""
        if self.over or not data:
            return True
        self._taken += len(data)
        if self._upload == _SENT or (self._length is not None and self._taken > self._length):
            self._refuse_body("more body than announced")
        welcome = True
        if self._upload == _COLLECTED:
            self._hold(data)
            if self._length is None and len(self._body) > COLLECTED_BYTES:
                self._begin_upload()
                welcome = self._send_chunks(self._let_go())
        else:
            welcome = self._send_chunks(data)
        if self._taken == self._length:
            self._complete()
        return welcome

    def end(self) -> None:
        """See `Exchange.end`. Raises BodyLengthError."""
        if self.over or self._upload == _SENT:
            return
        if self._length is not None:
            self._refuse_body("less body than announced")
        self._complete()

    # --- told by the carrier

    def header_received(self, head: AnswerHead) -> None:
        """The answer begins."""
        if self.answer_began:
            self.rule_broken("a second proxy_response_header")
        else:
            self._put_head(head)

    def chunk_received(self, data: bytes) -> None:
        """Bytes of its body."""
        if not self.answer_began:
            self.rule_broken("proxy_response_chunk before the header")
        else:
            self._put(DATA, data)

    def end_received(self) -> None:
        """The answer is complete."""
        if not self.answer_began:
            self.rule_broken("proxy_response_end before the header")
        else:
            self._put_end()

    def whole_received(self, head: AnswerHead, body: bytes) -> None:
        """The answer is here."""
        if self.answer_began:
            self.rule_broken("proxy_response after a proxy_response_header")
            return
        self._put_head(head)
        if body:
            self._put(DATA, body)
        self._put_end()

    def link_lost(self, error: TunnelError) -> None:
        """Go on with what came whole, wait for what may still come, fail the rest."""
        if self.answer_ended:
            return
        if self.answer_began or not self._left_whole or self.carrier.forgetful:
            self.fail(error)
            return
        self._wait_for_answer(self.carrier.shared.grace_seconds)

    @property
    def adoptable(self) -> bool:
        """Whether its answer may come on another link."""
        return not self.answer_began and self._left_whole

    def adopted(self) -> None:
        """Its agent has another link, and answers there."""
        self._stop_timer()

    # --- the way up

    @property
    def _left_whole(self) -> bool:
        return self._upload == _SENT and self.stream.lane.empty and self.stream.lane.sent > 0

    def _complete(self) -> None:
        """The body was given to the last byte."""
        if self._upload == _COLLECTED:
            self._send_whole()
            return
        self._upload = _SENT
        if self._dropped or self.carrier.is_lost or (self._told and not self.stream.lane.empty):
            self._tell("proxy_cancel")  # what waited, or was on its way, is lost: this is not all of the body
        elif self._told:
            self._tell("proxy_request_stream_end")
        else:
            end = messages.encode("proxy_request_stream_end", Nothing(), self.request_id)
            self.carrier.connection.send(self.request_id, end)
        if self._told:
            self._dispose()

    def _send_whole(self) -> None:
        self._upload = _SENT
        if self._body:
            self._request.body, self._request.body_encoding = encode_data(self._let_go()), "base64"
        self.carrier.connection.send_proxy_request(self.request_id, self._request)
        self._request.body = ""

    def _begin_upload(self) -> None:
        self._upload = _STREAMED
        self.carrier.uploads += 1
        self._request.streaming = True
        if self._length is not None:
            # The existing agent's HTTP client leaves it out; others pass it on, to services that insist on it.
            self._request.headers["Content-Length"] = [str(self._length)]
        self.carrier.connection.send_proxy_request(self.request_id, self._request)

    def _send_chunks(self, data: bytes) -> bool:
        if self._told or self.carrier.is_lost:
            self._dropped = True  # the agent would only discard it, and nobody is left to be told `writable`
            return True
        welcome = True
        for at in range(0, len(data), CHUNK_BYTES):
            piece = data[at : at + CHUNK_BYTES]
            chunk = BodyChunk(data=encode_data(piece), size=len(piece))
            text = messages.encode("proxy_request_chunk", chunk, self.request_id)
            welcome = self.carrier.connection.send(self.request_id, text, upload_bytes=len(piece))
        return welcome

    def _refuse_body(self, why: str) -> NoReturn:
        self.reset()
        raise BodyLengthError(why)

    def _hold(self, data: bytes) -> None:
        self._body += data
        self.carrier.shared.account.adjust(len(data))

    def _let_go(self) -> bytes:
        body = bytes(self._body)
        self._body.clear()
        self.carrier.shared.account.adjust(-len(body))
        return body

    # --- its end

    async def _deliver(self) -> None:
        await self._deliver_answer(await self.carrier.connection.wait_for_proxy_response(self.request_id))

    def _ended(self) -> None:
        if self._upload == _SENT:
            if not self.stream.lane.empty:
                self._tell("proxy_cancel")  # the service answered before it had all, and nobody needs the rest
            self._dispose()

    def _abandon(self) -> None:
        """An upload that is not through must be cancelled; for the rest it tells agents that can stop."""
        lane = self.stream.lane
        through = self._upload == _SENT and lane.empty
        done = (self.answer_ended and not self._agent_goes_on) or self.carrier.is_lost
        if lane.sent and not (through and done):
            self._tell("proxy_cancel")

    def _tell(self, kind: str) -> None:
        self.carrier.connection.outbox.drop(self.stream.lane)
        self.carrier.tell(messages.encode(kind, Nothing(), self.request_id))

    def _dispose(self) -> None:
        if self._request.streaming:
            self.carrier.upload_ended()
        self._upload = _SENT
        self._let_go()
        self._stop_timer()
        super()._dispose()

    # --- an orphan

    def _wait_for_answer(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(max(0.0, seconds), self._waited)

    def _waited(self) -> None:
        self._timer = None
        carrier = self.carrier
        left = self.stream.lane.last_sent + ANSWER_SECONDS - carrier.clock()
        came = carrier.shared.came_since(carrier.cluster, carrier.dialect, self.stream.lane.last_sent)
        if came and not self._repeatable and left > 0:
            self._wait_for_answer(left)
        else:
            self.fail(LinkLostError(f"{carrier.name} was lost, and no answer came on the agent's next link"))

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
