"""The head of a usual request is made by the shape of its names, without a look at each field: it is the same head."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.asgi.reading import read_scope
from app.public import header_rules
from app.rules import shape
from app.rules.policy import NO_CHANGES
from app.rules.request import Request
from tests.fakes.asgi import Pairs, scope_of
from tunnel.http1.request import encode_head
from tunnel.port import RequestHead


def read(scope: dict[str, object]) -> Request:
    return read_scope(scope, None)


def short_head(request: Request) -> RequestHead | None:
    """The head, where it was made the short way."""
    try:
        head = header_rules.request_head(request, NO_CHANGES)
    except header_rules.BadRequestError:
        return None
    return head if head.encoded is not None else None


NAMES = [
    b"host", b"accept", b"cookie", b"connection", b"content-length", b"x-forwarded-for", b"x_forwarded_for", b"upgrade",
    b"x-request-id", b"keep-alive", b"a%b", b"transfer-encoding", b"te", b"x-a", b"", b"b c",
]  # fmt: skip
VALUES = [
    b"",
    b"1",
    b"007",
    b"close",
    b"keep-alive",
    b"x-a",
    b"chunked",
    b"100%s",
    b"a\tb",
    b"a\rb",
    b"a\x00b",
    b"\xe4",
    b"9" * 19,
]


@given(
    st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES)), max_size=8),
    st.sampled_from(["GET", "POST", "PURGE", "b c"]),
    st.sampled_from(["/", "/p?q"]),
)
def test_the_short_way_makes_the_same_head_as_the_long_one(headers: Pairs, method: str, target: str):
    request = read(scope_of("http", target, headers=headers, method=method))
    short = short_head(request)
    if short is None:
        return
    careful = header_rules._careful_head(request, NO_CHANGES)
    assert short.headers == careful.headers
    assert (short.body_length, short.upgrade) == (careful.body_length, careful.upgrade)
    assert short.encoded == encode_head(careful)


@pytest.mark.parametrize(
    "headers",
    [
        [(b"accept", b"*/*"), (b"user-agent", b"x")],
        [(b"connection", b"keep-alive"), (b"cookie", b"a=b"), (b"content-length", b"5")],
        [],
    ],
)
def test_a_usual_request_goes_the_short_way(headers: Pairs):
    assert short_head(read(scope_of("http", "/", headers=headers))) is not None


@pytest.mark.parametrize(
    "headers",
    [
        [(b"accept", b"a\r\nx: y")],
        [(b"accept", b"a\nx")],
        [(b"host", b"b")],  # a second one
        [(b"transfer-encoding", b"chunked")],
        [(b"connection", b"x-a"), (b"x-a", b"1")],
        [(b"content-length", b"05")],
        [(b"a b", b"1")],
    ],
)
def test_what_needs_a_look_at_each_field_goes_the_long_way(headers: Pairs):
    assert short_head(read(scope_of("http", "/", headers=headers))) is None


@pytest.mark.parametrize(("method", "target"), [("PURGE", "/"), ("b c", "/"), ("GET", "/a\x7f")])
def test_what_no_door_has_checked_goes_the_long_way(method: str, target: str):
    assert short_head(read(scope_of("http", target, headers=[], method=method))) is None


def test_shapes_are_bounded_and_hold_no_values():
    for number in range(2_000):
        read(scope_of("http", "/", headers=[(b"x-%d" % number, b"secret")]))
    assert 0 < len(shape._shapes) <= 512
    read(scope_of("http", "/", headers=[(b"x" * 1_100, b"")]))
    read(scope_of("http", "/", headers=[(b"x", b"")] * 65))
    assert not [names for names in shape._shapes if sum(map(len, names)) > 1_024 or len(names) > 64]
    assert b"secret" not in b"".join(name for names in shape._shapes for name in names)
