"""What an announcement says, those of a made-up next release and of strangers included."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.cluster.announcement import LONGEST_BYTES, AnnouncedLink, Announcement, encoded, read
from app.cluster.values import ValueIgnoredError


def test_there_and_back():
    announcement = Announcement(
        node="n1", seq=7, cluster="Shop 1", agents={"a": AnnouncedLink(3, "yamux"), "": AnnouncedLink()},
        publishers={"p": AnnouncedLink(4, "json")},
    )  # fmt: skip
    assert read(encoded(announcement)) == announcement
    assert msgspec.json.decode(encoded(announcement)) == {
        "v": 1, "node": "n1", "seq": 7, "cluster": "Shop 1",
        "agents": {"a": {"came": 3, "dialect": "yamux"}, "": {}}, "publishers": {"p": {"came": 4, "dialect": "json"}},
    }  # fmt: skip


def test_the_last_link_went():
    assert encoded(Announcement(node="n1", seq=7, cluster="c1")) == b'{"node":"n1","seq":7,"cluster":"c1","v":1}'


def test_one_of_the_next_release():
    message = b'{"v":1,"zone":"x","node":"n1","seq":7,"cluster":"c1","agents":{"a":{"came":1,"since":2}}}'
    assert read(message) == Announcement(node="n1", seq=7, cluster="c1", agents={"a": AnnouncedLink(1)})


@pytest.mark.parametrize(
    "message",
    [
        b"", b"nonsense", b"\xff", b"[1]", b"{}", b'{"v":1}', b'{"v":1,"node":"n1","seq":7}',
        b'{"v":2,"node":"n1","seq":7,"cluster":"c1"}', b'{"v":1,"node":"N 1","seq":7,"cluster":"c1"}',
        b'{"v":1,"node":"","seq":7,"cluster":"c1"}', b'{"v":1,"node":"n1","seq":-1,"cluster":"c1"}',
        b'{"v":1,"node":"n1","seq":1.5,"cluster":"c1"}', b'{"v":1,"node":"n1","seq":7,"cluster":""}',
        b'{"v":1,"node":"n1","seq":7,"cluster":"c1","agents":[]}',
        b'{"v":1,"node":"n1","seq":7,"cluster":"c1","agents":{"a":{"came":"1"}}}',
        b'{"v":1,"node":"n1","seq":7,"cluster":"c1","agents":{"a":{"came":9223372036854775808}}}',
        b'{"v":1,"node":"n1","seq":7,"cluster":"' + b"c" * 1_025 + b'"}',
        b'{"v":1,"node":"n1","seq":7,"cluster":"c1","agents":{"' + b"a" * 256 + b'":{}}}',
        b'{"v":1,"node":"n1","seq":7,"cluster":"c1","x":"' + b"x" * LONGEST_BYTES + b'"}', b"[" * 60_000,
    ],
)  # fmt: skip
def test_what_is_ignored(message: bytes):
    with pytest.raises(ValueIgnoredError):
        read(message)


@given(st.binary(max_size=200))
def test_no_message_raises_anything_else(message: bytes):
    try:
        read(message)
    except ValueIgnoredError:
        return
