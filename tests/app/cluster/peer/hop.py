"""A hop without sockets: two sessions on transports that are joined, and the agent's link of the owner.

`Hop` is the asking node, the owner, and a link of the owner with the service played at its far end (`Line`). Bytes
between the nodes are cut as `cut` says; `run` carries them until everybody is silent.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from app.cluster.peer.preamble import Preamble
from app.cluster.peer.serving import Bare, Serving
from app.cluster.peer.session import LIMITS, PeerSession
from app.cluster.peer.splice import Raw
from app.cluster.peer.upstream import Asking, PeerUpstream
from tests.fakes.loop import quiet
from tests.fakes.sink import FakeSink
from tests.tunnel.gateway.peer import Line
from tunnel.account import Account
from tunnel.errors import TunnelError
from tunnel.port import Exchange, Headers, RequestHead, Target
from tunnel.yamux import Limits, Role

TARGET = Target("c1", "apps", "web", 8080)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HIGH_WATER = 64 * 1024


class JoinedTransport(asyncio.Transport):
    """What is written here comes to the protocol of `far`, in a later turn. `frozen`: it waits."""

    def __init__(self, cut: Callable[[bytes], list[bytes]]) -> None:
        super().__init__({"peername": ("192.0.2.7", 7000)})
        self.far: JoinedTransport | None = None
        self.protocol: Any = None
        self.cut = cut
        self.frozen = False
        self.closing = False
        self.aborted = False
        self.reads = True
        self.sent_bytes = 0
        self._due = False
        self._full = False
        self._buffer = b""
        self._lost = False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high == 1

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closing
        self.sent_bytes += len(data)
        self._buffer += bytes(data)
        if len(self._buffer) > HIGH_WATER and not self._full:
            self._full = True
            self.protocol.pause_writing()
        self._schedule()

    def writelines(self, pieces: Any) -> None:
        self.write(b"".join(pieces))

    def thaw(self) -> None:
        self.frozen = False
        self._schedule()

    def _schedule(self) -> None:
        if not self._due and not self.frozen:
            self._due = True
            asyncio.get_running_loop().call_soon(self._carry)

    def _carry(self) -> None:
        self._due = False
        far = self.far
        if self.frozen or far is None or self._lost:
            return
        if not far.reads:
            self._schedule()
            return
        data, self._buffer = self._buffer, b""
        for piece in self.cut(data):
            if not far._lost:
                far.protocol.data_received(piece)
        if self._full:
            self._full = False
            self.protocol.resume_writing()
        if self.closing and not self._buffer:
            self.lose()

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True
        self._schedule()

    def abort(self) -> None:
        self.closing = self.aborted = True
        asyncio.get_running_loop().call_soon(self.lose)

    def lose(self) -> None:
        """The connection is gone, at both ends; idempotent."""
        if not self._lost:
            self._lost = self.closing = True
            self.protocol.connection_lost(None)
            if self.far is not None and not self.far._lost:
                self.far.protocol.eof_received()
                self.far.lose()


def whole(data: bytes) -> list[bytes]:
    return [data] if data else []


def joined(cut: Callable[[bytes], list[bytes]] = whole) -> tuple[JoinedTransport, JoinedTransport]:
    near, far = JoinedTransport(cut), JoinedTransport(cut)
    near.far, far.far = far, near
    return near, far


class Hop:
    """See the module."""

    def __init__(
        self,
        *,
        cut: Callable[[bytes], list[bytes]] = whole,
        limits: Limits = LIMITS,
        agent_limits: Limits | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.account, self.owner_account = Account(), Account()
        self.line = Line(ready=True, limits=agent_limits, agent_id="a1", account=self.owner_account)
        self.way: Raw | Bare | TunnelError = Raw(self.line.link.carrier, "a1")
        self.wanted: list[Preamble] = []
        self.closed: list[str] = []
        self.near, self.far = joined(cut)
        self.session = PeerSession(Role.CLIENT, "owner", account=self.account, loop=loop, limits=limits)
        self.asking = Asking(self.session)
        self.session.start(self.near, self.asking)
        self.serving = Serving(self._find)
        self.owner = PeerSession(Role.SERVER, "asker", account=self.owner_account, loop=loop, limits=limits)
        self.served = self.serving.user_of(self.owner, self.closed.append)
        self.owner.start(self.far, self.served)

    def _find(self, wanted: Preamble) -> Raw | Bare:
        self.wanted.append(wanted)
        if isinstance(self.way, TunnelError):
            raise self.way
        return self.way

    def answers(self) -> list[str]:
        """What was counted, the same at both ends."""
        asked, served = ([end.value for end, count in ends.items() for _ in range(count)]
                         for ends in (self.asking.counts.answers, self.serving.answers))  # fmt: skip
        assert asked == served
        return asked

    async def run(self) -> None:
        """Until nobody has anything to say."""
        for _ in range(1000):
            await quiet()
            self.line.collect()
            if not self.line.peer.session.wants_to_send and not self.owner._flushing and not self.session._flushing:
                return
            self.line.deliver()
        raise AssertionError("they never fall silent")

    def upstream(self, target: Target = TARGET, dialect: str = "yamux") -> PeerUpstream:
        return self.asking.upstream(target, agent_id="a1", dialect=dialect)

    def ask(
        self, method: bytes = b"GET", *, length: int | None = 0, fresh: bool = False, upgrade: bool = False,
        to: Target = TARGET, sink: FakeSink | None = None, fields: Headers | None = None,
        dialect: str = "yamux", path: bytes = b"/",
    ) -> tuple[Exchange, FakeSink]:  # fmt: skip
        sink = sink or FakeSink()
        head = RequestHead(method, path, [(b"Host", b"a.test"), *(fields or [])], length, upgrade)
        return self.upstream(to, dialect).open(head, sink, fresh), sink

    def answer(self, data: bytes, number: int = -1, *, end: bool = False) -> None:
        """The service of a stream answers, before the next `run`."""
        stream_id, _ = self.line.stream(number)
        if data:
            self.line.peer.session.send_data(stream_id, data)
        if end:
            self.line.peer.session.end_stream(stream_id)

    async def end(self) -> None:
        """The link ends in order, and nobody holds anything."""
        self.asking.session.close("end of the test")
        for _ in range(20):
            await self.run()
        assert self.session.reason == "end of the test"
        assert self.closed == ["the node closed the connection"], self.closed
        assert self.serving.running == set()
        assert self.line.link.carrier.active == 0
        assert self.asking.active == 0
        assert (self.account.held_bytes, self.owner_account.held_bytes) == (0, 0)
        assert not self.session._streams
        assert not self.owner._streams
