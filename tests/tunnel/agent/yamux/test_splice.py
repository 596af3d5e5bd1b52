"""One splice between a recorded stream and a recorded transport."""

import asyncio
import sys

import pytest

from tests.fakes.transport import FakeTransport
from tests.tunnel.agent.broken import BrokenSocket
from tunnel.account import Account
from tunnel.agent.service import dial
from tunnel.agent.service.services import ServiceEntry, Services
from tunnel.agent.yamux import splice
from tunnel.agent.yamux.splice import Splice
from tunnel.wire.routing_header import encode
from tunnel.yamux import Limits, StreamClosed

pytestmark = pytest.mark.anyio

STREAM = 6
HEADER = encode("kuma", "apps", 3001)
SERVICES = Services((ServiceEntry.parse("kuma.apps:3001=127.0.0.1:1"),))


class FakeLink:
    """The session and the other splices of a link: records what is said of the one stream.

    `room` is what `send_data` answers; with `ended` the session does not know the stream any more.
    """

    def __init__(self):
        self.told = []
        self.acknowledged = 0
        self.room = True
        self.ended = False
        self.flushing = False
        self.over = asyncio.Event()

    # The session.

    def send_data(self, stream_id, data):
        assert stream_id == STREAM
        if self.ended:
            raise StreamClosed("over")
        self.told.append(("data", data))
        return self.room

    def end_stream(self, stream_id):
        assert stream_id == STREAM
        self.told.append("end")

    def acknowledge(self, stream_id, size, now):
        assert (stream_id, now) == (STREAM, 7.0)
        self.acknowledged += size
        return self.acknowledged >= 131_072

    # The streams.

    def now(self):
        return 7.0

    def schedule_flush(self):
        self.flushing = True

    def reset_stream(self, stream_id):
        assert stream_id == STREAM
        self.told.append("reset")

    def stream_failed(self, stream_id):
        assert stream_id == STREAM
        self.told.append(("failed", type(sys.exc_info()[1])))

    def stream_refused(self, stream_id, target, reason, kind):
        assert stream_id == STREAM
        self.told.append(("refused", target, reason, kind))

    def stream_opened(self, stream_id, target, destination):
        assert stream_id == STREAM
        self.told.append(("opened", target, str(destination)))

    def stream_closed(self, stream_id, summary):
        assert stream_id == STREAM
        self.told.append("closed")
        self.over.set()


class Ends:
    """A splice, both its ends, and a dial that waits for `connect` or `fail`."""

    def __init__(self, monkeypatch):
        self.link = FakeLink()
        self.transport = FakeTransport()
        self.transport.stuck, self.transport.high_water = True, 100
        self.account = Account()
        self.splice = Splice(STREAM, self.link, self.link, services=SERVICES, account=self.account, dial_seconds=5)
        self._dialled = asyncio.get_running_loop().create_future()
        self.dials = 0
        monkeypatch.setattr(dial, "connect", self._dial)

    async def _dial(self, protocol, destination, services, limit_seconds):
        self.dials += 1
        self.transport.protocol = protocol
        await self._dialled
        protocol.connection_made(self.transport)

    async def connect(self):
        await self._settle(lambda: self._dialled.set_result(None))

    async def fail(self, text, kind=""):
        await self._settle(lambda: self._dialled.set_exception(dial.DialError(text, kind)))

    async def _settle(self, act):
        task = self.connection._dialling
        act()
        await asyncio.wait([task])

    @property
    def connection(self):
        """The splice's connection to its service, while it has one."""
        return self.splice._connection

    @property
    def service(self):
        """What the service's transport calls."""
        return self.transport.protocol

    @property
    def held(self):
        return self.account.held_bytes

    async def open(self, first=b""):
        self.splice.deliver(HEADER + first)
        await self.connect()
        assert self.link.told == [("opened", "apps/kuma:3001", "127.0.0.1:1")]
        self.link.told.clear()


@pytest.fixture
def ends(monkeypatch, anyio_backend):
    """Every byte that the service takes is acknowledged at once."""
    monkeypatch.setattr(splice, "ACKNOWLEDGED_BYTES", 1)

    async def make():
        return Ends(monkeypatch)

    return make


async def test_bytes_wait_for_the_dial_unacknowledged(ends):
    ends = await ends()
    ends.splice.deliver(HEADER[:5])
    assert ends.link.acknowledged == 5
    ends.splice.deliver(HEADER[5:] + b"one")
    ends.splice.deliver(b"two")
    assert (ends.link.acknowledged, ends.held) == (len(HEADER), 6)
    await ends.connect()
    assert ends.transport.done == [b"onetwo"]
    assert (ends.link.acknowledged, ends.held) == (len(HEADER) + 6, 0)
    assert ends.dials == 1


