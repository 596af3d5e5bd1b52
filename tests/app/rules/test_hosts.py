"""Tables of hosts: how they are normalised, what a Host field may have, and which patterns cover which hosts."""

import pytest

from app.rules.hosts import HOST_FIELD_BYTES, above, covers, is_host, normalise_host


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("kuma.example.test", "kuma.example.test"),
        ("Kuma.EXAMPLE.test", "kuma.example.test"),
        ("kuma.example.test.", "kuma.example.test"),
        ("kuma.example.test:8080", "kuma.example.test"),
        ("KUMA.example.test.:443", "kuma.example.test"),
        ("kuma.example.test:", "kuma.example.test"),
        (" kuma.example.test ", "kuma.example.test"),
        ("kuma.example.test..", "kuma.example.test."),
        ("kuma.example.test:http", "kuma.example.test:http"),
        ("kuma.example.test:80:80", "kuma.example.test:80"),
        ("192.0.2.1:80", "192.0.2.1"),
        ("[2001:DB8::1]", "[2001:db8::1]"),
        ("[2001:db8::1]:8080", "[2001:db8::1]"),
        ("[2001:db8::1", "[2001:db8::1"),
        ("", ""),
        (".", ""),
        (":80", ""),
    ],
)
def test_normalise_host(written: str, normal: str):
    assert normalise_host(written) == normal


@pytest.mark.parametrize(
    ("field", "does"),
    [
        (b"", True),
        (b"A_b-1.Example.test.:80", True),
        (b"[2001:DB8::1]:80", True),
        (b"x:", True),
        (b"a b", False),
        (b"a/b", False),
        (b"x:http", False),
        ("ä.test".encode(), False),
        (b"x" * HOST_FIELD_BYTES, True),
        (b"x" * (HOST_FIELD_BYTES + 1), False),
    ],
)
def test_is_host(field: bytes, *, does: bool):
    assert is_host(field) is does


@pytest.mark.parametrize(
    ("host", "names"),
    [
        ("a.b.test", ["a.b.test", "*.b.test", "*.test"]),
        ("*.b.test", ["*.b.test", "*.test"]),
        ("test", ["test"]),
        ("", [""]),
    ],
)
def test_above(host: str, names: list[str]):
    assert list(above(host)) == names


@pytest.mark.parametrize(
    ("pattern", "host", "does"),
    [
        ("x.test", "x.test", True),
        ("x.test", "*.x.test", False),
        ("*.x.test", "*.x.test", True),
        ("*.x.test", "*.y.x.test", True),
        ("*.x.test", "y.x.test", True),
        ("*.x.test", "x.test", False),
        ("*.x.test", "yx.test", False),
        ("*.y.x.test", "*.x.test", False),
    ],
)
def test_covers(pattern: str, host: str, does: bool):
    assert covers([pattern], host) is does
    assert covers(["other.test", pattern], host) is does
    assert not covers([], host)
