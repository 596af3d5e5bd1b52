"""The judge of the corpus finds each thing that may go wrong; a door that does the right thing has nothing to fear."""

from dataclasses import replace

import pytest

from tests.doors.case import BAD, WAITED_FOR, Case, Verdict, answered, closing, opened, perhaps_closing, seen
from tests.doors.judge import differences
from tests.doors.player import Observed
from tests.doors.recorder import Arrived
from tests.doors.wire import Answer, BadWireError, UnfinishedError, read_answer, read_frames

SERVED = Answer(200, [(b"x-served", b"yes"), (b"content-length", b"2")], b"ok")
REFUSED = Answer(400, [(b"content-length", b"0")])
ASKED = Arrived(b"GET", b"/", [(b"host", b"a.test"), (b"x", b"1"), (b"x", b"2")])
CARRIED = Observed([SERVED], arrived=[ASKED], stayed=True)
TURNED_DOWN = Observed([REFUSED], closed=True)
SWITCHED = Observed([Answer(101, [])], arrived=[replace(ASKED, messages=[b"hi"])], frames=[(1, b"hi"), (10, b"")])


def judged(verdict: Verdict, observed: Observed, also: Verdict | None = None) -> list[str]:
    return differences(Case("", b"", verdict, "", also=also), observed)


@pytest.mark.parametrize(
    ("verdict", "observed"),
    [
        (seen(), CARRIED),
        (seen(fields=((b"x", b"1"), (b"x", b"2")), absent=(b"y",), unsaid=(b"3",), answer=b"ok"), CARRIED),
        (closing(seen()), replace(CARRIED, stayed=False, closed=True)),
        (perhaps_closing(seen()), CARRIED),
        (seen(trailers=((b"t", b"1"),)), CARRIED),
        (seen(trailers=((b"t", b"1"),)), replace(CARRIED, arrived=[replace(ASKED, trailers=[(b"t", b"1")])])),
        (seen(), replace(CARRIED, interim=[100])),
        (seen(interim=(103,)), replace(CARRIED, interim=[103])),
        (BAD, TURNED_DOWN),
        (answered(200, 400), CARRIED),
        (WAITED_FOR, Observed(closed=True)),
        (WAITED_FOR, TURNED_DOWN),
        (opened(messages=(b"hi",), pongs=1), SWITCHED),
    ],
)
def test_what_is_right(verdict: Verdict, observed: Observed) -> None:
    assert judged(verdict, observed) == []


