"""A gateway of the smallest kind, for the agent's tests: register, hello, yamux; made with websockets."""

import asyncio
import contextlib
import json

from websockets.exceptions import ConnectionClosed

from tests.fakes.gateway import SECONDS, FakeGateway
from tests.tunnel.yamux.wire import frames
from tunnel.wire.routing_header import encode
from tunnel.yamux import (
    DataReceived,
    GoAwayReceived,
    Limits,
    Role,
    Session,
    StreamClosed,
    StreamEnded,
    StreamReset,
)
from tunnel.yamux.frames import PING, SYN


class Stream:
    """One stream, as the gateway sees it."""

    def __init__(self, link, stream_id):
        self.link = link
        self.id = stream_id
        self.received = bytearray()
        self.ended = False
        self.reset = False
        self.full = False
        self.acknowledging = True

    def send(self, data):
        self.full = not self.link.session.send_data(self.id, data)
        self.link.flush()

    def end(self):
        self.link.session.end_stream(self.id)
        self.link.flush()

    def abort(self):
        self.link.session.reset_stream(self.id)
        self.link.flush()

    async def until(self, condition):
        """Wait until `condition(self)` holds."""
        await self.link.until(lambda: condition(self))

    async def read(self, size):
        await self.until(lambda stream: len(stream.received) >= size)
        data = bytes(self.received[:size])
        del self.received[:size]
        return data


class ServedLink:
    """One agent's connection."""

    def __init__(self, gateway, websocket):
        self.gateway = gateway
        self.websocket = websocket
        self.session = Session(Role.SERVER, gateway.limits)
        self.streams = {}
        self.texts = []
        self.went_away = False
        self.yamux = False
        self.over = False
        self.yamux_pings = 0
        self._changed = asyncio.Event()
        self._wants = asyncio.Event()

    async def run(self):
        writer = asyncio.create_task(self._write())
        try:
            async for message in self.websocket:
                if isinstance(message, str):
                    await self._take(json.loads(message))
                else:
                    self._feed(message)
                self._tell()
        except ConnectionClosed:
            pass
        finally:
            self.over = True
            writer.cancel()
            self._tell()

    async def until(self, condition):
        async with asyncio.timeout(SECONDS):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def of_type(self, kind):
        return [text for text in self.texts if text["type"] == kind]

    async def text(self, kind, number=1):
        """The payload of the `number`th text of a type."""
        await self.until(lambda: len(self.of_type(kind)) >= number)
        return self.of_type(kind)[number - 1]["payload"]

    async def say(self, kind, payload, request_id=None):
        message = {"type": kind, "payload": payload}
        if request_id is not None:
            message["request_id"] = request_id
        await self.websocket.send(json.dumps(message))

    def open(self, service="echo", namespace="apps", port=80, first=b"", header=None):
        stream = Stream(self, self.session.open_stream())
        self.streams[stream.id] = stream
        stream.send((encode(service, namespace, port) if header is None else header) + first)
        return stream

    def flush(self):
        self._wants.set()

    async def close(self, code=1000, reason=""):
        await self.websocket.close(code, reason)

    def drop(self):
        self.websocket.transport.abort()

    def _tell(self):
        self._changed.set()

    async def _take(self, message):
        self.texts.append(message)
        if message["type"] == "register" and self.gateway.answering:
            payload = {"cluster_id": message["payload"].get("cluster_id", "c1"), "cluster_uuid": "u-1", "name": "n"}
            await self.say("register_success", payload | self.gateway.told, message["request_id"])
            if self.gateway.hello is not None:
                await self.say("gateway_hello", self.gateway.hello)
        elif message["type"] == "gateway_hello_ack":
            self.yamux = True

    def _feed(self, data):
        self.yamux_pings += sum(frame.kind == PING and frame.flags == SYN for frame in frames(data))
        for event in self.session.receive_data(data, asyncio.get_running_loop().time()):
            if isinstance(event, GoAwayReceived):
                self.went_away = True
                continue
            stream = self.streams.get(getattr(event, "stream_id", None))
            if stream is None:
                continue
            if isinstance(event, DataReceived):
                stream.received += event.data
                if stream.acknowledging:
                    self.session.acknowledge(stream.id, len(event.data), asyncio.get_running_loop().time())
            elif isinstance(event, StreamEnded):
                stream.ended = True
            elif isinstance(event, StreamReset):
                stream.reset = True
        self.flush()

    async def _write(self):
        with contextlib.suppress(ConnectionClosed, StreamClosed):
            while True:
                await self._wants.wait()
                self._wants.clear()
                while data := self.session.data_to_send():
                    await self.websocket.send(data)
                for stream_id in self.session.take_writable():
                    self.streams[stream_id].full = False
                self._tell()


class Gateway(FakeGateway):
    """Registers each agent, and offers it yamux unless `hello` is None."""

    def __init__(self, tls=None):
        super().__init__(tls)
        self.limits = Limits()
        self.hello = {
            "use_yamux": True,
            "yamux_config": {"max_stream_window_size": 1_048_576, "keep_alive_interval_seconds": 3},
        }
        self.answering = True
        self.told = {}
        """More of what it says in `register_success`."""
        self.links = []

    @property
    def url(self):
        return f"{super().url}/agent"

    async def link(self, number=1, *, serving=True):
        """The `number`th link, once it serves."""
        await self.until(lambda: len(self.links) >= number)
        link = self.links[number - 1]
        if serving:
            await link.until(lambda: link.yamux if self.hello is not None else link.of_type("heartbeat"))
        return link

    async def connected(self, websocket, /):
        link = ServedLink(self, websocket)
        self.links.append(link)
        self.changed()
        await link.run()
