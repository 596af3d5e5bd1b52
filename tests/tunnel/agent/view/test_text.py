"""Texts of strangers: nothing that a terminal obeys gets through, and every width is known."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnel.agent.view.text import clean, fitted, padded, width, wrapped

TEXTS = st.one_of(
    st.text(max_size=60), st.binary(max_size=60).map(lambda raw: raw.decode("latin-1")),
    st.binary(max_size=60).map(lambda raw: raw.decode("utf-8", "surrogateescape")),
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/plain?x=%20", "/plain?x=%20"),
        ("/a b", "/a b"),
        ("/\x1b[2J", "/\\x1b[2J"),
        ("/\x1b]8;;http://evil\x1b\\click", "/\\x1b]8;;http://evil\\x1b\\click"),
        ("/\x1b]0;title\x07", "/\\x1b]0;title\\x07"),
        ("/\x9b31mred", "/\\x9b31mred"),
        ("/\x85next\x90dcs", "/\\x85next\\x90dcs"),
        ("/\r\n\t\x08\x7f\x00", "/\\r\\n\\t\\x08\\x7f\\x00"),
        ("/\u200f\u202etxt.exe\u2066", "/\\u200f\\u202etxt.exe\\u2066"),
        ("/\u05d0\u0627\u0661", "/\\u05d0\\u0627\\u0661"),
        ("/e\u0301\u20dd", "/e\\u0301\\u20dd"),
        ("/\u200b\ufeff\u00ad\u2028", "/\\u200b\\ufeff\\xad\\u2028"),
        ("/\ud800\udcff\U000e0041", "/\\ud800\\udcff\\U000e0041"),
        ("/\u00e9\u6f22\u5b57\U0001f600", "/\u00e9\u6f22\u5b57\U0001f600"),
    ],
)
def test_what_is_shown(text, shown):
    assert clean(text) == shown


@pytest.mark.parametrize(
    ("text", "columns"), [("", 0), ("abc", 3), ("\u00e9", 1), ("\u6f22\u5b57", 4), ("a\U0001f600", 3), ("\uff21", 2)]
)
def test_width(text, columns):
    assert width(text) == columns


@pytest.mark.parametrize(
    ("text", "columns", "shown"),
    [
        ("abcdef", 6, "abcdef"), ("abcdef", 5, "abcd\u2026"), ("abcdef", 1, "\u2026"), ("abcdef", 0, ""),
        ("\u6f22\u5b57\u6f22", 6, "\u6f22\u5b57\u6f22"), ("\u6f22\u5b57\u6f22", 5, "\u6f22\u5b57\u2026"),
        ("\u6f22\u5b57\u6f22", 4, "\u6f22\u2026"), ("", 0, ""),
    ],
)  # fmt: skip
def test_what_fits(text, columns, shown):
    assert fitted(text, columns) == shown
    assert width(padded(text, columns)) == columns


@pytest.mark.parametrize(
    ("text", "columns", "most", "lines"),
    [
        ("", 5, 3, [""]),
        ("one two", 7, 3, ["one two"]),
        ("one two three", 7, 3, ["one two", "three"]),
        ("one two three", 8, 3, ["one two", "three"]),
        ("one two three four", 5, 3, ["one", "two", "thre\u2026"]),
        ("one two three", 5, 1, ["one \u2026"]),
        ("abcdefgh", 3, 3, ["abc", "def", "gh"]),
        ("\u6f22\u5b57\u6f22", 3, 3, ["\u6f22", "\u5b57", "\u6f22"]),
        ("\u6f22\u5b57", 1, 3, ["\u2026"]),
        ("abc", 0, 3, [""]),
    ],
)
def test_where_lines_are_broken(text, columns, most, lines):
    assert wrapped(text, columns, most) == lines


@given(TEXTS, st.integers(0, 40), st.integers(1, 5))
def test_every_broken_line_fits(text, columns, most):
    lines = wrapped(clean(text), columns, most)
    assert 1 <= len(lines) <= most
    assert max(map(width, lines)) <= columns


def test_a_long_text_is_cut_before_it_is_looked_at():
    assert clean("\x1b" * 100_000, most=3) == "\\x1b\\x1b\\x1b\u2026"


@given(TEXTS)
def test_nothing_that_a_terminal_obeys(text):
    shown = clean(text)
    assert shown.isprintable()
    assert not {unicodedata.category(character) for character in shown} & {"Cc", "Cf", "Cs", "Mn", "Me", "Zl", "Zp"}
    assert not {unicodedata.bidirectional(character) for character in shown} & {"R", "AL", "AN", "RLO", "RLE", "RLI"}
    assert clean(shown) == shown


@given(TEXTS, st.integers(0, 100))
def test_every_cut_fits(text, columns):
    shown = fitted(clean(text), columns)
    assert width(shown) <= columns
    assert clean(text).startswith(shown.removesuffix("\u2026"))
    assert width(padded(clean(text), columns)) == columns
