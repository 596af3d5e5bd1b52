"""Every state of an exchange meets everything that its door and its stream can do."""

from collections.abc import Callable
from typing import NamedTuple

import pytest

from tests.fakes.sink import FakeSink
from tests.tunnel.http1.talk import Talk
from tunnel.errors import LinkLostError, ServiceBrokeOffError
from tunnel.http1.exchange import StreamExchange
from tunnel.http1.request import BodyLengthError
from tunnel.port import Headers, RequestHead

WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
PART = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nhello"
UPGRADE = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


class Sink(FakeSink):
    """One that takes whole answers."""

    def whole(self, status: int, headers: Headers, block: bytes, body: bytes, /) -> None:
        self.pieces.append(body)
        self._called("whole")

    @property
    def outcome(self) -> str:
        return "end" if "whole" in self.calls else super().outcome


class Dialogue:
    """One exchange on a connection of its own: the first, or after one whose answer came whole, where `used` is set."""

    used = False

    def __init__(self, body_length: int | None = 0, *, upgrade: bool = False) -> None:
        self.talk = Talk()
        if self.used:
            self.talk.connection.open(RequestHead(b"GET", b"/first", []), Sink())
            self.talk.stream.bring(WHOLE)
        before = self.talk.connection.spare
        self.sink = Sink()
        head = RequestHead(b"POST", b"/", [(b"Host", b"a.test")], body_length, upgrade)
        exchange = self.talk.connection.open(head, self.sink)
        assert isinstance(exchange, StreamExchange)
        self.exchange = exchange
        assert (exchange is before) == (self.used and body_length == 0 and not upgrade)
        self.stream = self.talk.stream
        self.stream.written = b""
        self.talk.told.clear()

    @property
    def state(self) -> str:
        """By the marks that the table in `exchange.py` names."""
        exchange = self.exchange
        if exchange._over:
            return "OVER"
        if exchange._told_end:
            return "THEIRS ENDED"
        if exchange._answer is None:
            return "ASKED"
        if not self.sink.statuses or self.sink.statuses[-1] != 101:
            return "ANSWERING"
        return "OPEN" if repr(exchange).endswith("unfinished>") else "OURS ENDED"


def asked() -> Dialogue:
    return Dialogue()


def uploading() -> Dialogue:
    return Dialogue(None)


def counting() -> Dialogue:
    return Dialogue(3)


def answering() -> Dialogue:
    made = asked()
    made.stream.bring(PART)
    return made


def answered_early() -> Dialogue:
    made = uploading()
    made.stream.bring(PART)
    return made


def opened() -> Dialogue:
    made = Dialogue(upgrade=True)
    made.stream.bring(UPGRADE)
    return made


def ours_ended() -> Dialogue:
    made = opened()
    made.exchange.end()
    return made


def theirs_ended() -> Dialogue:
    made = opened()
    made.stream.finish()
    return made


def over() -> Dialogue:
    made = asked()
    made.stream.bring(WHOLE)
    return made


def paused(reach: Callable[[], Dialogue]) -> Callable[[], Dialogue]:
    def made() -> Dialogue:
        found = reach()
        found.exchange.pause()
        return found

    return made


REACH: dict[str, tuple[str, Callable[[], Dialogue]]] = {
    "ASKED": ("ASKED", asked), "ASKED, paused": ("ASKED", paused(asked)),
    "ASKED, chunks to come": ("ASKED", uploading), "ASKED, bytes to come": ("ASKED", counting),
    "ANSWERING": ("ANSWERING", answering), "ANSWERING, paused": ("ANSWERING", paused(answering)),
    "ANSWERING, chunks to come": ("ANSWERING", answered_early),
    "OPEN": ("OPEN", opened), "OPEN, paused": ("OPEN", paused(opened)),
    "OURS ENDED": ("OURS ENDED", ours_ended), "THEIRS ENDED": ("THEIRS ENDED", theirs_ended), "OVER": ("OVER", over),
}  # fmt: skip


def blocked(made: Dialogue) -> None:
    made.stream.is_writable = False
    made.exchange.send_data(b"x")
    made.stream.owner.stream_writable()


