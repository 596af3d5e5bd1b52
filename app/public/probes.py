"""Requests of our own that go the way of clients': what `explain` sends.

Only their client is special. It is in memory (`probe_client.py`, `probe_handshake.py`), takes everything at once, keeps
nothing, and leaves when it has seen enough. Route, limits, link, deadlines, counts and the access line are those of any
exchange, so the record says what a client would have met.
"""

from ..node.gateway import Gateway
from ..observed.record import Record
from ..rules.request import Request
from .client_port import HandshakeListener, HttpListener
from .probe_client import ProbeClient
from .probe_handshake import ProbeHandshake
from .routed import handshake_call, request_call


class Probes:
    """A `Prober` for one gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self.running = 0

    async def probe(self, request: Request, seconds: float, /) -> Record:
        """See `Prober`. A request that has no route is refused, as a client's is."""
        self._gateway.open()
        self.running += 1
        try:
            return await (self._shake_hands if request.is_websocket else self._ask)(request, seconds)
        finally:
            self.running -= 1

    async def _ask(self, request: Request, seconds: float) -> Record:
        client = ProbeClient()
        call = request_call(self._gateway, request, client)
        await client.carry(call, seconds)
        return _record_of(call)

    async def _shake_hands(self, request: Request, seconds: float) -> Record:
        client = ProbeHandshake()
        call = handshake_call(self._gateway, request, client)
        await client.carry(call, seconds)
        return _record_of(call)

    def __repr__(self) -> str:
        return f"<Probes {self.running} running>"


def _record_of(call: HttpListener | HandshakeListener) -> Record:
    assert isinstance(call, Record)  # noqa: S101  (every call is its own record)
    return call
