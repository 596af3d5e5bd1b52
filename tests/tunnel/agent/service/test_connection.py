"""One connection to a service, as whoever owns it sees it."""

import asyncio
import os
import socket
import struct

import pytest

from tests.tunnel.agent.broken import BrokenSocket
from tests.tunnel.agent.proxied.conversation import Service
from tunnel.agent.service import dial
from tunnel.agent.service.connection import REST_BYTES, REST_READS, ServiceConnection
from tunnel.agent.service.services import Destination, Services

pytestmark = pytest.mark.anyio


class Owner:
    """Writes down what it is told."""

    def __init__(self):
        self.told = []
        self.on_data = lambda: None

    def connected(self):
        self.told.append("connected")

    def not_connected(self, reason, kind):
        self.told.append(("not connected", reason))

    def data_received(self, data):
        self.told.append(data)
        self.on_data()

    def end_received(self):
        self.told.append("end")

    def service_writable(self):
        self.told.append("writable")

    def connection_lost(self, error):
        self.told.append(("lost", type(error)))


class World:
    """A connection, its owner, and its service without a socket."""

    def __init__(self, monkeypatch, failure=None, sock=None):
        self.changed = asyncio.Event()
        self.owner = Owner()
        self.connection = ServiceConnection(self.owner)
        self.service = None

        async def connect(protocol, destination, services, limit_seconds):
            assert (protocol, destination, limit_seconds) == (self.connection, Destination("h", 1), 5)
            if failure is not None:
                raise failure
            self.service = Service(self, protocol)
            if sock is not None:
                self.service.socket = sock
            protocol.connection_made(self.service)

        monkeypatch.setattr(dial, "connect", connect)

    async def dial(self):
        self.connection.dial(Destination("h", 1), Services(), 5)
        await asyncio.wait([self.connection._dialling])
        return self

    async def open(self):
        await self.dial()
        assert self.owner.told == ["connected"]
        self.owner.told.clear()
        return self

    async def lost(self):
        await self.changed.wait()
        assert self.connection.state == "gone"
        return self.owner.told


async def test_its_text_is_its_state(monkeypatch):
    world = World(monkeypatch)
    assert repr(world.connection) == "<ServiceConnection new>"
    assert not world.connection.is_open
    world.connection.dial(Destination("h", 1), Services(), 5)
    assert repr(world.connection) == "<ServiceConnection dialling>"
    await asyncio.wait([world.connection._dialling])
    assert repr(world.connection) == "<ServiceConnection open>"
    assert world.connection.is_open
    world.connection.close()
    assert repr(world.connection) == "<ServiceConnection closing>"
    await world.lost()
    assert repr(world.connection) == "<ServiceConnection gone>"


async def test_options_are_set(monkeypatch):
    sock = BrokenSocket()
    await World(monkeypatch, sock=sock).open()
    assert sock.options == {
        (socket.IPPROTO_TCP, socket.TCP_NODELAY): 1,
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE): 1,
    }
    sock.close()


async def test_a_slow_service_and_its_room(monkeypatch):
    world = await World(monkeypatch).open()
    assert world.connection.write(b"a")
    world.service.unsent = 7
    world.service.become_slow()
    assert not world.connection.write(b"b")
    assert world.connection.waiting_bytes == 7
    world.service.catch_up()
    assert world.connection.write(b"c")
    assert world.service.heard == b"abc"
    assert world.owner.told == ["writable"]


@pytest.mark.parametrize("first", ["service", "owner"])
async def test_it_closes_once_both_directions_have_ended(monkeypatch, first):
    world = await World(monkeypatch).open()
    if first == "service":
        assert world.service.protocol.eof_received() is True  # the transport keeps our direction
        world.connection.write_end()
        assert world.service.closed
        assert not world.service.ended
    else:
        world.connection.write_end()
        world.connection.write_end()
        assert world.service.ended
        assert world.service.protocol.eof_received() is False  # the transport closes by itself
        world.service.close()
    assert await world.lost() == ["end", ("lost", type(None))]


