"""What a stream needed is freed as soon as it is over: nothing of it waits for the garbage collector."""

import gc
from collections import Counter

import pytest

from tests.tunnel.agent.yamux.fake_link import REQUEST, FakeLink
from tunnel.wire.routing_header import encode

pytestmark = pytest.mark.anyio


async def gateway_first(link):
    """The gateway ends its direction, then the service."""
    link.gateway.end_stream(await link.answered())
    await link.settle()
    assert link.services[-1].protocol.eof_received() is False
    link.services[-1].close()


async def service_first(link):
    """The service ends its direction, then the gateway."""
    stream_id = await link.answered()
    assert link.services[-1].protocol.eof_received() is True
    await link.settle()
    link.gateway.end_stream(stream_id)


async def reset(link):
    """The gateway resets the stream."""
    link.gateway.reset_stream(await link.answered())


async def broken_off(link):
    """The service's connection breaks off."""
    await link.answered()
    link.services[-1].lose(ConnectionResetError("gone"))


async def broken_off_unsent(link):
    """The same, while bytes of its answer wait for the gateway's credit."""
    stream_id = await link.answered()
    link.services[-1].protocol.data_received(bytes(300_000))
    link.services[-1].lose(ConnectionResetError("gone"))
    await link.settle()
    link.gateway.reset_stream(stream_id)


async def refused(link):
    """The service takes no connection."""
    link.refuse = True
    link.gateway.end_stream(await link.open())


async def unknown(link):
    """No --service names it."""
    link.gateway.end_stream(await link.open(encode("other", "apps", 80)))


async def during_the_dial(link):
    """The gateway resets the stream before its service is connected."""
    stream_id = link.gateway.open_stream()
    link.gateway.send_data(stream_id, REQUEST)
    link.carrier.bytes_received(link.gateway.data_to_send(), 0.0)
    link.gateway.reset_stream(stream_id)


async def failing(link):
    """Its splice raises."""
    stream_id = await link.answered()
    link.services[-1].closed = True
    link.services[-1].is_closing = lambda: False
    link.gateway.send_data(stream_id, b"more")
    await link.settle()
    assert link.services[-1].aborted


WAYS = [
    gateway_first,
    service_first,
    reset,
    broken_off,
    broken_off_unsent,
    refused,
    unknown,
    during_the_dial,
    failing,
]


@pytest.fixture
def collector():
    """The collector runs only where the test asks it to, and keeps in `gc.garbage` what it would free."""
    gc.disable()
    yield
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


@pytest.mark.usefixtures("collector")
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_nothing_of_a_stream_waits_for_the_collector(monkeypatch, way):
    link = FakeLink(monkeypatch)
    await way(link)
    await link.settle()
    link.services.clear()
    gc.collect()  # what the tests before left, and what is made once
    gc.set_debug(gc.DEBUG_SAVEALL)
    for _ in range(3):
        await way(link)
        await link.settle()
        link.services.clear()
    gc.collect()
    assert not Counter(type(each).__qualname__ for each in gc.garbage)
    assert repr(link.carrier) == "<SpliceCarrier 0 open>"
    assert not link.failures
