"""One HTTP request and its answer, streamed to the gateway as it comes, or whole where the gateway asks for that.

Redirects are for the client to follow; these dialects have no messages for interim answers and trailers. Invariants: a
streamed answer is one header, the pieces of its body and one end, or one abort in place of the rest; a whole answer has
at most `WHOLE_BYTES`, counted while it grows. The only limit of time is the request's own, for the answer's head.
"""

from tunnel.account import Holding
from tunnel.agent.proxied.exchange import TOO_LATE, ServiceExchange, Shared
from tunnel.agent.proxied.request import GatewayRequest
from tunnel.agent.service.services import Destination
from tunnel.errors import TunnelError
from tunnel.override import override
from tunnel.port import Exchange, RequestHead, ResponseHead
from tunnel.wire.message_limits import carried_bytes

WHOLE_BYTES = 10 * 1024 * 1024
"""The most of an answer in one message: 13.4 MiB in base64, below the 16 MiB that gateways commonly take."""


class ServiceRequest(ServiceExchange):
    """A `proxy_request` that opens no WebSocket."""

    def __init__(self, request_id: str, request: GatewayRequest, shared: Shared) -> None:
        super().__init__(request_id, request, shared)
        self._answer: ResponseHead | None = None
        self._body: list[bytes] = []
        """Of an answer that is to be given whole."""
        self._holding = Holding(shared.account)
        self._whole_bytes = min(WHOLE_BYTES, carried_bytes(self._limit_bytes))

    @override
    def _prepare(self, destination: Destination) -> RequestHead:
        request = self._request
        body = b"" if request.uploads else request.whole_body()
        head = request.head(str(destination), len(body))
        if not request.uploads:
            self._backlog.put(body)
            self._backlog.end()
        if request.timeout > 0:
            self._within(request.timeout / 1000, self._too_late)
        return head

    @override
    def _opened(self, exchange: Exchange) -> None:
        self._send(lambda: self._backlog.open(exchange))

    # --- told by the carrier

    def body_data(self, data: bytes) -> None:
        """The next piece of a body that follows its request."""
        self._send(lambda: self._backlog.put(data))

    def body_end(self) -> None:
        """That body is complete."""
        self._send(self._backlog.end)

    @override
    def break_off(self, why: str) -> None:
        self._fail(f"{self.prefix}{why}")

    # --- told by the service's connection

    @override
    def head(self, head: ResponseHead, /) -> None:
        if head.status < 200:
            return
        self._stop_waiting()
        self._answer = head
        if self._streamed:
            self._say(self._shared.wire.header(self.request_id, head.status, head.headers))
            self._pause_if_full()

    @override
    def data(self, data: bytes, /) -> None:
        if self._streamed:
            self._say_body(data)
            return
        self._body.append(data)
        self._holding.add(len(data))
        account = self._shared.account
        if self._holding.size_bytes > self._whole_bytes:
            self._fail(f"{self.prefix}the answer is longer than {self._whole_bytes} bytes, and was to come whole")
        elif account.held_bytes > account.hard_mark_bytes:
            self._fail(f"{self.prefix}the agent holds too much to take an answer whole")

    @override
    def end(self) -> None:
        wire = self._shared.wire
        if self._streamed or self._answer is None:
            self._finish(wire.end(self.request_id))
        else:
            self._say(wire.response(self.request_id, self._answer, b"".join(self._body)))
            self._finish()

    @override
    def failed(self, error: TunnelError, /) -> None:
        begun = self._answer is not None and self._streamed
        self._fail(f"unexpected EOF: {error}" if begun else f"{self.prefix}{error}")

    def _too_late(self) -> None:
        self._fail(f"{self.prefix}{TOO_LATE}")

    @override
    def _finish(self, *last: str) -> None:
        super()._finish(*last)
        self._body = []
        self._holding.close()
