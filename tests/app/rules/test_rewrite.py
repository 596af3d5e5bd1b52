"""Which rewrites are valid, and what is said of those that are not."""

import pytest

from app.rules.rewrite import Rewrite, WrongRewriteError


def test_nothing_wanted_is_no_rewrite():
    assert Rewrite.of("/app") is None


def test_all_of_it():
    rewrite = Rewrite.of(
        "/app/", host_header="localhost:5173", strip_prefix=True, add_prefix="/base/", https_redirect=True,
        scheme="https",
    )  # fmt: skip
    assert rewrite == Rewrite(b"localhost:5173", b"/app", b"/base", True, "https")


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:5173", "App.Internal.", "127.0.0.1:80", "[::1]", "[::1]:65535", "a_b.test", "x" * 63],
)
def test_valid_hosts(host: str):
    rewrite = Rewrite.of("/", host_header=host)
    assert rewrite is not None
    assert rewrite.host_header == host.encode()


@pytest.mark.parametrize(
    "host",
    [
        "http://localhost", "localhost/", "a b", "localhost:", "localhost:0", "localhost:65536", "::1", "[::1", "[zz]",
        "[:::]", "a..b", "-a.test", "*.test", "a@b", "a\r\nx: y", "münchen.test", "localhost\n", "x" * 64, "a." * 200,
        "localhost:\u0664",
    ],
)  # fmt: skip
def test_hosts_that_are_none(host: str):
    with pytest.raises(WrongRewriteError, match=r"\Ahost_header: .* is not valid; write the host .* localhost:5173"):
        Rewrite.of("/", host_header=host)


@pytest.mark.parametrize("prefix", ["base", "/a//b", "/a/../b", "/.", "/a%2Fb", "/a b", "/a?b", "//", "/" + "a" * 1024])
def test_prefixes_that_are_none(prefix: str):
    with pytest.raises(WrongRewriteError, match=r"\Aadd_prefix: .* is not valid; write a prefix like /base") as wrong:
        Rewrite.of("/", add_prefix=prefix)
    assert list(wrong.value.faults) == ["add_prefix"]
    assert len(str(wrong.value)) < 200


def test_a_prefix_that_adds_nothing():
    with pytest.raises(WrongRewriteError, match='add_prefix: "/" adds nothing'):
        Rewrite.of("/", add_prefix="/")


def test_nothing_to_strip():
    with pytest.raises(WrongRewriteError, match="strip_prefix: the route's path is /, so there is nothing to strip"):
        Rewrite.of("/", strip_prefix=True)
