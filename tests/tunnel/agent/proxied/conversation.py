"""A carrier between a gateway that says what it likes and services without sockets."""

import asyncio
import json
from base64 import b64decode, b64encode

from tests.fakes.gateway import SECONDS
from tests.fakes.transport import FakeTransport
from tunnel import websocket
from tunnel.account import Account
from tunnel.agent.carrier import Wiring
from tunnel.agent.log import Quota
from tunnel.agent.proxied.carrier import MessageCarrier
from tunnel.agent.service import dial
from tunnel.agent.service.services import ServiceEntry, Services
from tunnel.agent.traffic import Traffic
from tunnel.wire import messages
from tunnel.wire.message_limits import NO_LIMIT_BYTES

OVER = {"json": "proxy_websocket_close", "chunk": "proxy_stream_close"}
DATA = {"json": "proxy_websocket_data", "chunk": "proxy_stream_chunk"}


def b64(data):
    return b64encode(data).decode()


def unexpected(*arguments):
    """What these dialects never ask of their link."""
    raise AssertionError(arguments)


class Service(FakeTransport):
    """The service's end of one connection. `unsent` is what its buffer seems to hold, whatever was written."""

    def __init__(self, conversation, protocol):
        super().__init__(protocol)
        self._conversation = conversation
        self.unsent = 0

    # What the agent does with it.

    def write(self, data):
        super().write(data)
        self._conversation.changed.set()

    def get_write_buffer_size(self):
        return self.unsent

    def lose(self, error=None):
        super().lose(error)
        self._conversation.changed.set()

    # What the test does with it.

    def say(self, data):
        self.protocol.data_received(data)

    def end(self):
        self.protocol.eof_received()

    def become_slow(self):
        self.protocol.pause_writing()

    def catch_up(self):
        self.protocol.resume_writing()

    @property
    def heard(self):
        return self.written

    @property
    def head(self):
        """The request's lines, and what came of its body."""
        head, _, body = self.heard.partition(b"\r\n\r\n")
        return head.split(b"\r\n"), body


class Peer:
    """The service's end of a WebSocket."""

    def __init__(self, service):
        self._service = service
        self._codec = websocket.Connection(websocket.Role.SERVER, max_message_bytes=64 * 1024 * 1024)
        self._read = len(service.heard)

    def accept(self, *more):
        lines, _ = self._service.head
        key = next(line.split(b": ")[1] for line in lines if line.startswith(b"Sec-WebSocket-Key"))
        fields = [b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Accept: " + websocket.accept_for(key)]
        self._service.say(b"\r\n".join([b"HTTP/1.1 101 Switching Protocols", *fields, *more, b"", b""]))
        return self

    def say(self, data):
        self._service.say(self._codec.send_message(data))

    def ping(self, payload):
        self._service.say(self._codec.send_ping(payload))

    def pong(self, payload):
        self._service.say(self._codec.send_pong(payload))

    def close(self, code, reason=""):
        self._service.say(self._codec.close(code, reason))

    def raw(self, data):
        self._service.say(data)

    def events(self):
        """What the agent said since the last call."""
        heard, self._read = self._service.heard[self._read :], len(self._service.heard)
        return self._codec.receive_data(heard)


class Conversation:
    """One link's carrier, what it said, and the services it dialled."""

    def __init__(self, monkeypatch, dialect="json", streamed=True, limit_bytes=NO_LIMIT_BYTES):
        self.dialect = dialect
        self.streamed = streamed
        self.changed = asyncio.Event()
        self.said = []
        self.notes = []
        self.idles = 0
        self.leaving = 0
        self.refusing = None
        self.services = []
        self.account = Account()
        entries = (ServiceEntry.parse("web.apps:80=10.0.0.1:8080"),)
        self.traffic = Traffic()
        self.carrier = MessageCarrier(
            Wiring(
                send_text=self._send,
                send_bytes=unexpected,
                idle=self._idle,
                failed=unexpected,
                note=self.notes.append,
                going_away=self._going_away,
                stream_refused=unexpected,
                gateway_limit_bytes=lambda: limit_bytes,
            ),
            dialect=dialect,
            services=Services(entries),
            account=self.account,
            quota=Quota(),
            traffic=self.traffic,
            dial_seconds=5,
        )
        monkeypatch.setattr(dial, "connect", self._connect)

    async def _connect(self, protocol, destination, services, limit_seconds):
        if self.refusing is not None:
            raise self.refusing
        service = Service(self, protocol)
        self.services.append(service)
        protocol.connection_made(service)
        self.changed.set()

    def _send(self, text):
        self.said.append(json.loads(text))
        self.changed.set()

    def _idle(self):
        self.idles += 1
        self.changed.set()

    def _going_away(self):
        self.leaving += 1

    # The gateway.

    def tell(self, kind, payload=None, request_id="r-1", **flat):
        text = json.dumps({"type": kind, "request_id": request_id, "payload": payload, **flat}).encode()
        return self.carrier.message_received(messages.decode_envelope(text), text)

    def request(self, request_id="r-1", **payload):
        route = {"service_name": "web", "namespace": "apps", "service_port": 80}
        asked = {"method": "GET", "path": "/", "supports_response_streaming": self.streamed, **route, **payload}
        self.tell("proxy_request", asked, request_id)

    def frame(self, kind, payload=b"", request_id="r-1"):
        data = b64(bytes((kind,)) + payload)
        if self.dialect == "chunk":
            self.tell("proxy_stream_chunk", None, request_id, data=data, direction="to_agent")
        else:
            self.tell("proxy_websocket_data", {"request_id": request_id, "data": data}, request_id)

    def leave(self, request_id="r-1"):
        self.tell(OVER[self.dialect], {"request_id": request_id}, request_id)

    async def until(self, condition):
        async with asyncio.timeout(SECONDS):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def service(self, number=1):
        """The `number`th connection that was made."""
        await self.until(lambda: len(self.services) >= number)
        return self.services[number - 1]

    async def websocket(self, *more, **payload):
        """A WebSocket that the service accepted."""
        self.request(is_websocket=True, **payload)
        return Peer(await self.service()).accept(*more)

    async def websocket_of(self, request_id):
        """Another WebSocket that the service accepted."""
        number = len(self.services) + 1
        self.request(request_id, is_websocket=True)
        return Peer(await self.service(number)).accept()

    async def over(self):
        """Every exchange is over, and nothing is held for any."""
        await self.until(lambda: not self.carrier._exchanges)
        assert self.account.held_bytes == 0

    def types(self, request_id="r-1"):
        return [said["type"] for said in self.said if said["request_id"] == request_id]

    def payload(self, kind, request_id="r-1"):
        """The payload of the only message of a type."""
        found = [said for said in self.said if said["type"] == kind and said["request_id"] == request_id]
        assert len(found) == 1, self.said
        return found[0]["payload"]

    def body(self, request_id="r-1"):
        chunks = [said for said in self.said if said["type"] == "proxy_response_chunk"]
        return b"".join(b64decode(said["payload"]["data"]) for said in chunks if said["request_id"] == request_id)

    def frames(self, request_id="r-1"):
        """What the WebSocket's service said, as (type, payload)."""
        found = []
        for said in self.said:
            if said["type"] == DATA[self.dialect] and said["request_id"] == request_id:
                if self.dialect == "chunk":
                    assert said["direction"] == "from_agent"
                else:
                    assert said["payload"]["request_id"] == said["payload"]["stream_id"] == request_id
                data = b64decode(said["data"] if self.dialect == "chunk" else said["payload"]["data"])
                found.append((data[0], data[1:]))
        return found
