"""The listener without a socket: what was accepted in the turn of its end."""

import asyncio

from tests.fakes.loop import dialogue, quiet
from tests.fakes.transport import FakeTransport
from tunnel.agent.health.listener import HealthListener, _Connection


def no_report():
    raise AssertionError("nobody asked")


@dialogue
async def test_a_connection_that_was_just_accepted_ends_with_the_listener():
    listener = HealthListener(no_report)
    listener.close()
    late = _Connection(listener)
    transport = FakeTransport(late)
    late.connection_made(transport)
    await quiet()
    assert transport.aborted
    assert not listener._connections
    handles = [handle for handle in asyncio.get_running_loop()._scheduled if not handle.cancelled()]
    assert handles == [], "no timer is left"