INPUTS: dict[str, Callable[[Dialogue], object]] = {
    "send": lambda made: made.exchange.send_data(b"abc"),
    "send nothing": lambda made: made.exchange.send_data(b""),
    "send into a full stream": blocked,
    "end": lambda made: made.exchange.end(),
    "reset": lambda made: made.exchange.reset(),
    "pause": lambda made: made.exchange.pause(),
    "resume": lambda made: made.exchange.resume(),
    "writable": lambda made: made.stream.owner.stream_writable(),
    "a whole answer": lambda made: made.stream.bring(WHOLE),
    "a part": lambda made: made.stream.bring(PART),
    "a 101": lambda made: made.stream.bring(UPGRADE),
    "two bytes": lambda made: made.stream.bring(b"xx"),
    "no HTTP": lambda made: made.stream.bring(b"no HTTP at all\r\n\r\n"),
    "end of input": lambda made: made.stream.finish(),
    "stream lost": lambda made: made.stream.lose(ServiceBrokeOffError("gone")),
    "link lost": lambda made: made.stream.lose(LinkLostError("gone")),
}


class Move(NamedTuple):
    """The next state, what the sink is told, what becomes of the connection and its stream, and what is written."""

    state: str
    told: str = ""
    fate: str = ""
    stream: str = ""
    written: bytes = b""
    raises: bool = False


def gone(stream: str, told: str = "") -> Move:
    """Over, and the connection too."""
    return Move("OVER", told, "closed", stream)


RESET = gone("reset")
REFUSED = RESET._replace(raises=True)
FAILED = gone("reset", "failed")
LOST = gone("lost", "failed")

MOVES: dict[str, dict[str, Move]] = {
    "ASKED": {
        "send": REFUSED, "send into a full stream": REFUSED, "reset": RESET,
        "a whole answer": Move("OVER", "whole", fate="idle"), "a part": Move("ANSWERING", "head data"),
        "a 101": FAILED, "two bytes": FAILED, "no HTTP": FAILED,
        "end of input": gone("ended", "failed"), "stream lost": LOST, "link lost": LOST,
    },
    "ASKED, paused": {
        "send": REFUSED, "send into a full stream": REFUSED, "reset": RESET, "stream lost": LOST, "link lost": LOST,
    },
    "ASKED, chunks to come": {
        "send": Move("ASKED", written=b"3\r\nabc\r\n"),
        "send into a full stream": Move("ASKED", "writable", written=b"1\r\nx\r\n"),
        "end": Move("ASKED", written=b"0\r\n\r\n"), "reset": RESET,
        "a whole answer": gone("reset", "head data end"), "a part": Move("ANSWERING", "head data"),
        "a 101": FAILED, "two bytes": FAILED, "no HTTP": FAILED, "end of input": FAILED, "stream lost": LOST,
        "link lost": LOST,
    },
    "ASKED, bytes to come": {
        "send": Move("ASKED", written=b"abc"), "send into a full stream": Move("ASKED", "writable", written=b"x"),
        "end": REFUSED, "reset": RESET, "a whole answer": gone("reset", "head data end"),
        "a part": Move("ANSWERING", "head data"), "a 101": FAILED, "two bytes": FAILED, "no HTTP": FAILED,
        "end of input": FAILED, "stream lost": LOST, "link lost": LOST,
    },
    "ANSWERING": {
        "send": REFUSED, "send into a full stream": REFUSED, "reset": RESET,
        "a whole answer": gone("reset", "data end"),
        "a part": gone("reset", "data end"), "a 101": gone("reset", "data end"),
        "two bytes": Move("OVER", "data end", fate="idle"), "no HTTP": gone("reset", "data end"),
        "end of input": gone("ended", "failed"), "stream lost": LOST, "link lost": LOST,
    },
    "ANSWERING, paused": {
        "send": REFUSED, "send into a full stream": REFUSED, "reset": RESET, "stream lost": LOST, "link lost": LOST,
    },
    "ANSWERING, chunks to come": {
        "send": Move("ANSWERING", written=b"3\r\nabc\r\n"),
        "send into a full stream": Move("ANSWERING", "writable", written=b"1\r\nx\r\n"),
        "end": Move("ANSWERING", written=b"0\r\n\r\n"), "reset": RESET,
        "a whole answer": gone("reset", "data end"),
        "a part": gone("reset", "data end"), "a 101": gone("reset", "data end"),
        "two bytes": gone("reset", "data end"), "no HTTP": gone("reset", "data end"),
        "end of input": FAILED, "stream lost": LOST, "link lost": LOST,
    },
    "OPEN": {
        "send": Move("OPEN", written=b"abc"), "send into a full stream": Move("OPEN", "writable", written=b"x"),
        "end": Move("OURS ENDED", stream="ended"), "reset": RESET, "a whole answer": Move("OPEN", "data"),
        "a part": Move("OPEN", "data"), "a 101": Move("OPEN", "data"), "two bytes": Move("OPEN", "data"),
        "no HTTP": Move("OPEN", "data"), "end of input": Move("THEIRS ENDED", "end"), "stream lost": LOST,
        "link lost": LOST,
    },
    "OPEN, paused": {
        "send": Move("OPEN", written=b"abc"), "send into a full stream": Move("OPEN", "writable", written=b"x"),
        "end": Move("OURS ENDED", stream="ended"), "reset": RESET, "stream lost": LOST, "link lost": LOST,
    },
    "OURS ENDED": {
        "send": REFUSED, "send into a full stream": REFUSED, "reset": RESET,
        "a whole answer": Move("OURS ENDED", "data"), "a part": Move("OURS ENDED", "data"),
        "a 101": Move("OURS ENDED", "data"), "two bytes": Move("OURS ENDED", "data"),
        "no HTTP": Move("OURS ENDED", "data"), "end of input": Move("OVER", "end", fate="closed"),
        "stream lost": LOST, "link lost": LOST,
    },
    "THEIRS ENDED": {
        "send": Move("THEIRS ENDED", written=b"abc"), "send into a full stream": Move("THEIRS ENDED", written=b"x"),
        "end": gone("ended"), "reset": RESET, "stream lost": gone("lost"),
        "link lost": gone("lost"),
    },
    "OVER": {
        "a whole answer": RESET, "a part": RESET, "a 101": RESET, "two bytes": RESET, "no HTTP": RESET,
        "end of input": gone("ended"), "stream lost": gone("lost"),
        "link lost": gone("lost"),
    },
}  # fmt: skip
"""Whatever is not here changes nothing that anybody sees."""


