"""Our session against hashicorp's original, over a real socket: `yamux-peer` of tests/go.

Both roles, both directions. What the peer says it sent and got is compared by hash with what we saw. The clock that
our session is told is the test's own where time matters.
"""

import contextlib
import hashlib
import json
import random
import select
import socket
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.go.build import go_binary
from tests.tunnel.yamux.wire import live_streams
from tunnel.yamux import (
    DataReceived,
    Event,
    Limits,
    PongReceived,
    Role,
    Session,
    StreamEnded,
    StreamOpened,
    StreamReset,
)

pytestmark = pytest.mark.system

SECONDS = 15.0
READ_BYTES = 256 * 1024
MIB = 1024 * 1024
STREAMS = 100
WINDOW = 256 * 1024
PING_FRAME_BYTES = 12
OTHER = {Role.CLIENT: "server", Role.SERVER: "client"}

both_roles = pytest.mark.parametrize("role", [Role.SERVER, Role.CLIENT], ids=lambda role: f"we-are-{role.value}")


class Dialogue:
    """The socket, our session on it, and the Go process at its other end."""

    def __init__(
        self, wire: socket.socket, process: subprocess.Popen[str], role: Role, limits: Limits | None, *, peer_ends: bool
    ) -> None:
        self.session = Session(role, limits)
        self.clock: Callable[[], float] = time.monotonic
        self.writable: Callable[[int], None] = lambda _: None
        """Told the streams whose send buffers drained, after any turn: they may drain when nothing comes."""
        self.received_bytes = 0
        self.over = False
        self._wire = wire
        self._process = process
        self._peer_ends = peer_ends
        self._unsent = b""
        self._deadline = time.monotonic() + SECONDS
        wire.setblocking(False)

    def turn(self) -> list[Event]:
        """Wait until something can be read or written, do it, and say what came."""
        self._unsent = self._unsent or self.session.data_to_send()
        wanting = [self._wire] if self._unsent else []
        left = max(0.0, self._deadline - time.monotonic())
        readable, writable, _ = select.select([self._wire], wanting, [], left)
        assert readable or writable, f"nothing happened within {SECONDS} s: {self.session!r}"
        if writable:
            self._unsent = self._unsent[self._wire.send(self._unsent) :]
        if not readable:
            return []
        data = self._wire.recv(READ_BYTES)
        self.over = not data
        self.received_bytes += len(data)
        return self.session.receive_data(data, self.clock())

    def until(self, done: Callable[[], bool], obey: Callable[[Event], None]) -> None:
        """Take turns until `done()`."""
        while not done():
            assert not self.over, f"the peer closed the connection: {self.session!r}"
            for event in self.turn():
                obey(event)
            for stream_id in self.session.take_writable():
                self.writable(stream_id)

    def result(self) -> tuple[dict[str, Any], int]:
        """End the session; what the peer printed, and its exit status.

        A peer that sends ends it itself, once it got all. If we did, it might not have read what we sent last.
        """
        with contextlib.suppress(ConnectionError):  # what the peer left unread resets the connection
            while self._peer_ends and not self.over:
                self.turn()
            while not self._peer_ends and (self._unsent or self.session.wants_to_send):
                self.turn()
            self._wire.shutdown(socket.SHUT_WR)
        output, _ = self._process.communicate(timeout=SECONDS)
        return json.loads(output), self._process.returncode


@contextmanager
def peer(role: Role, mode: str, *options: str, limits: Limits | None = None) -> Iterator[Dialogue]:
    """The original in the other role; it is ended whatever happens."""
    binary = go_binary()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(SECONDS)
        address = f"tcp:127.0.0.1:{listener.getsockname()[1]}"
        command = [str(binary), "yamux-peer", "--connect", address, "--role", OTHER[role], "--mode", mode, *options]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                wire, _ = listener.accept()
                with wire:
                    yield Dialogue(wire, process, role, limits, peer_ends=mode == "send")
            finally:
                process.kill()


