"""A connection to a service over a real socket: what the transports of both loops promise, and it relies on."""

import asyncio

import pytest

from tests.fakes.gateway import SECONDS
from tests.tunnel.agent.world import Service
from tunnel.agent.service.connection import ServiceConnection
from tunnel.agent.service.services import Destination, Services

pytestmark = [pytest.mark.system, pytest.mark.anyio]

PIECE = bytes(1_000_000)


@pytest.fixture(params=[True, False], ids=["uvloop", "asyncio"])
def anyio_backend(request):
    return "asyncio", {"use_uvloop": request.param}


class Leaving:
    """An owner that leaves its connection in the middle of what the service says, and notes what it is told then."""

    def __init__(self, how):
        self._how = how
        self.connection = ServiceConnection(self)
        self.heard_bytes = 0
        self.told = []
        self.over = asyncio.get_running_loop().create_future()

    def connected(self):
        self.connection.write(b"go")

    def not_connected(self, reason, kind):
        self.over.set_exception(AssertionError(reason))

    def data_received(self, data):
        self.heard_bytes += len(data)
        self.told.append("data")
        if self.heard_bytes > 100_000:
            self.told.clear()
            getattr(self.connection, self._how)()

    def end_received(self):
        self.told.append("end")

    def service_writable(self):
        self.told.append("writable")

    def connection_lost(self, error):
        self.told.append("lost")
        self.over.set_result(None)


@pytest.mark.parametrize("how", ["close", "abort", "reset"])
async def test_nothing_arrives_after_its_owner_has_left(how):
    async def pour(reader, writer):
        await reader.read(2)
        writer.write(PIECE)
        await writer.drain()

    async with Service(pour) as service:
        owner = Leaving(how)
        owner.connection.dial(Destination("127.0.0.1", service.port), Services(), 5)
        async with asyncio.timeout(SECONDS):
            await owner.over
        assert owner.told == ["lost"]
        assert 100_000 < owner.heard_bytes < len(PIECE)
