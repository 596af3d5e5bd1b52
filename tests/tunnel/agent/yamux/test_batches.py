"""Batches of yamux frames are no longer than the gateway accepts, and everything leaves in them."""

import pytest

from tests.tunnel.agent.yamux.fake_link import FakeLink

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("limit", [16_384, 16_385, 30_000, 65_535, 65_536, 1_048_576])
async def test_batches_fit(monkeypatch, limit):
    link = FakeLink(monkeypatch, limit_bytes=limit)
    for _ in range(3):
        await link.open()
    for service in link.services:
        service.protocol.data_received(b"a" * 100_000)
    await link.settle()
    sizes = [len(batch) for batch in link.batches]
    assert max(sizes) <= min(limit, 65_536)
    assert max(sizes) > min(limit, 65_536) - 2000, "and no shorter than they must be"
    assert sum(sizes) > 300_000
    assert link.failures == []