async def test_a_slow_service_holds_its_credit_back(ends):
    ends = await ends()
    await ends.open()
    taken = ends.link.acknowledged
    ends.splice.deliver(b"x" * 100)
    assert ends.link.acknowledged == taken + 100
    ends.splice.deliver(b"x" * 101)
    ends.splice.deliver(b"y" * 50)
    assert (ends.link.acknowledged, ends.held) == (taken + 100, 151)
    ends.transport.take(251)
    assert (ends.link.acknowledged, ends.held) == (taken + 251, 0)
    ends.service.resume_writing()
    assert ends.link.acknowledged == taken + 251


async def test_what_the_service_took_is_acknowledged_in_steps(ends, monkeypatch):
    monkeypatch.setattr(splice, "ACKNOWLEDGED_BYTES", 100)
    ends = await ends()
    await ends.open(b"x" * 60)
    ends.transport.take(60)
    acknowledged = len(HEADER)
    for size, more in [(30, 0), (10, 100), (99, 0), (1, 100), (100, 100), (99, 0)]:
        ends.splice.deliver(b"x" * size)
        ends.transport.take(size)
        acknowledged += more
        assert ends.link.acknowledged == acknowledged
    ends.splice.deliver(b"x" * 101)
    assert (ends.link.acknowledged, ends.held) == (acknowledged, 101)
    ends.transport.take(101)
    assert (ends.link.acknowledged, ends.held) == (acknowledged + 99 + 101, 0)


def test_a_step_is_small_beside_what_the_session_keeps_back():
    assert Limits().initial_window // 2 >= splice.ACKNOWLEDGED_BYTES * 32


async def test_a_flush_is_asked_for_when_there_is_something_to_send(ends):
    ends = await ends()
    await ends.open()
    ends.splice.deliver(b"x" * 50)
    assert not ends.link.flushing
    ends.service.data_received(b"answer")
    assert ends.link.flushing
    ends.link.flushing = False
    ends.transport.take(50)
    ends.link.acknowledged = 131_072  # half a window: the session has credit to send
    ends.splice.deliver(b"x")
    assert ends.link.flushing
    ends.link.flushing = False
    ends.service.eof_received()
    assert ends.link.flushing


async def test_an_answer_for_a_stream_that_is_over_is_dropped(ends):
    ends = await ends()
    await ends.open()
    ends.link.ended = True
    ends.service.data_received(b"late")
    assert (ends.link.told, ends.link.flushing, ends.transport.done) == ([], False, [])


async def test_what_fails_is_this_streams_alone(ends, monkeypatch):
    ends = await ends()
    await ends.open()

    def fail(data):
        raise ZeroDivisionError

    monkeypatch.setattr(ends.transport, "write", fail)
    ends.splice.deliver(b"x")
    assert ends.link.told == [("failed", ZeroDivisionError)]


async def test_a_full_stream_stops_the_service(ends):
    ends = await ends()
    await ends.open()
    ends.service.data_received(b"a")
    ends.link.room = False
    ends.service.data_received(b"b")
    assert ends.transport.done == ["pause"]
    ends.splice.writable()
    assert ends.transport.done == ["pause", "resume"]
    assert ends.link.told == [("data", b"a"), ("data", b"b")]


async def test_the_gateway_ends_first(ends):
    ends = await ends()
    await ends.open()
    ends.splice.end_from_gateway()
    assert ends.transport.done == ["eof"]
    ends.service.data_received(b"answer")
    assert ends.service.eof_received() is False  # the transport closes by itself
    ends.transport.lose()
    assert ends.link.told == [("data", b"answer"), "end", "closed"]


async def test_the_service_ends_first(ends):
    ends = await ends()
    await ends.open()
    assert ends.service.eof_received() is True
    ends.splice.deliver(b"more")
    ends.splice.end_from_gateway()
    assert ends.transport.done == [b"more", "close"]
    ends.transport.lose()
    assert ends.link.told == ["end", "closed"]


async def test_an_end_during_the_dial_comes_after_the_bytes(ends):
    ends = await ends()
    ends.splice.deliver(HEADER + b"all of it")
    ends.splice.end_from_gateway()
    await ends.connect()
    assert ends.transport.done == [b"all of it", "eof"]


async def test_a_broken_service_connection_resets_the_stream(ends):
    ends = await ends()
    await ends.open()
    ends.transport.lose(ConnectionResetError("gone"))
    assert ends.link.told == ["reset", "closed"]


