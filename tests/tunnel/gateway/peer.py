"""The agent's end of a link, without any I/O: a yamux session in the client's role, and services that the test plays.

`Line` holds a link and its peer, a clock that only the test moves, and what the link told.
"""

import json
import struct
from typing import Any

from tests.fakes.clock import Clock
from tunnel.account import Account
from tunnel.gateway.link import Link
from tunnel.gateway.yamux import YamuxCarrier
from tunnel.wire.routing_header import Decoder, RoutingHeader
from tunnel.yamux import (
    BATCH_BYTES,
    DataReceived,
    Event,
    GoAwayReceived,
    Limits,
    Role,
    Session,
    StreamEnded,
    StreamOpened,
    StreamReset,
)

_DATA, _PING = 0, 2
_SYN = 1


class PeerStream:
    """One stream as a service sees it."""

    def __init__(self) -> None:
        self.header: RoutingHeader | None = None
        self.data = b""
        self.ended = False
        self.was_reset = False
        self._decoder = Decoder()

    def take(self, data: bytes) -> None:
        if self.header is not None:
            self.data += data
            return
        self.header = self._decoder.feed(data)
        if self.header is not None:
            self.data = self._decoder.rest


class Peer:
    """The agent. `receive_*` take what the gateway sent; what there is to send is in `to_send`."""

    def __init__(self, clock: Clock, limits: Limits | None = None) -> None:
        self.session = Session(Role.CLIENT, limits)
        self.clock = clock
        self.streams: dict[int, PeerStream] = {}
        self.accepts = True
        self.acknowledges = True
        self.pings = 0
        self.went_away: int | None = None

    def receive_bytes(self, data: bytes) -> None:
        """One message of the link, which holds whole frames."""
        at = 0
        while at < len(data):
            _, kind, flags, _, length = struct.unpack_from(">BBHII", data, at)
            self.pings += kind == _PING and flags == _SYN
            at += 12 + (length if kind == _DATA else 0)
        assert at == len(data)
        for event in self.session.receive_data(data, self.clock()):
            self._on(event)

    def _on(self, event: Event) -> None:
        if isinstance(event, StreamOpened):
            self.streams[event.stream_id] = PeerStream()
            if self.accepts:
                self.session.accept_stream(event.stream_id)
        elif isinstance(event, DataReceived):
            self.streams[event.stream_id].take(event.data)
            if self.acknowledges:
                self.session.acknowledge(event.stream_id, len(event.data), self.clock())
        elif isinstance(event, StreamEnded):
            self.streams[event.stream_id].ended = True
        elif isinstance(event, StreamReset):
            if event.stream_id in self.streams:
                self.streams[event.stream_id].was_reset = True
        elif isinstance(event, GoAwayReceived):
            self.went_away = event.code


class Line:
    """One link and its peer."""

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        account: Account | None = None,
        cluster: str = "c1",
        agent_id: str | None = None,
        ready: bool = False,
        limits: Limits | None = None,
        **more: Any,
    ) -> None:
        self.clock = clock or Clock()
        self.account = account or Account()
        self.limits = limits
        self.told: list[str] = []
        self.texts: list[dict[str, Any]] = []
        self.wakes = 0
        self.link = Link(
            cluster=cluster,
            agent_id=agent_id,
            wake=self._wake,
            on_ready=lambda link: self.told.append("ready"),
            on_identified=lambda link: self.told.append(f"identified {link.agent_id}"),
            on_closed=lambda link, reason: self.told.append(f"closed: {reason}"),
            clock=self.clock,
            **more,
        )
        self.peer = Peer(self.clock)
        if ready:
            self.greet()
            self.acknowledge_hello()
            self.run()
            self.texts.clear()
            self.told.clear()

    def _wake(self) -> None:
        self.wakes += 1

    def greet(self) -> None:
        """Ask for yamux, as the endpoints do."""
        self.link.greet(lambda: YamuxCarrier(self.link, account=self.account, limits=self.limits))

    # --- the agent speaks

    def say(self, kind: str, payload: object = None, request_id: str | None = None) -> None:
        envelope = {"type": kind, "payload": {} if payload is None else payload, "timestamp": "2026-01-02T03:04:05.5Z"}
        self.link.text_received(json.dumps(envelope | ({"request_id": request_id} if request_id else {})) + "\n")

    def acknowledge_hello(self) -> None:
        self.say("gateway_hello_ack", {"use_yamux": True})

    def beat(self, agent_id: str = "a1") -> None:
        self.say("heartbeat", {"agent_id": agent_id, "status": "healthy"})

    # --- the wire

    def collect(self) -> None:
        """Take what the link wants to send."""
        while (message := self.link.next_message()) is not None:
            if isinstance(message, str):
                self.texts.append(json.loads(message))
            else:
                assert 0 < len(message) <= BATCH_BYTES
                self.peer.receive_bytes(bytes(message))

    def deliver(self) -> None:
        """Hand the peer's bytes over, each frame in two messages, as the existing agent does."""
        while data := self.peer.session.data_to_send(65_536):
            self.link.bytes_received(data[:12])
            if data[12:]:
                self.link.bytes_received(data[12:])

    def run(self) -> None:
        """Both ways until both are silent."""
        for _ in range(100):
            self.collect()
            if not self.peer.session.wants_to_send:
                return
            self.deliver()
        raise AssertionError("the two never fall silent")

    def pass_time(self, seconds: float, *, answering: bool) -> None:
        """Tick twice a second; with or without the peer."""
        end = self.clock.now + seconds
        while self.clock.now < end:
            self.clock.now = min(self.clock.now + 0.5, end)
            self.link.tick()
            if answering:
                self.run()

    @property
    def kinds(self) -> list[str]:
        return [text["type"] for text in self.texts]

    def stream(self, number: int = -1) -> tuple[int, PeerStream]:
        """The stream opened as the n-th: id and what its service sees."""
        return list(self.peer.streams.items())[number]

    def answer(self, data: bytes, number: int = -1, *, end: bool = False) -> None:
        """The service of a stream answers."""
        stream_id, _ = self.stream(number)
        if data:
            self.peer.session.send_data(stream_id, data)
        if end:
            self.peer.session.end_stream(stream_id)
        self.run()