async def test_after_a_close_only_the_end_is_told(monkeypatch):
    world = await World(monkeypatch).open()
    world.connection.close()
    world.connection.close()
    world.service.say(b"late")
    world.service.catch_up()
    assert world.service.protocol.eof_received() is False
    assert await world.lost() == [("lost", type(None))]
    assert not world.service.aborted
    assert world.connection.write(b"late") is True
    world.connection.write_end()
    world.connection.pause()
    world.connection.resume()
    world.connection.abort()
    world.connection.reset()
    assert (world.service.heard, world.service.ended, world.service.reading) == (b"", False, True)
    assert world.owner.told == [("lost", type(None))]


@pytest.mark.parametrize("way", ["abort", "reset"])
async def test_a_reset_says_so_on_the_wire(monkeypatch, way):
    sock = BrokenSocket()
    world = await World(monkeypatch, sock=sock).open()
    getattr(world.connection, way)()
    assert world.service.aborted
    lingers = sock.options.get((socket.SOL_SOCKET, socket.SO_LINGER))
    assert lingers == (struct.pack("ii", 1, 0) if way == "reset" else None)
    assert await world.lost() == [("lost", type(None))]
    sock.close()


async def test_a_socket_that_is_down_already_can_be_reset(monkeypatch):
    sock = BrokenSocket()
    world = await World(monkeypatch, sock=sock).open()

    def refuse(*option):
        raise OSError("not connected")

    sock.setsockopt = refuse
    world.connection.reset()
    assert world.service.aborted
    sock.close()


@pytest.mark.parametrize("way", ["abort", "reset"])
async def test_an_end_during_the_dial_cancels_it(monkeypatch, way):
    world = World(monkeypatch)
    world.connection.dial(Destination("h", 1), Services(), 5)
    task = world.connection._dialling
    getattr(world.connection, way)()
    assert world.owner.told == [("lost", type(None))]
    await asyncio.wait([task])
    assert task.cancelled()
    late = Service(world, world.connection)
    world.connection.connection_made(late)  # the dial had its connection before it heard of it
    assert late.aborted
    await world.changed.wait()
    assert world.owner.told == [("lost", type(None))]


async def test_no_connection(monkeypatch):
    world = await World(monkeypatch, failure=dial.DialError("no such host")).dial()
    assert world.owner.told == [("not connected", "h:1: no such host")]
    world.connection.reset()
    assert world.owner.told == [("not connected", "h:1: no such host")]


@pytest.mark.parametrize("ended", [True, False])
async def test_what_a_broken_connection_still_had_is_delivered(monkeypatch, ended):
    sock = BrokenSocket(b"the answer", ended=ended)
    world = await World(monkeypatch, sock=sock).open()
    world.service.protocol.connection_lost(BrokenPipeError("gone"))
    assert world.owner.told == [b"the answer", ("lost", BrokenPipeError)]
    assert world.connection.input_ended is ended
    sock.close()


async def test_only_so_much_is_saved(monkeypatch):
    reads = []

    def read(descriptor, size):
        reads.append(size)
        return b"x"

    sock = BrokenSocket()
    world = await World(monkeypatch, sock=sock).open()
    monkeypatch.setattr(os, "read", read)
    world.service.protocol.connection_lost(BrokenPipeError("gone"))
    assert reads == [REST_BYTES] * REST_READS
    sock.close()


@pytest.mark.parametrize("when", ["after the end", "in order", "closed meanwhile"])
async def test_nothing_is_looked_for_where_nothing_can_be(monkeypatch, when):
    sock = BrokenSocket(b"the answer")
    world = await World(monkeypatch, sock=sock).open()
    if when == "after the end":
        world.service.end()
    elif when == "closed meanwhile":
        world.connection.close()
    error = None if when == "in order" else BrokenPipeError("gone")
    world.service.protocol.connection_lost(error)
    assert b"the answer" not in world.owner.told
    assert world.owner.told[-1] == ("lost", type(error))
    sock.close()


async def test_an_owner_that_closes_gets_no_more_of_the_rest(monkeypatch):
    sock = BrokenSocket(bytes(REST_BYTES // 2), ended=False)
    world = await World(monkeypatch, sock=sock).open()
    world.owner.on_data = world.connection.abort
    monkeypatch.setattr("tunnel.agent.service.connection.REST_BYTES", 1)
    world.service.protocol.connection_lost(BrokenPipeError("gone"))
    assert world.owner.told == [b"\0", ("lost", BrokenPipeError)]
    sock.close()
