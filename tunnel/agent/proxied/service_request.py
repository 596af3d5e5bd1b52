"""One HTTP request and its answer, streamed to the gateway as it comes, or whole where the gateway asks for that.

Redirects are the client's to follow; interim answers and trailers have no place on this wire. Invariants: a streamed
answer is said as one header, its body's pieces and one end, or is broken off with one abort; a whole one is at most
`WHOLE_BYTES` long, and counted while it grows. There is no limit of time but the request's own, for the answer's head.
"""

from tunnel.account import Holding
from tunnel.agent.proxied.exchange import TOO_LATE, ServiceExchange, Shared
from tunnel.agent.proxied.request import GatewayRequest
from tunnel.agent.service.services import Destination
from tunnel.errors import TunnelError
from tunnel.port import Exchange, RequestHead, ResponseHead

WHOLE_BYTES = 10 * 1024 * 1024
"""Of an answer in one message: 13.4 MiB in base64, below the 16 MiB that gateways commonly take."""


class ServiceRequest(ServiceExchange):
    """A `proxy_request` that is no WebSocket's."""

    def __init__(self, request_id: str, request: GatewayRequest, shared: Shared) -> None:
        super().__init__(request_id, request, shared)
        self._answer: ResponseHead | None = None
        self._body: list[bytes] = []
        """Of an answer that is to be given whole."""
        self._holding = Holding(shared.account)

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

    def _opened(self, exchange: Exchange) -> None:
        self._send(lambda: self._backlog.open(exchange))

    # --- told by the table

    def body_data(self, data: bytes) -> None:
        """The next piece of a body that comes in pieces."""
        self._send(lambda: self._backlog.put(data))

    def body_end(self) -> None:
        """That body is complete."""
        self._send(self._backlog.end)

    def spoiled(self, why: str) -> None:
        """See `ServiceExchange.spoiled`."""
        self._fail(f"{self.prefix}{why}")

    # --- told by the service's connection

    def head(self, head: ResponseHead, /) -> None:
        """See `Sink.head`."""
        if head.status < 200:
            return
        self._stop_waiting()
        self._answer = head
        if self._streamed:
            self._say(self._shared.wire.header(self.request_id, head.status, head.headers))
            self._pause_if_full()

    def data(self, data: bytes, /) -> None:
        """See `Sink.data`."""
        if self._streamed:
            for text in self._shared.wire.chunks(self.request_id, data):
                self._say(text)
            self._pause_if_full()
            return
        self._body.append(data)
        self._holding.add(len(data))
        account = self._shared.account
        if self._holding.size_bytes > WHOLE_BYTES:
            self._fail(f"{self.prefix}the answer is longer than {WHOLE_BYTES} bytes, and was to come whole")
        elif account.held_bytes > account.hard_mark_bytes:
            self._fail(f"{self.prefix}the agent holds too much to take an answer whole")

    def end(self) -> None:
        """See `Sink.end`."""
        wire = self._shared.wire
        if self._streamed or self._answer is None:
            self._finish(wire.end(self.request_id))
        else:
            self._finish(wire.response(self.request_id, self._answer, b"".join(self._body)))

    def failed(self, error: TunnelError, /) -> None:
        """See `Sink.failed`."""
        begun = self._answer is not None and self._streamed
        self._fail(f"unexpected EOF: {error}" if begun else f"{self.prefix}{error}")

    def _too_late(self) -> None:
        self._fail(f"{self.prefix}{TOO_LATE}")

    def _finish(self, *last: str) -> None:
        super()._finish(*last)
        self._body = []
        self._holding.close()
