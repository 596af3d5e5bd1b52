"""Tables: what fits, what is left out, what is cut; and what may never reach a terminal."""

import json
from collections.abc import Callable

import pytest

from app.commands.tables import Column, cells, pairs, seconds, size, table, wrapped
from app.commands.terminal import coloured, escaped, print_json

COLUMNS = (
    Column("id"),
    Column("host", is_cut=True),
    Column("bytes", is_number=True),
    Column("dialect", is_optional=True),
    Column("note", is_cut=True, is_optional=True),
)
ROWS = [
    {"id": "1", "host": "a-long-host.example.test", "bytes": 5, "dialect": "yamux", "note": "a note of many words"},
    {"id": "22", "host": "b.test", "bytes": 1024, "dialect": None, "note": ""},
]


def test_without_a_terminal_every_value_is_whole():
    assert table(COLUMNS, ROWS, None) == [
        "id  host                      bytes  dialect  note",
        "1   a-long-host.example.test      5  yamux    a note of many words",
        "22  b.test                     1024  -        -",
    ]


def test_long_values_are_cut_where_the_terminal_ends():
    assert table(COLUMNS, ROWS, 48) == [
        "id  host           bytes  dialect  note",
        "1   a-long-host.…      5  yamux    a note of ma…",
        "22  b.test          1024  -        -",
    ]


def test_columns_that_matter_least_go_first():
    assert table(COLUMNS, ROWS, 30)[0].split() == ["id", "host", "bytes", "dialect"]
    assert table(COLUMNS, ROWS, 20)[0].split() == ["id", "host", "bytes"]


@pytest.mark.parametrize("width", range(19, 90))
def test_no_line_is_wider_than_the_terminal(width: int):
    assert [line for line in table(COLUMNS, ROWS, width) if cells(line) > width] == []


def test_a_terminal_that_is_too_narrow_for_anything_gets_what_cannot_be_left_out():
    assert table(COLUMNS, ROWS, 1)[1:] == ["1   a-long-…      5", "22  b.test     1024"]


def test_wide_characters_take_two_columns():
    rows = [{"id": "漢字", "bytes": 1}, {"id": "e\u0301", "bytes": 2}]
    lines = table((Column("id"), Column("bytes", is_number=True)), rows, None)
    assert lines == ["id    bytes", "漢字      1", "e\u0301         2"]


def test_pairs_and_their_further_lines():
    assert pairs({"state": "ready", "file": "/etc/a b c"}, 15) == ["state  ready", "file   /etc/a b", "       c"]
    assert wrapped("abcdefghijklmnop qr", 10) == ["abcdefghij", "klmnop qr"]
    assert wrapped("", 10) == [""]
    assert wrapped("漢" * 9 + " e\u0301", 9) == ["漢漢漢漢", "漢漢漢漢", "漢 e\u0301"]
    assert pairs({}, 10) == []


@pytest.mark.parametrize("piece", ["é", "a", "漢 ", "e\u0301"])
def test_no_text_takes_long(piece: str):
    """Work that grows with the square would end in the timeout of the test."""
    assert len(wrapped(piece * 200_000, 80)) >= 2_500
    assert len(table((Column("x", is_cut=True),), [{"x": piece * 200_000}], 80)) == 2


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 漢", "plain é 漢"),
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("line\nline\r\t", "line\\nline\\r\\t"),
        ("\x9b31m\x7f", "\\x9b31m\\x7f"),
        ("right\u202eleft\u2028", "right\\u202eleft\\u2028"),
        ("\ud800", "\\ud800"),
    ],
)
def test_control_characters_are_escaped_in_tables_and_in_json(
    text: str, shown: str, capsys: pytest.CaptureFixture[str]
):
    assert escaped(text) == shown
    assert table((Column("x"),), [{"x": text}], None)[1] == shown
    assert pairs({"x": text}, None) == [f"x  {shown}"]
    print_json({"x": text}, in_one_line=True)
    out = capsys.readouterr().out.removesuffix("\n")
    assert out.isprintable()
    assert json.loads(out) == {"x": text}


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, None), (0, "0.0 ms"), (0.25, "250.0 ms"), (59.94, "59.9 s"), (61, "1 min 1 s"), (3_700, "1 h 1 min"),
     (90_000, "1 d 1 h")],
)  # fmt: skip
def test_durations(value: float | None, text: str | None):
    assert seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, None), (0, "0 B"), (1024, "1.0 KiB"), (5 * 1024**3, "5.0 GiB"), (5 * 1024**5, "5120.0 TiB")],
)
def test_sizes(value: int | None, text: str | None):
    assert size(value) == text


def test_colours_are_for_terminals_that_want_them(terminal: Callable[[int], None], monkeypatch: pytest.MonkeyPatch):
    assert coloured("x", "bad") == "x"
    terminal(80)
    assert coloured("x", "bad") == "\x1b[31mx\x1b[0m"
    assert coloured("x", None) == "x"
    monkeypatch.setenv("NO_COLOR", "1")
    assert coloured("x", "bad") == "x"
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert coloured("x", "bad") == "x"
