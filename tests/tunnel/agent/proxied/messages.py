"""A link whose exchanges are messages, as its gateway sees it, over real sockets; and a small HTTP service."""

import asyncio
import contextlib
import json
from base64 import b64decode

from tests.tunnel.agent.gateway import Gateway
from tests.tunnel.agent.proxied.conversation import b64
from tests.tunnel.agent.world import AgentUnderTest

ROUTE = {"service_name": "web", "namespace": "apps", "service_port": 80, "supports_response_streaming": True}


def agent(gateway, service, dialect, **more):
    return AgentUnderTest(gateway, [f"web.apps:80=127.0.0.1:{service.port}"], dialect=dialect, **more)


def gateway_without_yamux(**more):
    gateway = Gateway(**more)
    gateway.hello = None
    return gateway


class Messages:
    """A link whose exchanges are messages, as its gateway sees it."""

    def __init__(self, link, dialect):
        self.link = link
        self.dialect = dialect

    async def request(self, request_id, **payload):
        await self.link.say("proxy_request", {"method": "GET", "path": "/", **ROUTE, **payload}, request_id)

    async def frame(self, request_id, kind, payload=b""):
        data = b64(bytes((kind,)) + payload)
        if self.dialect == "json":
            await self.link.say("proxy_websocket_data", {"data": data}, request_id)
        else:
            said = {"type": "proxy_stream_chunk", "request_id": request_id, "data": data, "direction": "to_agent"}
            await self.link.websocket.send(json.dumps(said))

    def of(self, request_id, *kinds):
        return [
            said
            for said in self.link.texts
            if said.get("request_id") == request_id and (not kinds or said["type"] in kinds)
        ]

    async def until(self, request_id, *kinds, number=1):
        """The `number`th message of one of these types."""
        await self.link.until(lambda: len(self.of(request_id, *kinds)) >= number)
        return self.of(request_id, *kinds)[number - 1]

    async def answer(self, request_id):
        """Status and body of an answer, once it is complete."""
        await self.until(request_id, "proxy_response_end")
        pieces = [b64decode(said["payload"]["data"]) for said in self.of(request_id, "proxy_response_chunk")]
        return self.of(request_id, "proxy_response_header")[0]["payload"]["status"], b"".join(pieces)

    def frames(self, request_id):
        found = self.of(request_id, "proxy_websocket_data", "proxy_stream_chunk")
        data = [b64decode(said["data"] if self.dialect == "chunk" else said["payload"]["data"]) for said in found]
        return [(item[0], item[1:]) for item in data]


async def read_request(reader):
    """Head and body of a request with a length, or chunked."""
    head = await reader.readuntil(b"\r\n\r\n")
    if b"chunked" in head.lower():
        body = b""
        while size := int(await reader.readline(), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
        return head, body
    length = next((line.split(b":")[1] for line in head.lower().split(b"\r\n") if b"content-length" in line), b"0")
    return head, await reader.readexactly(int(length))


def saying(body):
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body


async def echo(reader, writer):
    """Answers with what it was sent: the request line, and the body."""
    with contextlib.suppress(asyncio.IncompleteReadError):
        while True:
            head, body = await read_request(reader)
            writer.write(saying(head.split(b"\r\n")[0] + b"\n" + body))
            await writer.drain()


async def is_well(messages, request_id):
    await messages.request(request_id, path="/well")
    assert await messages.answer(request_id) == (200, b"GET /well HTTP/1.1\n")