class Echo:
    """Returns every byte on the stream it came on: at once, or `late`, after the peer's end."""

    def __init__(self, dialogue: Dialogue, *, late: bool = False) -> None:
        self.session = dialogue.session
        self.clock = dialogue.clock
        dialogue.writable = self._acknowledge
        self.late = late
        self.sha256 = defaultdict[int, Any](hashlib.sha256)
        self.held = defaultdict[int, bytearray](bytearray)
        self.opened: list[int] = []
        self.ended: list[int] = []
        self._unread: dict[int, int] = defaultdict(int)

    def obey(self, event: Event) -> None:
        match event:
            case StreamOpened(stream_id):
                self.opened.append(stream_id)
                self.session.accept_stream(stream_id)
            case DataReceived(stream_id, data):
                self.sha256[stream_id].update(data)
                self._unread[stream_id] += len(data)
                if self.late:
                    self.held[stream_id] += data
                if self.late or self.session.send_data(stream_id, data):
                    self._acknowledge(stream_id)
            case StreamEnded(stream_id):
                self.session.send_data(stream_id, self.held.pop(stream_id, b""))
                self.session.end_stream(stream_id)
                self.ended.append(stream_id)
            case StreamReset():
                raise AssertionError(f"the peer reset a stream: {event}")
            case _:
                pass

    def _acknowledge(self, stream_id: int) -> None:
        self.session.acknowledge(stream_id, self._unread.pop(stream_id, 0), self.clock())


@both_roles
def test_100_streams_of_the_peer_bring_100_mib_and_get_it_back(role: Role) -> None:
    with peer(role, "send", "--streams", str(STREAMS), "--mib", "1") as dialogue:
        echo = Echo(dialogue)
        dialogue.until(lambda: len(echo.ended) == STREAMS and not live_streams(dialogue.session), echo.obey)
        result, status = dialogue.result()
    assert (result["ok"], status) == (True, 0)
    assert sorted(item["id"] for item in result["streams"]) == sorted(echo.opened)
    assert len(set(echo.opened)) == STREAMS
    assert {number % 2 for number in echo.opened} == {1 if role is Role.SERVER else 0}
    for item in result["streams"]:
        assert item["sent"] == item["received"] == MIB
        assert item["received_sha256"] == item["sent_sha256"] == echo.sha256[item["id"]].hexdigest()


@both_roles
def test_100_streams_of_ours_send_100_mib_and_get_it_back(role: Role) -> None:
    with peer(role, "echo") as dialogue:
        session = dialogue.session
        sources = {session.open_stream(): random.Random(number).randbytes(MIB) for number in range(STREAMS)}
        left = {stream_id: memoryview(data) for stream_id, data in sources.items()}
        got = {stream_id: hashlib.sha256() for stream_id in sources}
        ended: list[int] = []

        def send(stream_id: int) -> None:
            while left[stream_id]:
                piece, left[stream_id] = left[stream_id][:16_384], left[stream_id][16_384:]
                if not session.send_data(stream_id, piece):
                    return
            session.end_stream(stream_id)

        def obey(event: Event) -> None:
            match event:
                case DataReceived(stream_id, data):
                    got[stream_id].update(data)
                    session.acknowledge(stream_id, len(data), time.monotonic())
                case StreamEnded(stream_id):
                    ended.append(stream_id)
                case _:
                    raise AssertionError(f"unexpected: {event}")

        dialogue.writable = send
        for stream_id in sources:
            send(stream_id)
        dialogue.until(lambda: len(ended) == STREAMS, obey)
        result, status = dialogue.result()
    assert status == 0
    assert (result["accepted"], result["bytes"]) == (STREAMS, STREAMS * MIB)
    for stream_id, data in sources.items():
        assert got[stream_id].digest() == hashlib.sha256(data).digest()


@both_roles
def test_after_the_peers_end_our_direction_still_carries_everything(role: Role) -> None:
    with peer(role, "send", "--streams", "3", "--mib", "2") as dialogue:
        echo = Echo(dialogue, late=True)
        dialogue.until(lambda: len(echo.ended) == 3 and not live_streams(dialogue.session), echo.obey)
        result, status = dialogue.result()
    assert (result["ok"], status) == (True, 0)


@both_roles
def test_after_our_end_the_peers_direction_still_carries_everything(role: Role) -> None:
    with peer(role, "echo") as dialogue:
        session = dialogue.session
        stream_id = session.open_stream()
        session.send_data(stream_id, b"x" * WINDOW)
        session.end_stream(stream_id)
        got = bytearray()
        ended: list[int] = []

        def obey(event: Event) -> None:
            match event:
                case DataReceived(_, data):
                    got.extend(data)  # the window is as large: no credit is needed
                case StreamEnded(ended_id):
                    ended.append(ended_id)
                case _:
                    raise AssertionError(f"unexpected: {event}")

        dialogue.until(lambda: bool(ended), obey)
    assert bytes(got) == b"x" * WINDOW
    assert ended == [stream_id]