@pytest.mark.parametrize(
    ("verdict", "observed", "found"),
    [
        (seen(), TURNED_DOWN, "the service got no request; the answer is 400"),
        (seen(), replace(CARRIED, stayed=False, closed=True), "the connection does not stay"),
        (seen(b"POST"), CARRIED, "the service got b'GET' b'/'"),
        (seen(target=b"/a"), CARRIED, "the service got b'GET' b'/'"),
        (seen(body=b"x"), CARRIED, "the body is 0 bytes: b''"),
        (seen(fields=((b"x", b"1"),)), CARRIED, "b'x' is [(b'x', b'1'), (b'x', b'2')]"),
        (seen(absent=(b"x",)), CARRIED, "b'x' was passed on"),
        (seen(unsaid=(b"2",)), CARRIED, "the service was told b'2'"),
        (seen(trailers=((b"x", b"1"),)), CARRIED, "the trailer b'x' is in the head"),
        (
            seen(),
            replace(CARRIED, arrived=[replace(ASKED, trailers=[(b"t", b"1")])]),
            "the trailers are [(b't', b'1')]",
        ),
        (seen(answer=b"no"), CARRIED, "the answer's bytes are b'ok'"),
        (seen(), replace(CARRIED, answers=[replace(SERVED, fields=[])]), "the answer is 200, not the service's"),
        (seen(), replace(CARRIED, arrived=[ASKED, ASKED]), "the service got more: [(b'GET', b'/')]"),
        (seen(), replace(CARRIED, answers=[SERVED, SERVED]), "2 answers for 1 requests"),
        (seen(answer_trailers=((b"t", b"1"),)), CARRIED, "the answer's trailers are []"),
        (seen(), replace(CARRIED, faults=["noise"]), "noise"),
        (seen(), replace(CARRIED, interim=[103]), "the interim answers are [103]"),
        (seen(), replace(CARRIED, interim=[100, 100]), "the interim answers are [100, 100]"),
        (seen(interim=()), replace(CARRIED, interim=[100]), "the interim answers are [100]"),
        (seen(interim=(103,)), CARRIED, "the interim answers are []"),
        (closing(seen()), CARRIED, "the connection stays"),
        (closing(seen()), replace(CARRIED, stayed=False), "the connection is not closed"),
        (BAD, CARRIED, "the answer is 200, not one of (400,)"),
        (BAD, replace(TURNED_DOWN, arrived=[ASKED]), "the service got more: [(b'GET', b'/')]"),
        (BAD, replace(TURNED_DOWN, closed=False), "the connection is not closed"),
        (BAD, Observed(closed=True), "the answer is None, not one of (400,)"),
        (answered(417), CARRIED, "the answer is 200, not one of (417,)"),
        (WAITED_FOR, Observed([SERVED]), "an unfinished request was answered"),
        (WAITED_FOR, Observed(arrived=[ASKED]), "the service got a request that was never whole"),
        (opened(), TURNED_DOWN, "the service got no handshake; the answer is 400"),
        (opened(target=b"/a"), SWITCHED, "the service got b'GET' b'/'"),
        (opened(messages=(b"ho",)), SWITCHED, "the service got the messages [b'hi']"),
        (opened(messages=(b"hi",)), replace(SWITCHED, frames=[]), "the client got the messages ()"),
        (opened(messages=(b"hi",), pongs=2), SWITCHED, "1 pongs, not 2"),
    ],
)
def test_what_is_wrong(verdict: Verdict, observed: Observed, found: str) -> None:
    assert any(text.startswith(found) for text in judged(verdict, observed)), judged(verdict, observed)


def test_either_of_two_verdicts_is_right() -> None:
    assert judged(seen(), TURNED_DOWN, also=BAD) == []
    assert judged(seen(), CARRIED, also=BAD) == []
    assert judged(seen(), Observed(closed=True), also=BAD) == judged(seen(), Observed(closed=True)) != []


def test_an_answer_off_the_wire() -> None:
    data = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 404 Not"
    answer, end = read_answer(data, 0, b"GET", ended=False)
    assert (answer.status, answer.body, data[end:]) == (200, b"ok", b"HTTP/1.1 404 Not")
    assert read_answer(data, 0, b"HEAD", ended=False)[0].body == b""
    chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    assert read_answer(chunks + b"more", 0, b"GET", ended=False) == (
        Answer(200, [(b"transfer-encoding", b"chunked")], b"2\r\nok\r\n0\r\n\r\n"), len(chunks),
    )  # fmt: skip
    assert read_answer(chunks[:-2] + b"X: 1\r\nY: 2\r\n\r\n", 0, b"GET", ended=False)[0].trailers == [
        (b"x", b"1"), (b"y", b"2"),
    ]  # fmt: skip
    assert read_answer(b"HTTP/1.0 200 OK\r\n\r\nall", 0, b"GET", ended=True)[0].body == b"all"
    for size in range(len(chunks)):
        with pytest.raises(UnfinishedError):
            read_answer(chunks[:size], 0, b"GET", ended=False)


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"noise\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX : 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX : 1\r\n\r\n",
    ],
)
def test_what_is_no_answer(data: bytes) -> None:
    with pytest.raises(BadWireError):
        read_answer(data, 0, b"GET", ended=False)


def test_frames_off_the_wire() -> None:
    assert read_frames(b"\x81\x02hi\x8a\x00\x81\x05hal") == [(1, b"hi"), (10, b"")]
    with pytest.raises(BadWireError):
        read_frames(b"\x81\x82hi" + bytes(200))
