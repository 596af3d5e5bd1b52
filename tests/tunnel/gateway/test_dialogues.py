"""The existing agent's recorded traffic, played against the application: registration, heartbeat, reconnects, yamux."""

import base64
import struct

import pytest

from tests.fakes.asgi import Request, WebSocket
from tests.fakes.loop import dialogue, quiet
from tests.tunnel.gateway.recording import (
    CLUSTER,
    HOST,
    NOT_SENT_BY_US,
    REFUSED_HOST,
    AgentCall,
    Playback,
    stage,
    understood,
)
from tunnel.gateway.link import LinkState
from tunnel.websocket import Closed, Connection, Message, Role

RECORDINGS = [
    # name, links at the end, handshakes' statuses on the gateway socket
    ("01-register-switch-idle", 0, [101]),
    ("03-resume", 1, [101]),
    ("14-yamux", 1, [101]),
    ("15-reconnect-http", 1, [101, 101]),
    ("15b-reconnect-event-stream", 1, [101, 101]),
    ("15c-reconnect-websocket", 1, [101, 101]),
    ("16-routes-rest", 1, [101]),
    ("17-handshake-503", 1, [101, 503, 503, 503, 101]),
    ("17b-handshake-401", 0, [101, 401, 401]),
    ("17c-handshake-401-once", 1, [101, 401, 101]),
]


@pytest.mark.parametrize(("name", "links", "statuses"), RECORDINGS)
@dialogue
async def test_the_agent_is_served(name: str, links: int, statuses: list[int]):
    async with stage() as s:
        playback = Playback(name, s)
        await playback.play()
        on_gateway = [call for call in playback.calls.values() if call.socket == "gateway"]
        on_controller = [call for call in playback.calls.values() if call.socket == "controller"]
        assert [call.status for call in on_gateway] == statuses
        assert [call.status for call in on_controller] == [101]
        live = s.gateway.registry.links(CLUSTER)
        assert len(live) == links
        assert [link.agent_id for link in live] == ["agent-0001"] * links
        assert all(link.state is not LinkState.CLOSED for link in live)
        for call in on_gateway:
            assert len(call.told_of("heartbeat_ack")) == call.heartbeats
            assert len(call.told_of("gateway_hello")) == (call.status == 101)
            assert call.heartbeats == (call.status == 101) or name.startswith(("01", "03"))
            for message in call.told:
                assert message["type"] not in NOT_SENT_BY_US
        assert playback.skipped <= set(NOT_SENT_BY_US)
        await playback.end()
        assert s.gateway.registry.links() == ()


@pytest.mark.parametrize("name", ["15-reconnect-http", "15b-reconnect-event-stream", "15c-reconnect-websocket"])
@dialogue
async def test_a_reconnect_while_the_old_connection_looks_open(name: str):
    """A half-open connection: the newer one's first heartbeat closes it."""
    async with stage() as s:
        playback = Playback(name, s, drops=False)
        await playback.play()
        old, new = (call for call in playback.calls.values() if call.socket == "gateway")
        assert old.closed is not None
        assert old.closed[0] == 1012
        assert old.is_over
        assert new.closed is None
        assert len(s.gateway.registry.links(CLUSTER)) == 1
        await playback.end()


# --- 14: the streams, with clients of ours in the place of the recorded gateway's


