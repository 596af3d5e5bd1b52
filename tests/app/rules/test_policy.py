"""Policy as pure decisions: origins, rates, header changes."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.rules.policy import DEFAULT_POLICY, NO_CHANGES, HeaderChanges, Policy, TokenBucket, origin_allowed, rate_limit
from tests.fakes.examples import examples

HOST = "app.example.test"


def allowed(
    origin: str | bytes | None, *origins: str, host: str = HOST, scheme: str = "http", route: str = HOST, **flags: Any
) -> bool:
    policy = Policy(origins=origins or ("same-origin",), **flags)
    text = origin.encode("latin-1") if isinstance(origin, str) else origin
    return origin_allowed(policy, [] if text is None else [text], host, scheme, route)


# --- origins


@pytest.mark.parametrize(
    ("origin", "host", "scheme", "expected"),
    [
        ("http://app.example.test", HOST, "http", True),
        ("https://app.example.test", HOST, "http", True),  # a proxy in front ends TLS
        ("https://app.example.test", HOST, "https", True),
        ("HTTPS://App.Example.Test", HOST, "http", True),
        ("http://app.example.test", "APP.example.test", "http", True),
        ("http://app.example.test.", HOST, "http", True),
        ("http://app.example.test", HOST + ".", "http", True),
        ("http://app.example.test:80", HOST, "http", True),
        ("http://app.example.test", HOST + ":80", "http", True),
        ("https://app.example.test:443", HOST, "https", True),
        ("https://app.example.test", HOST + ":443", "https", True),
        ("http://app.example.test:8080", HOST + ":8080", "http", True),
        ("https://app.example.test:8443", HOST + ":8443", "http", True),
        ("http://app.example.test", HOST + ":8080", "http", True),  # the route's own host
        ("http://app.example.test:8081", HOST + ":8080", "http", False),
        ("http://app.example.test:8080", HOST, "http", False),
        ("https://app.example.test:80", HOST + ":8080", "https", True),
        ("http://example.test", HOST, "http", False),
        ("http://sub.app.example.test", HOST, "http", False),
        ("http://evilapp.example.test", HOST, "http", False),
        ("http://app.example.test.evil.test", HOST, "http", False),
        ("http://app-example.test", HOST, "http", False),
    ],
)
def test_same_origin(origin: str, host: str, scheme: str, expected: bool):
    assert allowed(origin, host=host, scheme=scheme) is expected


@pytest.mark.parametrize(
    ("origin", "host", "expected"),
    [
        ("https://a.example.test", "a.example.test", True),
        ("https://b.example.test", "a.example.test", False),  # a neighbour under the same wildcard
        ("https://*.example.test", "a.example.test", False),
        ("https://a.example.test", "a.example.test:8080", False),
        ("http://[::1]:8080", "[::1]:8080", True),
        ("http://[::1]:8081", "[::1]:8080", False),
    ],
)
def test_same_origin_on_a_route_of_many_hosts(origin: str, host: str, expected: bool):
    assert allowed(origin, host=host, route="*.example.test") is expected


@pytest.mark.parametrize(
    ("pattern", "origin", "expected"),
    [
        ("app.pipeops.io", "https://app.pipeops.io", True),
        ("app.pipeops.io", "http://app.pipeops.io", True),
        ("app.pipeops.io", "https://app.pipeops.io:443", True),
        ("app.pipeops.io", "https://app.pipeops.io:8443", False),
        ("app.pipeops.io", "https://pipeops.io", False),
        ("app.pipeops.io", "https://x.app.pipeops.io", False),
        ("app.pipeops.io", "https://evilapp.pipeops.io", False),
        ("app.pipeops.io:8443", "https://app.pipeops.io:8443", True),
        ("app.pipeops.io:8443", "http://app.pipeops.io:8443", True),
        ("app.pipeops.io:8443", "https://app.pipeops.io", False),
        ("app.pipeops.io:443", "https://app.pipeops.io", True),
        ("app.pipeops.io:443", "http://app.pipeops.io", False),
        ("https://app.pipeops.io", "https://app.pipeops.io", True),
        ("https://app.pipeops.io", "https://app.pipeops.io:443", True),
        ("https://app.pipeops.io", "http://app.pipeops.io", False),
        ("https://app.pipeops.io", "http://app.pipeops.io:443", False),
        ("https://app.pipeops.io", "https://app.pipeops.io:8443", False),
        ("https://app.pipeops.io:8443", "https://app.pipeops.io:8443", True),
        ("https://app.pipeops.io:8443", "https://app.pipeops.io", False),
        ("*.pipeops.io", "https://a.pipeops.io", True),
        ("*.pipeops.io", "http://a.b.pipeops.io", True),
        ("*.pipeops.io", "https://A.PipeOps.IO.", True),
        ("*.pipeops.io", "https://pipeops.io", False),
        ("*.pipeops.io", "https://evilpipeops.io", False),
        ("*.pipeops.io", "https://a.pipeops.io.evil.test", False),
        ("*.pipeops.io", "https://a.pipeops.io:8443", False),
        ("*", "https://anything.test:99", True),
        ("*", "moz-extension://0a1b", True),
    ],
)
def test_patterns(pattern: str, origin: str, expected: bool):
    assert allowed(origin, pattern) is expected
    assert allowed(origin, "other.test", pattern) is expected


@pytest.mark.parametrize("pattern", ["same-origin", "app.example.test", "*.example.test", "https://app.example.test"])
@pytest.mark.parametrize(
    "origin",
    [
        "", "app.example.test", "https://", "https://app.example.test/", "https://app.example.test/x",
        "https://app.example.test?x", "https://app.example.test#x", "https://u@app.example.test",
        "https://@app.example.test", "https://app.example.test:x", "https://app.example.test:99999", "https://[::1",
        "https://evil.test/https://app.example.test", "https://app.example.test, https://app.example.test",
        "https://evil.test#.example.test", "https://evil.test?.example.test", b"https://\xff\xfe",
    ],
)  # fmt: skip
def test_what_is_no_origin(pattern: str, origin: str | bytes):
    assert not allowed(origin, pattern)


@pytest.mark.parametrize("origin", ["foo://app.example.test", "file://app.example.test", "ftp://app.example.test"])
def test_same_origin_is_for_pages_of_the_web(origin: str):
    assert not allowed(origin)


@pytest.mark.parametrize("pattern", ["same-origin", "*", "app.example.test"])
@pytest.mark.parametrize("value", [True, False])
def test_missing_and_null_are_settings_of_their_own(pattern: str, value: bool):
    assert allowed(None, pattern, allow_missing_origin=value) is value
    assert allowed("null", pattern, allow_null_origin=value) is value


def test_the_defaults():
    assert DEFAULT_POLICY.origins == ("same-origin",)
    assert allowed(None)
    assert not allowed("null")


@pytest.mark.parametrize("origins", [("*",), ("same-origin",)])
def test_several_origins_are_never_right(origins: tuple[str, ...]):
    policy = Policy(origins=origins, allow_null_origin=True)
    same = b"https://app.example.test"
    assert origin_allowed(policy, [same], HOST, "http", HOST)
    assert not origin_allowed(policy, [same, same], HOST, "http", HOST)
    assert not origin_allowed(policy, [b"null", same], HOST, "http", HOST)


LABEL = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,6}[a-z0-9])?", fullmatch=True)
DOMAIN = st.lists(LABEL, min_size=2, max_size=4).map(".".join)


@given(
    domain=DOMAIN,
    before=st.one_of(st.just(""), LABEL, DOMAIN, LABEL.map(lambda label: label + "."), DOMAIN.map(lambda d: d + ".")),
    after=st.one_of(st.just(""), st.just(""), LABEL, DOMAIN.map(lambda domain: "." + domain)),
    scheme=st.sampled_from(["http", "https"]),
)
@examples(300)
def test_a_suffix_alone_never_matches(domain: str, before: str, after: str, scheme: str):
    name = before + domain + after
    origin = f"{scheme}://{name}"
    assert allowed(origin, f"*.{domain}") is name.endswith("." + domain)
    for pattern in (domain, f"{scheme}://{domain}"):
        assert allowed(origin, pattern) is (name == domain)
    assert allowed(origin, host=domain, route=domain) is (name == domain)
    assert allowed(origin, host=domain, route=f"*.{domain}") is (name == domain)


@given(st.binary(max_size=60))
@settings(deadline=None)
def test_no_bytes_raise(origin: bytes):
    for pattern in ("same-origin", "*.example.test", "app.example.test"):
        assert allowed(origin, pattern, allow_null_origin=False) is False
    assert allowed(origin, "*") in (True, False)


# --- rates

RATES = st.floats(0.1, 10_000)
BURSTS = st.floats(0.1, 60)
STEPS = st.lists(st.tuples(st.floats(0, 5), st.floats(0.1, 5_000)), min_size=1, max_size=60)


@given(rate=RATES, burst_seconds=BURSTS, steps=STEPS)
@settings(deadline=None)
def test_a_bucket_never_admits_more_than_rate_and_burst(
    rate: float, burst_seconds: float, steps: list[tuple[float, float]]
):
    now = 100.0
    bucket = TokenBucket(rate, burst_seconds, now)
    burst = max(rate * burst_seconds, 1.0)
    admitted: list[tuple[float, float]] = []
    for pause, amount in steps:
        now += pause
        if not bucket.would_exceed(amount, now):
            assert bucket.take(amount, now) == 0.0
            admitted.append((now, amount))
    for first, (began, _) in enumerate(admitted):
        total = 0.0
        for at, amount in admitted[first:]:
            total += amount
            assert total <= (rate * (at - began) + burst) * (1 + 1e-9)


@given(rate=RATES, burst_seconds=BURSTS, steps=STEPS)
@settings(deadline=None)
def test_who_waits_as_told_keeps_the_rate(rate: float, burst_seconds: float, steps: list[tuple[float, float]]):
    began = now = 100.0
    bucket = TokenBucket(rate, burst_seconds, now)
    burst = max(rate * burst_seconds, 1.0)
    total = 0.0
    for pause, amount in steps:
        now += pause
        wait = bucket.take(amount, now)
        assert wait >= 0.0
        now += wait
        total += amount
        assert total <= (rate * (now - began) + burst) * (1 + 1e-9)


def test_a_bucket_fills_up_to_its_burst_and_no_further():
    bucket = TokenBucket(10.0, 2.0, 0.0)
    assert not bucket.would_exceed(20, 0.0)
    assert bucket.would_exceed(20.1, 0.0)
    assert bucket.take(20, 0.0) == 0.0
    assert bucket.would_exceed(1, 0.09)
    assert not bucket.would_exceed(1, 0.1)
    assert not bucket.would_exceed(20, 1000.0)
    assert bucket.would_exceed(20.1, 1000.0)


def test_asking_takes_nothing():
    bucket = TokenBucket(1.0, 1.0, 0.0)
    assert [bucket.would_exceed(1, 0.0) for _ in range(3)] == [False] * 3
    assert bucket.take(1, 0.0) == 0.0
    assert bucket.take(1, 0.0) == 1.0
    assert bucket.take(1, 0.5) == 1.5


def test_a_rate_below_one_lets_one_through():
    bucket = TokenBucket(0.1, 1.0, 0.0)
    assert not bucket.would_exceed(1, 0.0)
    assert bucket.take(1, 0.0) == 0.0
    assert bucket.would_exceed(1, 9.9)
    assert not bucket.would_exceed(1, 10.0)


def test_no_rate_no_limit():
    assert rate_limit(DEFAULT_POLICY, 0.0) is None


@pytest.mark.parametrize("action", ["close", "slow"])
def test_the_narrower_of_messages_and_bytes_counts(action: str):
    limit = rate_limit(Policy(messages_per_second=4, bytes_per_second=100, rate_limit_action=action), 0.0)
    assert limit is not None
    assert limit.admit(40, 0.0) == 0.0
    assert limit.admit(40, 0.0) == 0.0
    assert limit.admit(40, 0.0) == (None if action == "close" else pytest.approx(0.2))
    limit = rate_limit(Policy(messages_per_second=4, bytes_per_second=100, rate_limit_action=action), 0.0)
    assert limit is not None
    assert [limit.admit(1, 0.0) for _ in range(4)] == [0.0] * 4
    assert limit.admit(1, 0.0) == (None if action == "close" else pytest.approx(0.25))


# --- header changes


@pytest.mark.parametrize(
    ("changes", "after"),
    [
        (NO_CHANGES, [(b"a", b"1"), (b"B", b"2"), (b"a", b"3")]),
        (HeaderChanges([], frozenset({b"a"})), [(b"B", b"2")]),
        (HeaderChanges([(b"a", b"9")], frozenset()), [(b"B", b"2"), (b"a", b"9")]),
        (HeaderChanges([(b"c", b"9")], frozenset({b"b"})), [(b"a", b"1"), (b"a", b"3"), (b"c", b"9")]),
        (HeaderChanges([(b"b", b"")], frozenset({b"none"})), [(b"a", b"1"), (b"a", b"3"), (b"b", b"")]),
    ],
)
def test_header_changes(changes: HeaderChanges, after: list[tuple[bytes, bytes]]):
    before = [(b"a", b"1"), (b"B", b"2"), (b"a", b"3")]
    for _ in range(2):  # what is set is not added up from one request to the next
        assert changes.apply(before) == after
    assert before == [(b"a", b"1"), (b"B", b"2"), (b"a", b"3")]
