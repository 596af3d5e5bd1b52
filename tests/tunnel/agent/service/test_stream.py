"""A service's connection as a byte stream: its credit, its ends, and what a broken one still had to say."""

import asyncio

import pytest

from tests.tunnel.agent.broken import BrokenSocket
from tests.tunnel.agent.proxied.conversation import Service
from tunnel.account import Account
from tunnel.agent.service import dial, stream
from tunnel.agent.service.services import Destination, Services
from tunnel.agent.service.stream import READ_AHEAD_BYTES, ServiceStream
from tunnel.errors import ServiceBrokeOffError, ServiceUnreachableError

pytestmark = pytest.mark.anyio


class Owner:
    """Writes down what it is told."""

    def __init__(self):
        self.told = []

    def data_received(self, data):
        self.told.append(data)

    def end_received(self):
        self.told.append("end")

    def stream_lost(self, error):
        self.told.append(type(error))

    def stream_writable(self):
        self.told.append("writable")


class World:
    """A stream, its owner, and its service without a socket."""

    def __init__(self, monkeypatch, sock=None, failure=None):
        self.changed = asyncio.Event()
        self.account = Account()
        self.owner = Owner()
        self.failures = []
        self.gone = 0
        self.stream = ServiceStream(
            self.account, on_connected=self._connected, on_failed=self.failures.append, on_gone=self._gone
        )
        self.stream.owner = self.owner
        self.service = None

        async def connect(protocol, destination, services, limit_seconds):
            if failure is not None:
                raise failure
            self.service = Service(self, protocol)
            if sock is not None:
                self.service.socket = sock
            protocol.connection_made(self.service)

        monkeypatch.setattr(dial, "connect", connect)

    async def connect(self):
        self.stream.dial(Destination("h", 1), Services(), 5)
        await self.changed.wait()
        self.changed.clear()
        return self

    def _connected(self):
        self.changed.set()

    def _gone(self):
        self.gone += 1
        self.changed.set()


async def test_reading_stops_until_it_is_acknowledged(monkeypatch):
    world = await World(monkeypatch).connect()
    world.service.say(bytes(READ_AHEAD_BYTES - 1))
    assert world.service.reading
    world.service.say(b"x")
    assert not world.service.reading
    assert world.stream.held_bytes == world.account.held_bytes == READ_AHEAD_BYTES
    world.stream.acknowledge(1)
    assert not world.service.reading
    world.stream.acknowledge(READ_AHEAD_BYTES - 1)
    assert world.service.reading
    assert world.account.held_bytes == 0


async def test_what_waits_in_the_transport_is_counted(monkeypatch):
    world = await World(monkeypatch).connect()
    world.service.unsent = 1000
    world.service.become_slow()
    assert world.stream.write(b"x") is False
    assert world.account.held_bytes == 1000
    world.service.unsent = 0
    world.service.catch_up()
    assert world.account.held_bytes == 0
    assert world.owner.told == ["writable"]
    assert world.stream.write(b"y") is True
    assert world.service.heard == b"xy"


async def test_each_direction_ends_by_itself(monkeypatch):
    world = await World(monkeypatch).connect()
    world.stream.write_end()
    world.stream.write_end()
    assert world.service.ended
    assert world.stream.write(b"late") is True
    world.service.say(b"still")
    assert world.service.heard == b""
    assert world.owner.told == [b"still"]
    assert repr(world.stream) == "<ServiceStream open, 5 bytes held>"
    world.stream.reset()
    await world.changed.wait()
    assert (world.service.aborted, world.gone) == (True, 1)


async def test_both_ends_close_it(monkeypatch):
    world = await World(monkeypatch).connect()
    world.service.end()
    world.stream.write_end()
    assert world.stream.closing
    await world.changed.wait()
    assert (world.service.aborted, world.gone, world.owner.told) == (False, 1, ["end"])
    assert repr(world.stream) == "<ServiceStream over, 0 bytes held>"


async def test_a_service_that_takes_no_last_bytes_is_cut_off(monkeypatch):
    monkeypatch.setattr(stream, "CLOSING_SECONDS", 0.001)
    world = await World(monkeypatch).connect()
    monkeypatch.setattr(Service, "close", lambda self: None)  # waits for its buffer
    monkeypatch.setattr(Service, "abort", lambda self: self.lose())
    world.stream.close()
    world.stream.close()
    await world.changed.wait()
    assert (world.gone, world.owner.told) == (1, [])


async def test_no_connection(monkeypatch):
    world = await World(monkeypatch, failure=dial.DialError("no such host")).connect()
    assert [str(error) for error in world.failures] == ["h:1: no such host"]
    assert isinstance(world.failures[0], ServiceUnreachableError)
    assert world.gone == 1
    world.stream.reset()
    assert world.gone == 1


async def test_what_a_broken_connection_still_had_is_delivered(monkeypatch):
    sock = BrokenSocket(b"the answer", ended=True)
    world = await World(monkeypatch, sock).connect()
    world.service.protocol.connection_lost(BrokenPipeError("gone"))
    assert world.owner.told == [b"the answer", "end"]
    assert world.gone == 1
    sock.close()


async def test_what_came_before_a_connection_broke_off_is_taken_first(monkeypatch):
    sock = BrokenSocket(b"half of it", ended=False)
    world = await World(monkeypatch, sock).connect()
    world.service.protocol.connection_lost(ConnectionResetError("gone"))
    assert world.owner.told == [b"half of it"]
    lost = asyncio.get_running_loop().create_future()
    world.owner.stream_lost = lost.set_result
    world.stream.acknowledge(10)
    assert not lost.done()  # never from within a call of the owner
    assert isinstance(await lost, ServiceBrokeOffError)
    assert world.account.held_bytes == 0
    sock.close()


async def test_after_a_reset_nothing_is_told(monkeypatch):
    world = await World(monkeypatch).connect()
    world.service.say(b"x")
    world.stream.reset()
    world.service.say(b"y")
    world.service.end()
    world.stream.acknowledge(1)
    await world.changed.wait()
    assert world.owner.told == [b"x"]
    assert world.account.held_bytes == 0
