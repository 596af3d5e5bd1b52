"""A spliced WebSocket between two ends that do whatever they like, in any order and cut anywhere."""

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.app.public.spliced import Pair, close, frame, frames_of, pong_of
from tests.fakes.examples import examples
from tests.fakes.loop import dialogue
from tunnel.errors import LinkLostError
from tunnel.websocket import Closed, FrameScanner, Opcode, marked_ping

PINGS = {masked: marked_ping(masked=masked) for masked in (False, True)}


def chunk(*, masked: bool) -> st.SearchStrategy[bytes]:
    """A frame or two of one side."""
    sizes = st.sampled_from([0, 1, 5, 125, 126, 300])
    message = sizes.map(lambda size: frame(bytes(size), masked=masked))
    fragments = sizes.map(
        lambda size: (
            frame(bytes(size), Opcode.TEXT, masked=masked, fin=False) + frame(b"!", Opcode.CONTINUATION, masked=masked)
        )
    )
    control = st.sampled_from([Opcode.PING, Opcode.PONG]).map(lambda opcode: frame(b"own", opcode, masked=masked))
    ours = st.just(pong_of(PINGS[not masked], masked=masked))
    burst = st.just(frame(b"", masked=masked) * 1200)
    closing = st.sampled_from([1000, 4321, None]).map(lambda code: close(code, masked=masked))
    wrong = st.just(frame(b"wrong", masked=not masked))
    return st.one_of(message, message, fragments, control, ours, burst, closing, wrong)


EVENTS = st.sampled_from([
    "client full", "client drains", "stream full", "stream drains", "turn", "turn", "tick", "late", "vanish", "finish",
    "lose", "stop", "stop now", "relieve", "silent", "ping", "drop",
])  # fmt: skip


def pieces(data: Any, wire: bytes) -> list[bytes]:
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, len(wire) - 1)), max_size=5)))
    return [wire[a:b] for a, b in zip([0, *cuts], [*cuts, len(wire)], strict=True) if wire[a:b]]


class Run:
    """One run; what each side was sent is compared with what the other one sent."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.now = 1_000.0
        self.dropped = False
        self.service_over = False

    def do(self, event: str) -> None:
        pair = self.pair
        acts: dict[str, Callable[[], object]] = {
            "client full": lambda: setattr(pair.client, "room", False),
            "client drains": pair.client.drain,
            "stream full": lambda: setattr(pair.stream, "is_writable", False),
            "stream drains": self.stream_drains,
            "turn": pair.client.turn,
            "tick": lambda: pair.splice.tick(self.now),
            "late": self.late,
            "vanish": pair.client.vanish,
            "finish": self.finish,
            "lose": self.lose,
            "stop": lambda: pair.splice.stop(now=False),
            "stop now": lambda: pair.splice.stop(now=True),
            "relieve": pair.splice.relieve,
            "silent": pair.splice.client_silent,
            "ping": pair.splice.ping_client,
            "drop": self.drop,
        }
        if pair.state != "OVER":
            acts[event]()

    def bring(self, part: bytes) -> None:
        if not self.service_over and self.pair.state != "OVER":
            self.pair.stream.bring(part)

    def stream_drains(self) -> None:
        self.pair.stream.is_writable = True
        if not self.pair.stream.was_reset and not self.pair.stream.lost:
            self.pair.stream.owner.stream_writable()

    def late(self) -> None:
        self.now += 20.0
        self.pair.splice.tick(self.now)

    def finish(self) -> None:
        if not self.service_over and not self.pair.stream.was_reset and not self.pair.stream.lost:
            self.service_over = True
            self.pair.stream.finish()

    def lose(self) -> None:
        if not self.pair.stream.was_reset and not self.pair.stream.lost:
            self.pair.stream.lose(LinkLostError("gone"))

    def drop(self) -> None:
        self.dropped = True
        self.pair.splice.drop()


def checked(sent: bytes, got: bytes, *, masked: bool) -> None:
    """What came is a prefix of what was sent, without our pongs, and then, at a border, one close of ours at most."""
    scanner = FrameScanner(masked=masked, max_message_bytes=1 << 40)
    expected, rest = b"", sent
    while rest:
        found = scanner.scan(rest)
        expected += found.passed
        rest = found.rest
        if found.end is not None:
            break
    common = without_pings(got, masked=masked)
    if expected.startswith(common):
        return
    at = next(number for number in range(len(common)) if common[number : number + 1] != expected[number : number + 1])
    for border in range(at, -1, -1):  # a close of ours may begin with the same bytes as what would have followed
        before = FrameScanner(masked=masked, max_message_bytes=1 << 40)
        rest, ended = common[:border], False
        while rest:
            found = before.scan(rest)
            rest, ended = found.rest, found.end is not None
            if ended:
                break
        if ended or before.left or before.held_bytes:
            continue
        tail = FrameScanner(masked=masked, max_message_bytes=1 << 40).scan(common[border:])
        if isinstance(tail.end, Closed) and tail.passed == common[border:] and len(tail.passed) <= 131:
            return
    raise AssertionError(f"{common[:80]!r} is not of {expected[:80]!r}")


def without_pings(got: bytes, *, masked: bool) -> bytes:
    """Pings of ours have a payload that nobody else's have; towards a service the mask is another each time."""
    mark = frames_of(PINGS[False])[0][1]
    if not masked:
        return got.replace(PINGS[False], b"")
    kept, at = b"", 0
    while (found := got.find(b"\x89\x88", at)) >= 0:
        if len(got) >= found + 14 and frames_of(got[found : found + 14])[0][1] == mark:
            kept += got[at:found]
            at = found + 14
        else:
            kept += got[at : found + 2]
            at = found + 2
    return kept + got[at:]


@examples(250)
@given(data=st.data())
def test_whatever_happens(data: Any):
    @dialogue
    async def run() -> None:
        early = data.draw(st.sampled_from([b"", frame(b"early"), frame(b"early")[:3]]))
        waiting = frame(b"early")[3:] if len(early) == 3 else b""
        pair = Pair(early=early, waiting=waiting, max_message_bytes=400)
        pair.client.is_sudden = data.draw(st.booleans())
        one = Run(pair)
        ups, downs = b"", early + waiting
        for _ in range(data.draw(st.integers(1, 12))):
            what = data.draw(st.sampled_from(["up", "down", "event"]))
            if what == "event":
                one.do(data.draw(EVENTS))
            elif what == "up":
                for part in pieces(data, data.draw(chunk(masked=True))):
                    ups += part
                    pair.client.bring(part)
            else:
                for part in pieces(data, data.draw(chunk(masked=False))):
                    downs += part
                    one.bring(part)
        # Then both ends leave.
        if pair.state != "OVER":
            pair.client.drain()
            one.stream_drains()
            pair.client.turns()
        if pair.state != "OVER":
            pair.client.vanish()
            pair.client.turns()
        if pair.state != "OVER":
            one.finish()
            pair.client.turns()
        if pair.state != "OVER":
            one.lose()
        assert (pair.state, pair.overs, pair.closed) == ("OVER", 0 if one.dropped else 1, 1)
        assert one.dropped or pair.client.ended or pair.client.lost
        assert pair.stream.unacknowledged == 0
        assert pair.account.held_bytes == 0
        assert pair.client.turns() <= 1
        checked(ups, pair.up, masked=True)
        checked(downs, pair.down, masked=False)

    run()
