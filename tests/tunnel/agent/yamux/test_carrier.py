"""A carrier and its session, without a WebSocket."""

import asyncio

import pytest

from tests.tunnel.agent.yamux.fake_link import FakeLink
from tests.tunnel.yamux.wire import ping
from tunnel.agent.log import Quota
from tunnel.yamux import BATCH_BYTES
from tunnel.yamux.frames import ACK

pytestmark = pytest.mark.anyio

STREAMS = 8


async def ready(monkeypatch):
    link = FakeLink(monkeypatch)
    for _ in range(STREAMS):
        await link.answered()
    link.batches.clear()
    return link


async def test_a_refused_stream_says_how_many_lines_were_left_out(monkeypatch, caplog):
    monkeypatch.setattr(Quota, "take", lambda *_: 3)
    link = FakeLink(monkeypatch)
    link.refuse = True
    await link.open()
    (line,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert (line.getMessage(), line.suppressed) == ("refused stream 2 to apps/kuma:80: 127.0.0.1:1: refused", 3)


@pytest.mark.parametrize(
    "sizes",
    [
        [1],
        [4096] * STREAMS,
        [4097] * STREAMS,
        [16_384, 16_384],
        [16_384, 16_372],  # with the headers exactly half a batch
        [16_384, 16_384, 16_384, 16_335],  # leaves less than a header
        [65_500],
        [60_000] * STREAMS,
        [1, 60_000, 2, 60_000, 3],
    ],
)
async def test_one_flush_sends_all_that_may_leave(monkeypatch, sizes):
    link = await ready(monkeypatch)
    for service, size in zip(link.services, sizes, strict=False):
        service.protocol.data_received(bytes(size))
    assert link.batches == []
    await asyncio.sleep(0)
    assert sum(map(len, link.batches)) >= sum(sizes)
    assert all(len(batch) <= BATCH_BYTES for batch in link.batches)
    assert not link.carrier._outbox
    link.batches.clear()
    await asyncio.sleep(0)
    assert link.batches == []


async def test_a_full_websocket_gets_one_batch_at_a_time(monkeypatch):
    link = await ready(monkeypatch)
    sent = link.batches.append
    monkeypatch.setattr(link.carrier, "_send_bytes", lambda batch: (sent(batch), link.carrier.pause()))
    for service in link.services:
        service.protocol.data_received(bytes(60_000))
    await asyncio.sleep(0)
    for number in range(1, 4):
        assert len(link.batches) == number
        link.carrier.resume()
        await asyncio.sleep(0)


async def test_a_message_that_wants_no_answer_schedules_nothing(monkeypatch):
    link = await ready(monkeypatch)
    link.gateway.send_data(2, b"request")
    link.carrier.bytes_received(link.gateway.data_to_send(), 0.0)
    assert link.services[0].written == b"requestrequest"
    assert not link.carrier.flushing


async def test_a_ping_is_answered(monkeypatch):
    link = await ready(monkeypatch)
    first = link.gateway.ping(0.0)
    await link.settle()
    assert link.batches == [ping(first + number, ACK) for number in range(4)]  # each asked for by the answer before it


async def test_credit_lets_a_waiting_answer_go_on(monkeypatch):
    link = await ready(monkeypatch)
    link.services[0].protocol.data_received(bytes(300_000))
    await link.settle()
    taken = sum(map(len, link.batches))
    assert 262_000 < taken < 263_000
    link.gateway.acknowledge(2, 262_144, 1.0)
    await link.settle()
    assert sum(map(len, link.batches)) > 300_000
