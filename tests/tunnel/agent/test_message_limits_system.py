"""A gateway that accepts little, and ends the link over more: the agent keeps to it, in each dialect."""

import pytest

from tests.tunnel.agent.gateway import Gateway
from tests.tunnel.agent.proxied.messages import Messages, agent, gateway_without_yamux, is_well, saying
from tests.tunnel.agent.world import AgentUnderTest, Service, to

pytestmark = [pytest.mark.system, pytest.mark.anyio]

LIMIT = 20_000
BODY = 300_000


async def pour(reader, writer):
    """Answers with a large body, or to `/well` with a line; its head is large where it is asked for that."""
    head = await reader.readuntil(b"\r\n\r\n")
    if b"/well" in head:
        writer.write(saying(head.split(b"\r\n")[0] + b"\n"))
    elif b"/head" in head:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Large: " + b"x" * LIMIT + b"\r\n\r\n")
    else:
        writer.write(saying(b"a" * BODY))
    await writer.drain()


def limited(gateway):
    gateway.max_size = LIMIT
    gateway.told = {"message_limit_bytes": LIMIT}
    return gateway


@pytest.mark.parametrize("where", ["register_success", "gateway_hello"])
async def test_yamux(where):
    gateway = limited(Gateway())
    if where == "gateway_hello":
        gateway.hello |= gateway.told
        gateway.told = {}
    async with gateway, Service(pour) as service, AgentUnderTest(gateway, to(service)):
        link = await gateway.link()
        streams = [link.open(first=b"GET / HTTP/1.1\r\n\r\n") for _ in range(3)]
        for stream in streams:
            assert (await stream.read(len(saying(b"a" * BODY))))[-BODY:] == b"a" * BODY
        assert not link.over
        assert len(gateway.links) == 1


@pytest.mark.parametrize("dialect", ["json", "chunk"])
async def test_messages(dialect):
    gateway = limited(gateway_without_yamux())
    async with gateway, Service(pour) as service, agent(gateway, service, dialect):
        messages = Messages(await gateway.link(), dialect)
        await messages.request("r-1")
        assert await messages.answer("r-1") == (200, b"a" * BODY)
        await messages.request("r-2", path="/head")
        error = (await messages.until("r-2", "proxy_response_abort"))["payload"]["error"]
        assert error.endswith("is larger than the 20000 that the gateway accepts")
        await is_well(messages, "r-3")
        assert len(gateway.links) == 1


@pytest.mark.parametrize("value", [-1, 0, 16_383, 1.5, "20000", [], {}, 10**30])
@pytest.mark.parametrize("dialect", ["json", "chunk"])
async def test_a_limit_that_cannot_be_one_ends_nothing(dialect, value):
    gateway = gateway_without_yamux()
    gateway.told = {"message_limit_bytes": value}
    async with gateway, Service(pour) as service, agent(gateway, service, dialect):
        messages = Messages(await gateway.link(), dialect)
        await messages.request("r-1")
        assert await messages.answer("r-1") == (200, b"a" * BODY)
        assert len(gateway.links) == 1
