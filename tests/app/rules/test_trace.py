"""Which `traceparent` names a trace: the table of W3C Trace Context, section 3.2."""

import pytest

from app.rules.fields import facts_of
from app.rules.shape import shape_of
from app.rules.trace import trace_id_of

TRACE, PARENT = b"4bf92f3577b34da6a3ce929d0e0e4736", b"00f067aa0ba902b7"
GOOD = b"00-%b-%b-01" % (TRACE, PARENT)

WRONG = [
    b"",
    b"00",
    GOOD[:-1],
    GOOD + b"0",
    GOOD + b"-",
    GOOD + b"-more",  # version 00 has four parts
    GOOD.upper(),
    GOOD.replace(b"-", b"_"),
    GOOD.replace(b"4bf9", b"4bg9"),
    b" " + GOOD,
    GOOD + b"\n",
    b"ff" + GOOD[2:],
    b"0" + GOOD[2:],
    b"00-%b-%b-01" % (b"0" * 32, PARENT),
    b"00-%b-%b-01" % (TRACE, b"0" * 16),
    b"00-%b-%b-01" % (TRACE[1:], PARENT + b"0"),
    b"cc" + GOOD[2:] + b"more",
    b"cc" + GOOD[2:] + b"-\xff",
    b"cc" + GOOD[2:] + b'-"\n',
]


@pytest.mark.parametrize("value", [GOOD, GOOD[:-2] + b"ff", b"01" + GOOD[2:], b"cc" + GOOD[2:] + b"-what-comes"])
def test_a_valid_one(value: bytes):
    assert trace_id_of(value) == TRACE.decode()


@pytest.mark.parametrize("value", WRONG)
def test_a_wrong_one(value: bytes):
    assert trace_id_of(value) == ""


@pytest.mark.parametrize(
    ("fields", "trace_id"),
    [
        ([(b"host", b"a.test")], ""),
        ([(b"traceparent", GOOD)], TRACE.decode()),
        ([(b"host", b"a.test"), (b"traceparent", GOOD), (b"tracestate", b"a=b")], TRACE.decode()),
        ([(b"traceparent", GOOD), (b"traceparent", GOOD)], ""),
        ([(b"traceparent", b"x"), (b"host", b"a.test")], ""),
        ([(b"traceparent", GOOD), (b"transfer-encoding", b"chunked")], TRACE.decode()),
        ([(b"traceparent", GOOD), (b"x", b"\x01")], TRACE.decode()),
        ([(b"traceparent_", GOOD)], ""),
    ],
)
def test_a_head_names_a_trace_once(fields: list[tuple[bytes, bytes]], trace_id: str):
    names, values = zip(*fields, strict=True)
    *_, passed, _, found = facts_of(shape_of(names), values, is_checked=False)
    assert found == trace_id
    if passed is not None and b"traceparent" in names:
        assert passed.count(b"traceparent: ") == names.count(b"traceparent")