@pytest.fixture(params=[False, True], ids=["new", "used"])
def _connection(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Dialogue, "used", request.param)


pytestmark = pytest.mark.usefixtures("_connection")


BYTES = ("a whole answer", "a part", "a 101", "two bytes", "no HTTP")


@pytest.mark.parametrize(
    ("state", "name"),
    # A stream brings nothing after its end.
    [(state, name) for state in REACH for name in INPUTS if state != "THEIRS ENDED" or name not in BYTES],
)
def test_every_state_meets_everything(state: str, name: str) -> None:
    expected, reach = REACH[state]
    made = reach()
    assert made.state == expected
    calls, fates, stream = len(made.sink.calls), len(made.talk.told), made.stream.state
    made.stream.written = b""
    raises = False
    try:
        INPUTS[name](made)
    except BodyLengthError:
        raises = True
    told, fate = " ".join(made.sink.calls[calls:]), " ".join(made.talk.told[fates:])
    became = made.stream.state if made.stream.state != stream else ""
    found = Move(made.state, told, fate, became, made.stream.written, raises)
    assert found == MOVES[state].get(name, Move(expected))
    if not state.endswith("paused"):
        assert made.stream.unacknowledged == 0
    made.exchange.reset()
    assert made.stream.unacknowledged == 0
    assert made.exchange.held_bytes == 0


@pytest.mark.parametrize("piece", ["a whole answer", "a part", "two bytes", "no HTTP"])
@pytest.mark.parametrize("state", [state for state in REACH if state.endswith("paused")])
def test_what_comes_while_it_is_paused_is_told_after_it(state: str, piece: str) -> None:
    flowing = REACH[state.removesuffix(", paused")][1]()
    made = REACH[state][1]()
    for each in (flowing, made):
        INPUTS[piece](each)
        INPUTS["end of input"](each)
    assert made.stream.acknowledged < made.stream.received
    made.exchange.resume()
    assert (made.state, made.sink.body, made.sink.outcome) == (flowing.state, flowing.sink.body, flowing.sink.outcome)
    assert made.stream.unacknowledged == 0


@pytest.mark.parametrize("name", [name for name in INPUTS if name != "writable"])
@pytest.mark.parametrize("state", ["ASKED", "ANSWERING", "OPEN"])
def test_once_over_the_door_can_do_nothing_more(state: str, name: str) -> None:
    made = REACH[state][1]()
    made.exchange.reset()
    calls = list(made.sink.calls)
    made.stream.written = b""
    INPUTS[name](made)
    assert (made.state, made.sink.calls, made.stream.written, made.talk.told) == ("OVER", calls, b"", ["closed"])