class Streams(Playback):
    """Opens what the recorded gateway opened, when it did, and leaves when it did."""

    def __init__(self, *arguments: object) -> None:
        super().__init__("14-yamux", *arguments)  # type: ignore[arg-type]
        self.client: dict[int, Request | WebSocket] = {}
        self._recorded_websocket = Connection(Role.SERVER)
        self._rest = b""

    async def binary(self, call: AgentCall, data: bytes) -> None:
        self._rest += data
        while len(self._rest) >= 12:
            _, kind, flags, stream_id, length = struct.unpack_from(">BBHII", self._rest)
            end = 12 + (length if kind == 0 else 0)
            if len(self._rest) < end:
                return
            body, self._rest = self._rest[12:end], self._rest[end:]
            if flags & 1 and stream_id:
                self._open(stream_id)
            elif flags & 8:
                client = self.client[stream_id]
                assert isinstance(client, Request)
                client.leave()
            elif stream_id == 4 and body and not body.startswith((b"\x01\x01", b"GET ")):
                self._say(body)
            await quiet()

    def _open(self, stream_id: int) -> None:
        app = self.stage.app
        client: Request | WebSocket
        match stream_id:
            case 2:
                client = Request(app, target="/hello", host=HOST)
            case 4:
                client = WebSocket(app, "/ws", host=HOST)
            case 6:
                client = Request(app, target="/", host=REFUSED_HOST)
            case 8:
                client = Request(app, target="/slow?t=20", host=HOST)
            case _:
                client = Request(app, target="/octets?n=20480", host=HOST)
        self.client[stream_id] = client.start()

    def _say(self, frames: bytes) -> None:
        client = self.client[4]
        assert isinstance(client, WebSocket)
        for event in self._recorded_websocket.receive_data(frames):
            if isinstance(event, Message):
                client.say(event.data)
            else:
                assert isinstance(event, Closed)  # our door answers the service's close by itself


def request_key(playback: Playback) -> bytes:
    """The key of the recorded handshake: the recorded answer fits no other."""
    for line in playback.lines:
        if line["dir"] == "gateway>agent" and line.get("event") == "binary":
            _, found, rest = base64.b64decode(line["data"]).partition(b"Sec-WebSocket-Key: ")
            if found:
                return rest.partition(b"\r\n")[0]
    raise AssertionError("no handshake in the recording")


def pongs(frames: bytes) -> list[int]:
    found = []
    at = 0
    while at < len(frames):
        _, kind, flags, _, length = struct.unpack_from(">BBHII", frames, at)
        if kind == 2 and flags == 2:
            found.append(length)
        at += 12 + (length if kind == 0 else 0)
    return found


@dialogue
async def test_streams():
    with pytest.MonkeyPatch.context() as patch:
        async with stage() as s:
            playback = Streams(s)
            key = request_key(playback)
            patch.setattr("tunnel.websocket.new_key", lambda: key)
            # Recorded with a gateway that did not try a refused GET again: a second stream would shift all ids.
            patch.setattr("app.public.opening_call.OpeningCall._try_again", lambda *_, **__: False)
            await playback.play()
            call = playback.calls[2]
            ours, recorded = understood(call.frames), understood(playback.recorded[2])
            assert list(ours.streams) == list(recorded.streams) == [2, 4, 6, 8, 10]
            for stream_id, theirs in recorded.streams.items():
                mine = ours.streams[stream_id]
                assert str(mine.header) == str(theirs.header)
                line = theirs.data.partition(b"\r\n")[0]
                assert mine.data.startswith(line or b"GET / HTTP/1.1\r\n")
                assert theirs.ended or theirs.was_reset
                assert mine.ended or mine.was_reset  # none is left half open at the agent
            assert ours.streams[8].was_reset
            assert pongs(call.frames) == pongs(playback.recorded[2]) == [0, 1]

            hello, websocket, refused, slow, octets = playback.client.values()
            assert isinstance(hello, Request)
            assert (hello.status, hello.answer, hello.complete) == (200, b"hello\n", True)
            assert hello.header(b"x-multi") == b"one"
            assert isinstance(websocket, WebSocket)
            assert websocket.heard == ["hi"]
            assert websocket.closed == (4001, "bye")
            assert isinstance(refused, Request)
            assert refused.status == 502
            assert b"service_unreachable" in refused.answer
            assert isinstance(slow, Request)
            assert slow.sent == []
            assert isinstance(octets, Request)
            assert (octets.status, len(octets.answer), octets.complete) == (200, 20_480, True)

            (link,) = s.gateway.registry.links(CLUSTER)
            assert link.active == 0
            assert s.gateway.account.held_bytes == 0
            for client in playback.client.values():
                await client.over()
            await playback.end()
