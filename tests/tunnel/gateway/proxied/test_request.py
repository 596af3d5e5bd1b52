"""What a request becomes on its way to the agent: nothing changes its meaning, and what would is refused by name."""

import json
from urllib.parse import quote, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnel.gateway.proxied.answer import AnswerHead, BadAnswerError, checked_headers, parse_frame
from tunnel.gateway.proxied.request import UnsayableError, checked_query, decoded_path, proxy_request
from tunnel.http1 import UnsendableHeadError
from tunnel.port import RequestHead, Target
from tunnel.wire import messages
from tunnel.wire.proxy_messages import header_items

TARGET = Target("c1", "apps", "web", 8080)
GO_KEEPS = "$&+,/:;=@-_.~"
"""What Go's `url.URL.EscapedPath` leaves as it is, besides letters and digits."""


@pytest.mark.parametrize(
    ("path", "decoded"),
    [
        (b"/", "/"), (b"/a/b", "/a/b"), (b"/a%20b", "/a b"), (b"/a b"[:2], "/a"), (b"/%C3%A9", "/é"), (b"/%25", "/%"),
        (b"/%2520", "/%20"), (b"/%3F", "/?"), (b"/a//b", "/a//b"), (b"/.", "/."), (b"/a.b", "/a.b"), (b"/%00", "/\0"),
        (b"/a:b@c", "/a:b@c"), (b"/%41", "/A"), (b"/\xc3\xa9", "/é"), (b"/%F0%9F%98%80", "/\U0001f600"),
    ],
)  # fmt: skip
def test_paths(path: bytes, decoded: str):
    assert decoded_path(path, "json") == decoded
    assert unquote_to_bytes(quote(decoded, safe=GO_KEEPS)) == unquote_to_bytes(path)


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        (b"/a%2Fb", "encoded slash"), (b"/a%2fb", "encoded slash"), (b"/a;b", "semicolon"), (b"/a%3Bb", "semicolon"),
        (b"/a/../b", "two dots"), (b"/a..b", "two dots"), (b"/%2e%2E", "two dots"), (b"/a://b", "'://'"),
        (b"/%3A//", "'://'"), (b"/%", "bad percent escape"), (b"/%4", "bad percent escape"),
        (b"/%zz", "bad percent escape"), (b"/%ff", "not UTF-8"), (b"/%C3", "not UTF-8"), (b"*", "begin with a slash"),
        (b"", "begin with a slash"), (b"a", "begin with a slash"), (b"/%ED%A0%80", "not UTF-8"),
    ],
)  # fmt: skip
def test_paths_that_cannot_be_said(path: bytes, rule: str):
    with pytest.raises(UnsayableError, match=rule) as caught:
        decoded_path(path, "json")
    assert "json dialect" in str(caught.value)
    assert isinstance(caught.value, UnsendableHeadError)


@given(st.binary(max_size=40).map(lambda data: b"/" + data))
def test_a_path_that_is_carried_means_the_same(path: bytes):
    try:
        decoded = decoded_path(path, "json")
    except UnsayableError:
        return
    again = quote(decoded, safe=GO_KEEPS).encode()
    assert unquote_to_bytes(again) == unquote_to_bytes(path)
    assert again.count(b"/") == path.count(b"/")  # its segments are the same
    assert b";" not in again
    assert json.loads(messages.encode("x", proxy_request(head_of(again), TARGET, "json")))["payload"]["path"] == decoded


def head_of(path: bytes) -> RequestHead:
    return RequestHead(b"GET", path, [(b"Host", b"a.test")])


@pytest.mark.parametrize(
    ("query", "said"),
    [(b"", ""), (b"a=1&b", "a=1&b"), (b"a=%3B", "a=%3B"), (b"q=\xc3\xa9", "q=%C3%A9"), (b"q=\xff ", "q=%FF%20")],
)
def test_queries(query: bytes, said: str):
    assert checked_query(query, "json") == said


@pytest.mark.parametrize("query", [b"a=1;b=2", b"%", b"a=%4", b"%zz=1"])
def test_queries_that_cannot_be_said(query: bytes):
    with pytest.raises(UnsayableError, match="json dialect"):
        checked_query(query, "json")


@given(st.binary(max_size=40))
def test_a_query_that_is_carried_means_the_same(query: bytes):
    try:
        said = checked_query(query, "json")
    except UnsayableError:
        return
    assert unquote_to_bytes(said) == unquote_to_bytes(query)
    assert said.isascii()


_NAMES = st.text("abcXYZ019-_!", min_size=1, max_size=12)
_VALUES = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=30)


@given(st.dictionaries(_NAMES, st.one_of(_VALUES, st.lists(_VALUES, max_size=3)), max_size=5))
def test_fields_of_an_answer_are_kept(headers: dict[str, list[str] | str]):
    fields = checked_headers(headers)
    assert fields == [(name.encode(), value.strip(" \t").encode()) for name, value in header_items(headers)]


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3))
def test_fields_of_an_answer_never_break_lines(headers: dict[str, list[str] | str]):
    try:
        fields = checked_headers(headers)
    except BadAnswerError:
        return
    assert not any(set(name + value) & set(b"\r\n\0") for name, value in fields)
    assert all(name and b":" not in name and b" " not in name for name, _ in fields)


@given(st.lists(st.tuples(_NAMES, _VALUES), max_size=6))
def test_fields_of_a_request_are_kept(fields: list[tuple[str, str]]):
    raw = [(name.encode(), value.encode()) for name, value in fields]
    said = proxy_request(RequestHead(b"GET", b"/", raw), TARGET, "json").headers
    flat = [(name.lower(), value) for name, values in said.items() for value in values]
    assert sorted(flat) == sorted((name.lower(), value) for name, value in fields)
    for name in {name.lower() for name, _ in fields}:
        assert [value for key, value in flat if key == name] == [v for n, v in fields if n.lower() == name]


@given(st.binary(max_size=80))
def test_a_binary_answer_is_one_or_is_not(data: bytes):
    try:
        request_id, head, body = parse_frame(data)
    except messages.MessageError:
        return
    assert isinstance(head, AnswerHead)
    assert data.startswith(len(request_id.encode()).to_bytes(2, "big") + request_id.encode())
    assert data.endswith(body)
