"""What a link carries is counted: while it runs, once it is over, and never twice."""

import pytest

from tests.tunnel.agent.yamux.fake_link import FakeLink
from tunnel.agent.service import dial
from tunnel.agent.traffic import Running
from tunnel.wire import refusals
from tunnel.wire.routing_header import encode

pytestmark = pytest.mark.anyio


def total(link):
    running, traffic = link.carrier.running(), link.traffic
    return (
        running.to_service_bytes + traffic.to_service_bytes,
        running.to_gateway_bytes + traffic.to_gateway_bytes,
    )


async def test_streams_and_their_bytes(monkeypatch):
    link = FakeLink(monkeypatch)
    assert link.carrier.running() == Running()
    ids = [await link.answered() for _ in range(3)]
    assert link.carrier.running() == Running(3, 3 * len(b"request"), 3 * len(b"answer"))
    assert (link.traffic.to_service_bytes, link.traffic.to_gateway_bytes) == (0, 0)
    link.gateway.reset_stream(ids[0])
    await link.settle()
    assert link.carrier.running().streams == 2
    assert (link.traffic.to_service_bytes, link.traffic.to_gateway_bytes) == (len(b"request"), len(b"answer"))
    assert total(link) == (21, 18)
    link.carrier.lost("gone")
    link.carrier.lost("gone")
    assert link.carrier.running() == Running()
    assert total(link) == (21, 18)


@pytest.mark.parametrize(
    ("kind", "label"),
    [
        (refusals.REFUSED, "refused"),
        (refusals.NO_SUCH_NAME, "no_such_name"),
        (refusals.SLOW, "slow"),
        (refusals.OTHER, "other"),
        ("of the future", "other"),
    ],
)
async def test_a_dial_that_failed_counts_by_its_kind(monkeypatch, kind, label):
    link = FakeLink(monkeypatch)

    async def fail(*_where):
        raise dial.DialError("no", kind)

    monkeypatch.setattr(dial, "connect", fail)
    await link.open()
    await link.settle()
    assert {name: number for name, number in link.traffic.refused.items() if number} == {label: 1}


async def test_a_service_that_may_not_be_reached_counts_too(monkeypatch):
    link = FakeLink(monkeypatch)
    await link.open(encode("other", "apps", 80))
    assert link.traffic.refused["not_allowed"] == 1


async def test_the_round_trip_is_what_the_session_measured(monkeypatch):
    link = FakeLink(monkeypatch)
    assert link.carrier.round_trip_seconds is None
    for now in (1.0, 2.0, 3.0, 4.0):
        link.carrier._session.ping(now)
        link.carrier.flush()
        link.carrier.bytes_received(link.gateway.data_to_send(), now + 0.25)
    assert link.carrier.round_trip_seconds == pytest.approx(0.25)
