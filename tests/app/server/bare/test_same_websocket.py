"""WebSockets over a stream between nodes: both ends see the same behind a raw stream and behind the bare door."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from tests.app.server.bare.hop import CHUNK, JSON, RAW, Hop, Socket
from tests.app.server.bare.services import Service
from tests.tunnel.gateway.proxied.agent import HANDSHAKE, Stage, conversation
from tunnel.port import Headers
from tunnel.websocket.frames import encode_frame

Play = Callable[[Hop, Service, Socket], Awaitable[None]]


@dataclass
class Case:
    """`to_client` and `to_service`: what each end heard."""

    name: str
    play: Play
    to_client: list[str] = field(default_factory=list)
    to_service: list[str] = field(default_factory=list)


async def talk(hop: Hop, service: Service, socket: Socket) -> None:
    for data in ("héllo", b"\x00\xff", "", b""):
        socket.send(data)
        service.say(data)
    await hop.settle()


TALK = ["Message(data='héllo')", "Message(data=b'\\x00\\xff')", "Message(data='')", "Message(data=b'')"]


async def long_ones(hop: Hop, service: Service, socket: Socket) -> None:
    """Longer than a window: whoever assembles a message gives credit for its parts."""
    socket.send(b"x" * 900_000)
    for _ in range(20):
        await hop.settle()
    service.say("y" * 900_000)
    for _ in range(20):
        await hop.settle()


async def many(hop: Hop, service: Service, socket: Socket) -> None:
    socket.exchange.send_data(b"".join(socket.codec.send_message(str(number)) for number in range(300)))
    for number in range(300):
        service.say(str(number))
    for _ in range(20):
        await hop.settle()


MANY = [f"Message(data='{number}')" for number in range(300)]


async def fragments(hop: Hop, service: Service, socket: Socket) -> None:
    """One message in three frames with a ping in between, each frame cut in the middle."""
    parts = [
        encode_frame(0x01, b"he", masked=True, fin=False),
        encode_frame(0x00, b"l", masked=True, fin=False),
        encode_frame(0x09, b"between", masked=True),
        encode_frame(0x00, b"lo", masked=True),
    ]
    data = b"".join(parts)
    for at in range(len(data)):
        socket.exchange.send_data(data[at : at + 1])
        if at % 5 == 0:
            await hop.settle()
    await hop.settle()


async def pings(hop: Hop, service: Service, socket: Socket) -> None:
    socket.exchange.send_data(socket.codec.send_ping(b"are you there"))
    await hop.settle()
    service.pong(b"are you there")
    await hop.settle()


def client_closes(code: int | None, reason: str = "") -> Play:
    async def play(hop: Hop, service: Service, socket: Socket) -> None:
        service.say("last word")
        await hop.settle()
        socket.exchange.send_data(socket.codec.close(code, reason))
        for _ in range(3):
            await hop.settle()

    return play


def service_closes(code: int | None, reason: str = "") -> Play:
    async def play(hop: Hop, service: Service, socket: Socket) -> None:
        socket.send("last word")
        await hop.settle()
        service.close(code, reason)
        await hop.settle()

    return play


CASES = [
    Case("nothing", lambda hop, *_: hop.settle()),
    Case("text and binary", talk, TALK, TALK),
    Case("long messages", long_ones, ["Message of 900000"], ["Message of 900000"]),
    Case("many messages", many, MANY, MANY),
    Case("fragments", fragments, [], ["Ping(payload=b'between')", "Message(data='hello')"]),
    Case("ping and pong", pings, ["Pong(payload=b'are you there')"], ["Ping(payload=b'are you there')"]),
    *[
        Case(f"the service closes with {code}", service_closes(code, reason),
             [f"Closed(code={code or 1005}, reason='{reason}')"], ["Message(data='last word')"])
        for code, reason in ((1000, "bye"), (1001, ""), (1011, "broken"), (3000, ""), (4999, "own"), (None, ""))
    ],
    *[
        Case(f"the client closes with {code}", client_closes(code, reason),
             ["Message(data='last word')", f"Closed(code={code or 1005}, reason='{answered}')"],
             [f"Closed(code={code or 1005}, reason='{reason}')"])
        for code, reason, answered in ((1000, "bye", "bye"), (1001, "", ""), (4001, "own", "own"), (None, "", ""))
    ],
]  # fmt: skip


async def play(stage: Stage, kind: str, case: Case) -> tuple[list[str], list[str]]:
    hop = Hop(stage, kind)
    socket = Socket(hop)
    await hop.settle()
    assert hop.service.heard.method == "GET"
    assert hop.service.heard.target == "/ws?room=1"
    hop.service.accept("chat.v2")
    await hop.settle()
    (head,) = socket.sink.heads
    assert head.status == 101
    fields = {name.lower(): value for name, value in head.headers}
    assert fields == {
        b"upgrade": b"websocket", b"connection": b"Upgrade", b"sec-websocket-protocol": b"chat.v2",
        b"sec-websocket-accept": b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
    }  # fmt: skip
    await case.play(hop, hop.service, socket)
    heard = socket.heard()
    if any(event.startswith("Closed") for event in heard):
        await parted(hop, socket)
    told = list(hop.service.events)
    await hop.end()
    return heard, [event for event in told if event != "end"]


async def parted(hop: Hop, socket: Socket) -> None:
    """After the close frames each end ends its direction."""
    if data := socket.codec.data_to_send():
        socket.exchange.send_data(data)
    await hop.settle()
    if isinstance(hop.far.owner, type(hop.service)):
        hop.far.write_end()  # a service does so once it has closed
    await hop.settle()
    assert socket.sink.outcome == "end"
    socket.exchange.end()
    await hop.settle()
    assert (hop.near.has_ended, hop.far.has_ended) == (True, True)
    assert not hop.near.is_over


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
@conversation
async def test_it_is_the_same(stage: Stage, case: Case):
    raw = await play(stage, RAW, case)
    assert raw == (case.to_client, case.to_service)
    for kind in (JSON, CHUNK):
        assert await play(stage, kind, case) == raw


@pytest.mark.parametrize("kind", [RAW, JSON, CHUNK])
@pytest.mark.parametrize("status", [200, 302, 401, 403, 503])
@conversation
async def test_a_refused_handshake_is_the_service_s_answer(stage: Stage, kind: str, status: int):
    hop = Hop(stage, kind)
    socket = Socket(hop)
    await hop.settle()
    hop.service.head(status, [(b"x-why", b"denied")])
    hop.service.data(b"no")
    hop.service.end()
    await hop.settle()
    (head,) = socket.sink.heads
    assert (head.status, socket.sink.body, socket.sink.outcome) == (status, b"no", "end")
    assert (b"x-why", b"denied") in [(name.lower(), value) for name, value in head.headers]
    await hop.end()


@pytest.mark.parametrize("kind", [RAW, JSON, CHUNK])
@conversation
async def test_a_service_that_vanishes_before_its_101(stage: Stage, kind: str):
    hop = Hop(stage, kind)
    socket = Socket(hop)
    await hop.settle()
    hop.service.vanish()
    await hop.settle()
    assert (socket.sink.statuses, socket.sink.outcome) == ([], "ServiceUnreachableError")
    await hop.end()


@pytest.mark.parametrize("kind", [JSON, CHUNK])
@conversation
async def test_extensions_are_declined(stage: Stage, kind: str):
    hop = Hop(stage, kind)
    offer: Headers = [*HANDSHAKE, (b"Sec-WebSocket-Extensions", b"permessage-deflate; client_max_window_bits")]
    socket = Socket(hop, offer)
    await hop.settle()
    assert not [name for name, _ in hop.service.heard.fields if "extensions" in name]
    hop.service.accept()
    await hop.settle()
    (head,) = socket.sink.heads
    assert not [name for name, _ in head.headers if name.lower() == b"sec-websocket-extensions"]
    socket.exchange.send_data(encode_frame(0x41, b"deflated", masked=True))
    await hop.settle()
    assert socket.sink.outcome == "StreamRefusedError", "frames of an extension are no frames here"
    assert hop.service.left
    await hop.end()