@both_roles
@pytest.mark.parametrize("when", ["at-its-opening", "while-it-carries-data"])
def test_a_reset_ends_that_stream_only(role: Role, when: str) -> None:
    with peer(role, "send", "--streams", "3", "--mib", "2") as dialogue:
        echo = Echo(dialogue)
        victim: list[int] = []

        def obey(event: Event) -> None:
            assert isinstance(event, StreamOpened | DataReceived | StreamEnded)
            kind = StreamOpened if when == "at-its-opening" else DataReceived
            if isinstance(event, kind) and not victim:
                victim.append(event.stream_id)
                dialogue.session.reset_stream(event.stream_id)
            elif event.stream_id not in victim:  # what came in one piece with the victim's event is still told
                echo.obey(event)

        dialogue.until(lambda: len(echo.ended) == 2 and not live_streams(dialogue.session), obey)
        result, status = dialogue.result()
    assert (result["ok"], status) == (False, 1)
    failed = [item for item in result["streams"] if "error" in item]
    assert [item["id"] for item in failed] == victim
    assert "reset" in failed[0]["error"]
    for item in result["streams"]:
        if item not in failed:
            assert item["sent_sha256"] == item["received_sha256"]
            assert item["received"] == 2 * MIB


@both_roles
def test_our_ping_is_answered(role: Role) -> None:
    pongs: list[Event] = []
    with peer(role, "echo") as dialogue:
        for number in (4, 5):  # the first answers ask for more
            dialogue.session.ping(time.monotonic())
            dialogue.until(lambda: len(pongs) == number, pongs.append)  # noqa: B023 (used at once)
    assert [type(pong) for pong in pongs] == [PongReceived] * 5
    assert dialogue.session.rtt is not None
    assert 0 < dialogue.session.rtt < SECONDS


@both_roles
def test_the_peers_pings_are_answered_in_its_time(role: Role) -> None:
    """It gives an answer 200 ms, and ends the session without one; ten more pings say that all came in time."""
    with peer(role, "echo", "--keepalive", "100ms", "--write-timeout", "200ms") as dialogue:
        events: list[Event] = []
        dialogue.until(lambda: dialogue.received_bytes >= 10 * PING_FRAME_BYTES, events.append)
        result, status = dialogue.result()
    assert events == []
    assert dialogue.received_bytes % PING_FRAME_BYTES == 0
    assert (result["accepted"], status) == (0, 0)


@both_roles
@pytest.mark.parametrize("peer_window", [WINDOW, 4 * MIB])
def test_a_window_that_grew_is_used_by_the_peer_to_its_last_byte(role: Role, peer_window: int) -> None:
    """Our consumer takes each window whole, once the peer has used all of it; a round trip later comes the next."""
    limits = Limits(max_window=2 * MIB)
    options = ("--streams", "1", "--mib", "12", "--window", str(peer_window))
    with peer(role, "send", *options, limits=limits) as dialogue:
        session = dialogue.session
        now = 0.0
        dialogue.clock = lambda: now
        for _ in range(4):
            session.ping(now)
        now = rtt = 1 / 16  # so that sums and differences of times are exact
        pongs: list[Event] = []
        echo = Echo(dialogue, late=True)
        unread = 0

        def hold(event: Event) -> None:
            nonlocal unread
            if isinstance(event, DataReceived):
                echo.sha256[event.stream_id].update(event.data)
                echo.held[event.stream_id] += event.data
                unread += len(event.data)
            elif isinstance(event, PongReceived):
                pongs.append(event)
            else:
                echo.obey(event)

        dialogue.until(lambda: len(pongs) == 4 and len(echo.opened) == 1, hold)
        assert session.rtt == rtt
        stream_id = echo.opened[0]
        window = session.window_of(stream_id)
        sizes = []

        def used_up() -> bool:
            return unread >= window.size

        while window.size < limits.max_window or len(sizes) < 8:
            dialogue.until(used_up, hold)
            assert unread == window.size
            assert window.remaining == 0
            sizes.append(unread)
            unread = 0
            session.acknowledge(stream_id, sizes[-1], now)
            now += rtt
        assert sizes == [size * WINDOW for size in (1, 1, 2, 4, 8, 8, 8, 8)]
        dialogue.until(used_up, hold)
        session.acknowledge(stream_id, unread, now)
        dialogue.until(lambda: not live_streams(session), echo.obey)
        result, status = dialogue.result()
    assert (result["ok"], status) == (True, 0)
    assert result["streams"][0]["received_sha256"] == echo.sha256[stream_id].hexdigest()
