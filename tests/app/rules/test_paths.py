"""Prefixes and dot segments."""

import pytest

from app.rules.paths import has_dot_segments, is_prefix


@pytest.mark.parametrize("path", ["/", "/a", "/a/", "/a/b.c", "/.well-known", "/a..b", "/..."])
def test_prefixes(path: str):
    assert is_prefix(path)


@pytest.mark.parametrize(
    "path", ["", "a", "//", "/a//b", "/.", "/..", "/a/./b", "/a/../b", "/a/..", "/%61", "/a b", "/a\n"]
)
def test_no_prefixes(path: str):
    assert not is_prefix(path)


@pytest.mark.parametrize(
    "path",
    [
        b"/.", b"/..", b"/a/./b", b"/a/../b", b"/a/..", b"/%2e%2e/b", b"/a/%2E", b"/a/.%2e/b", b"/a%2f..%2fb",
        b"/a/%252e%252e/b", b"/a%252f..%252fb", b"/a\\..\\b", b"/a%5c..%5cb", b"/a%255c%252e%252e%255cb", b"/a/..;x/b",
        b"/a/..;", b"/a/..%3bx", b"/a\\..",
    ],
)  # fmt: skip
def test_dot_segments(path: bytes):
    assert has_dot_segments(path)


@pytest.mark.parametrize(
    "path", [b"/", b"/a", b"/a..b/c", b"/.well-known/x", b"/...", b"/a/..b", b"/a/b..", b"/%25252e%25252e/", b"/%zz/%"]
)
def test_no_dot_segments(path: bytes):
    assert not has_dot_segments(path)