@pytest.mark.parametrize("error", [None, ConnectionResetError("gone")], ids=["end", "reset"])
@pytest.mark.parametrize(("answered", "owed"), [(b"", True), (b"answer", False)])
async def test_who_dials_next_hears_of_a_service_that_went_without_an_answer(ends, monkeypatch, error, answered, owed):
    told = []
    monkeypatch.setattr(SERVICES.outages, "left_unanswered", told.append)
    ends = await ends()
    await ends.open(b"question")
    destination = ends.connection.destination
    if answered:
        ends.service.data_received(answered)
    if error is None:
        ends.service.eof_received()
    else:
        ends.transport.lose(error)
    assert told == ([destination] if owed else [])


async def test_a_service_that_was_asked_nothing_owes_nothing(ends, monkeypatch):
    told = []
    monkeypatch.setattr(SERVICES.outages, "left_unanswered", told.append)
    ends = await ends()
    await ends.open()
    ends.service.eof_received()
    ends.splice.end_from_gateway()
    ends.transport.lose()
    assert told == []


async def test_what_a_broken_connection_still_had_comes_before_the_reset(ends):
    ends = await ends()
    ends.transport.socket = BrokenSocket(b"answered early")
    await ends.open()
    ends.transport.lose(BrokenPipeError("gone"))
    ends.transport.socket.close()
    assert ends.link.told == [("data", b"answered early"), "reset", "closed"]


async def test_a_reset_aborts_the_service_connection_and_drops_what_is_held(ends):
    ends = await ends()
    await ends.open()
    ends.splice.deliver(b"x" * 200)
    assert ends.held == 200
    ends.splice.lost("reset")
    ends.splice.lost("link lost")
    assert ends.transport.done[1:] == ["abort"]
    ends.transport.lose()
    ends.service.data_received(b"late")
    ends.service.resume_writing()
    ends.splice.writable()
    assert ends.link.told == ["closed"]
    assert ends.held == 0


async def test_a_reset_during_the_dial_cancels_it(ends):
    ends = await ends()
    ends.splice.deliver(HEADER + b"x")
    task = ends.connection._dialling
    ends.splice.lost("reset")
    await asyncio.wait([task])
    assert task.cancelled()
    assert ends.link.told == ["closed"]
    assert ends.held == 0


async def test_a_connection_that_comes_too_late_is_aborted(ends):
    ends = await ends()
    ends.splice.deliver(HEADER)
    connection = ends.connection
    ends.splice.lost("reset")
    connection.connection_made(ends.transport)
    assert ends.transport.done == ["abort"]


async def test_a_failed_dial_ends_the_stream_without_a_byte(ends):
    ends = await ends()
    ends.splice.deliver(HEADER + b"request")
    await ends.fail("no", "refused")
    assert ends.link.told == [("refused", "apps/kuma:3001", "127.0.0.1:1: no", "refused"), "end"]
    assert (ends.link.acknowledged, ends.held) == (len(HEADER) + 7, 0)
    ends.splice.deliver(b"more")
    assert ends.link.acknowledged == len(HEADER) + 11
    ends.splice.end_from_gateway()
    assert ends.link.told[2:] == ["closed"]


async def test_an_end_within_the_header_is_refused(ends):
    ends = await ends()
    ends.splice.deliver(HEADER[:-1])
    ends.splice.end_from_gateway()
    assert ends.link.told == [("refused", "?", "the stream ended within its routing header", ""), "end", "closed"]
    assert ends.link.acknowledged == len(HEADER) - 1


async def test_a_service_that_never_takes_its_last_bytes_is_cut(ends, monkeypatch):
    monkeypatch.setattr(splice, "CLOSING_SECONDS", 0)
    ends = await ends()
    await ends.open()
    ends.splice.end_from_gateway()
    ends.service.eof_received()
    async with asyncio.timeout(5):
        await ends.link.over.wait()
    assert ends.transport.done == ["eof", "abort"]


async def test_its_text_is_its_state(ends):
    ends = await ends()
    assert repr(ends.splice) == "<Splice ? waiting in=0 out=0>"
    ends.splice.deliver(HEADER)
    assert repr(ends.splice) == "<Splice apps/kuma:3001 dialling in=0 out=0>"
    await ends.connect()
    ends.splice.deliver(b"abc")
    ends.service.data_received(b"de")
    assert repr(ends.splice) == "<Splice apps/kuma:3001 open in=3 out=2>"
    ends.splice.lost("reset")
    assert repr(ends.splice) == "<Splice apps/kuma:3001 over in=3 out=2>"
