"""A link without its WebSocket: the carrier, the gateway's session, and services behind fake transports."""

import asyncio

from tests.fakes.transport import FakeTransport
from tunnel.account import Account
from tunnel.agent.carrier import Wiring
from tunnel.agent.log import Quota
from tunnel.agent.service import dial
from tunnel.agent.service.services import ServiceEntry, Services
from tunnel.agent.traffic import Traffic
from tunnel.agent.yamux.carrier import SpliceCarrier
from tunnel.wire.message_limits import NO_LIMIT_BYTES
from tunnel.wire.messages import YamuxConfig
from tunnel.wire.routing_header import encode
from tunnel.yamux import Role, Session

REQUEST = encode("kuma", "apps", 80) + b"request"


class FakeLink:
    """`batches` is what the carrier sent, which the gateway's session has taken at once."""

    def __init__(self, monkeypatch, limit_bytes=NO_LIMIT_BYTES):
        self.gateway = Session(Role.SERVER)
        self.batches = []
        self.services = []
        self.refuse = False
        self.failures = []
        wiring = Wiring(
            send_text=lambda _text: None,
            send_bytes=self._send_bytes,
            idle=lambda: None,
            failed=self.failures.append,
            note=lambda _what: None,
            going_away=lambda: None,
            stream_refused=lambda _stream_id, _reason, _kind: None,
            gateway_limit_bytes=lambda: limit_bytes,
        )
        services = Services((ServiceEntry.parse("kuma.apps:80=127.0.0.1:1"),))
        self.traffic = Traffic()
        self.carrier = SpliceCarrier(
            wiring,
            YamuxConfig(),
            services=services,
            account=Account(),
            quota=Quota(),
            traffic=self.traffic,
            dial_seconds=5,
        )
        monkeypatch.setattr(dial, "connect", self._connect)

    def _send_bytes(self, batch):
        self.batches.append(batch)
        self.gateway.receive_data(batch, 0.0)

    async def _connect(self, protocol, *_where):
        if self.refuse:
            raise dial.DialError("refused")
        self.services.append(FakeTransport(protocol))
        protocol.connection_made(self.services[-1])

    async def settle(self):
        """Until both ends have said everything, and the loop has nothing left to do."""
        for _ in range(10):
            while data := self.gateway.data_to_send():
                self.carrier.bytes_received(data, 0.0)
            await asyncio.sleep(0)

    async def open(self, first=REQUEST):
        stream_id = self.gateway.open_stream()
        self.gateway.send_data(stream_id, first)
        await self.settle()
        return stream_id

    async def answered(self):
        """A stream whose service has answered."""
        stream_id = await self.open()
        assert self.services[-1].written == b"request"
        self.services[-1].protocol.data_received(b"answer")
        await self.settle()
        return stream_id
