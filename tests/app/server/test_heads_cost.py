"""Heads that are expensive to read: what is refused for it, what waits for its turn, and that the rest is linear.

Cost is counted in calls, of Python and of C, not in time.
"""

import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.server.framing import LIST_BYTES
from app.server.heads import (
    HEAD_BYTES,
    USUAL_FIELDS,
    HeadBuffer,
    HeadError,
    UnusualHeadError,
    read_head,
)
from tests.app.server.door_stage import HANDSHAKE, Front, Visitor
from tests.app.stage import HOST, Stage
from tests.fakes.loop import dialogue, quiet

MOST_CALLS = 6_000
"""For a head of 128 KiB in one field, in the whole gateway. One a member would be 60,000 and more."""


def is_refused(pieces: list[bytes]) -> bool:
    """Whether these pieces cannot become a head; if they can, they are not one yet."""
    buffer = HeadBuffer()
    try:
        return any(buffer.add(piece) is not None for piece in pieces)
    except HeadError:
        return True


@given(st.lists(st.sampled_from([b"\r\n", b"a", b"\r", b"\n", b"\0", b": b\r\n"]), max_size=12), st.integers(0, 20))
def test_a_bare_cr_or_lf_or_a_nul_is_found_wherever_the_head_is_cut(parts: list[bytes], cut: int):
    data = b"GET / HTTP/1.1\r\n" + b"".join(parts)
    if b"\r\n\r\n" in data:
        return
    is_bare = re.search(rb"(?<!\r)\n|\r(?!\n|\Z)|\0", data) is not None
    for pieces in ([data], [data[: 16 + cut], data[16 + cut :]], [bytes([byte]) for byte in data]):
        assert is_refused(pieces) is is_bare


@pytest.mark.parametrize("name", [b"Connection", b"TE", b"Transfer-Encoding", b"Upgrade", b"Sec-WebSocket-Protocol"])
@pytest.mark.parametrize("fields", [1, 4])
def test_lists_have_a_bound(name: bytes, fields: int):
    def head(size: int) -> bytes:
        start = b"GET / HTTP/1.1\r\nHost: h\r\n"
        if name == b"Sec-WebSocket-Protocol":  # read in a handshake only
            start += b"Upgrade: websocket\r\nConnection: upgrade\r\n"
            size -= len(b"websocket" + b"upgrade")
        if name in (b"Connection", b"Sec-WebSocket-Protocol"):
            size -= fields - 1  # they are joined with commas
        sizes = [size // fields] * (fields - 1)
        return start + b"".join(name + b": " + b"," * part + b"\r\n" for part in [*sizes, size - sum(sizes)])

    if name == b"Transfer-Encoding":
        with pytest.raises(HeadError) as refused:
            read_head(head(LIST_BYTES))
        assert refused.value.problem.status == 400
    else:
        read_head(head(LIST_BYTES))
    with pytest.raises(HeadError) as refused:
        read_head(head(LIST_BYTES + fields))
    assert refused.value.problem.status == 431


@pytest.mark.parametrize(("fields", "is_usual"), [(USUAL_FIELDS, True), (USUAL_FIELDS + 1, False)])
def test_a_head_that_is_not_usual_is_not_read_out_of_turn(fields: int, is_usual: bool):
    lines = b"GET / HTTP/1.1\r\nHost: h\r\n" + b"X: 1\r\n" * (fields - 1)
    assert read_head(lines).method == "GET"
    if is_usual:
        assert read_head(lines, False).method == "GET"
        return
    with pytest.raises(UnusualHeadError):
        read_head(lines, False)


NAMES = (
    "Accept", "Authorization", "Connection", "Cookie", "Expect", "Forwarded", "Origin", "Proxy-Authorization", "Range",
    "Sec-WebSocket-Extensions", "Sec-WebSocket-Key", "Sec-WebSocket-Protocol", "TE", "Transfer-Encoding", "Upgrade",
    "X-Forwarded-For", "X-Other", "X-Request-ID",
)  # fmt: skip


@pytest.mark.parametrize("handshake", [b"", HANDSHAKE])
@pytest.mark.parametrize("filling", [b",", b"a,", b";", b"a=b;", b'"', b" "])
@pytest.mark.parametrize("name", NAMES)
@dialogue
async def test_no_field_is_expensive_whatever_is_in_it(name: str, filling: bytes, handshake: bytes):
    head = b"GET / HTTP/1.1\r\nHost: " + HOST.encode() + b"\r\n" + handshake + name.encode() + b": x"
    head += filling * ((HEAD_BYTES - len(head) - 10) // len(filling)) + b"x\r\n\r\n"
    await count_calls(head, sticky="cookie")


@pytest.mark.parametrize(
    "target",
    [b"/", b"/a", b"/..", b"/%2e", b"/%", b"/;", b"/?", b"/a?b=c&", b"*", b"http://app.example.test/", b"[", b"a."],
)
@dialogue
async def test_no_target_is_expensive(target: bytes):
    path = target * (60_000 // len(target))
    await count_calls(b"GET /" + path + b" HTTP/1.1\r\nHost: " + HOST.encode() + b"\r\n\r\n")


@pytest.mark.parametrize("host", [b"a.", b"a", b":", b"[", b"[:", b"1", b"-", b"%41", b"xn--a."])
@pytest.mark.parametrize("size", [250, 60_000, 120_000])
@dialogue
async def test_no_host_is_expensive(host: bytes, size: int):
    await count_calls(b"GET / HTTP/1.1\r\nHost: " + host * (size // len(host)) + b"\r\n\r\n")


async def count_calls(data: bytes, **settings: str) -> None:
    """Bring it to a gateway, and count what that calls."""
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    async with Stage(**settings) as stage:
        with Visitor(Front(stage)) as visitor:
            profiled = sys.getprofile()
            sys.setprofile(count)
            try:
                visitor.protocol.data_received(data)
                await quiet()
            finally:
                sys.setprofile(profiled)
            assert 0 < calls < MOST_CALLS
            assert visitor.got or stage.link.exchanges
