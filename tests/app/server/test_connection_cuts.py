"""A connection's requests and answers are the same wherever the client's bytes are cut."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.app.server.door import Call, Client, Door, reading
from tests.fakes.loop import dialogue, quiet

REQUESTS = [
    b"GET /1?q HTTP/1.1\r\nHost: h\r\nCookie: a=b\r\n\r\n",
    b"\r\nPOST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /3 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nX: 1\r\n\r\n",
    b"HEAD /4 HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /5 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
]
ENDS = [
    b"",
    b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\nGET /more",
    b"GET /\x00 HTTP/1.1\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello!",
    b"GET / HTTP/3.0\r\nHost: h\r\n\r\n",
]

Heard = list[tuple[object, ...]]


async def heard(pieces: list[bytes]) -> tuple[Heard, bytes]:
    """The requests that came, and what was answered; each answer is given once the request is whole."""
    door = reading()
    with Client(door) as client:
        for piece in pieces:
            client.send(piece)
            await answer(door)
        await answer(door)
        found: Heard = [
            (call.head.method, call.head.target, call.body_ if call.log[-1] == "finished by hand" else b"")
            for call in door.calls
            if call.head is not None
        ]
        found += [(error.problem.status,) for error in door.refused]
        return found, client.got


async def answer(door: Door) -> None:
    before = -1
    while before != len(door.calls):
        before = len(door.calls)
        await quiet()
        if door.calls and is_whole(door.call):
            call = door.call
            call.answer(200, call.body_)
            await quiet()
            call.log.append("finished by hand")


def is_whole(call: Call) -> bool:
    """Whether it has all of its request, and no answer yet."""
    if call.head is None or any(said.startswith(("finished", "spoil", "left")) for said in call.log):
        return False
    framing = call.head.fields.framing
    return not (framing.length or framing.chunked) or any(said.endswith("last") for said in call.log)


@settings(max_examples=60, deadline=None)
@given(picked=st.lists(st.sampled_from(REQUESTS), min_size=1, max_size=4), end=st.sampled_from(ENDS), data=st.data())
def test_wherever_the_bytes_are_cut(picked: list[bytes], end: bytes, data: st.DataObject):
    whole = b"".join(picked) + end
    places = sorted(data.draw(st.sets(st.integers(1, len(whole) - 1), max_size=12)))
    pieces = [whole[a:b] for a, b in zip([0, *places], [*places, len(whole)], strict=True)]

    @dialogue
    async def talk() -> None:
        expected = await heard([whole])
        assert len(expected[0]) >= len(picked)
        assert await heard(pieces) == expected
        assert await heard([bytes([byte]) for byte in whole]) == expected

    talk()
