"""Where a key stands in a TOML text: the scanner finds every path that the parser finds, on its line."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.settings.errors import KeyPath
from app.settings.lines import key_lines, line_of

EVERYTHING = '''# first
a = 1 # "b = 2"
"quoted key" = """
[not.a.table]
c = 3""""
'literal' = 'it = "is"' # [x]
dotted . "inner" = [ 1, # one
  "two]", [3, 4],

  { five = 5, "six" = { seven = [7] } },
]
empty = []
nothing = {}
e = \'\'\'
[[x]]\'\'\'
date = 1979-05-27T07:32:00Z

[table]
f = true

  [table.inner]   # comment
g = -1.5e3
[[array]]
h = 1
[array.under]
i = 1
[[array.nested]]
j = 1
[[array.nested]]
[[array]]
[[array.nested]]
k = { l.m = 1 }
["x.y"]
n = "\\"#"
'''

LINES: list[tuple[KeyPath, int]] = [
    (("a",), 2),
    (("quoted key",), 3),
    (("literal",), 6),
    (("dotted",), 7),
    (("dotted", "inner"), 7),
    (("dotted", "inner", 0), 7),
    (("dotted", "inner", 1), 8),
    (("dotted", "inner", 2, 1), 8),
    (("dotted", "inner", 3, "five"), 10),
    (("dotted", "inner", 3, "six", "seven", 0), 10),
    (("empty",), 12),
    (("nothing",), 13),
    (("e",), 14),
    (("date",), 16),
    (("table",), 18),
    (("table", "f"), 19),
    (("table", "inner"), 21),
    (("table", "inner", "g"), 22),
    (("array",), 23),
    (("array", 0), 23),
    (("array", 0, "h"), 24),
    (("array", 0, "under", "i"), 26),
    (("array", 0, "nested", 0, "j"), 28),
    (("array", 0, "nested", 1), 29),
    (("array", 1), 30),
    (("array", 1, "nested", 0, "k", "l", "m"), 32),
    (("x.y", "n"), 34),
]


def paths(value: object, at: KeyPath = ()) -> set[KeyPath]:
    found: set[KeyPath] = {at} if at else set()
    if isinstance(value, dict):
        return found.union(*(paths(item, (*at, key)) for key, item in value.items()))
    if isinstance(value, list):
        return found.union(*(paths(item, (*at, index)) for index, item in enumerate(value)))
    return found


@pytest.mark.parametrize(("path", "line"), LINES, ids=[".".join(map(str, path)) for path, _ in LINES])
def test_the_line_of_each_form(path: KeyPath, line: int):
    assert line_of(key_lines(EVERYTHING), path) == line


@pytest.mark.parametrize(
    "text",
    [EVERYTHING, "", "\n\n", "# only", "a=1", "a = [[], [[]]]", "[a]\n[a.b.c]\nd=1\n[e.f]", '"" = ""', "a='''\n'''"],
)
def test_it_knows_the_paths_that_the_parser_knows(text: str):
    assert set(key_lines(text)) == paths(tomllib.loads(text))


def test_what_is_not_written_is_where_its_table_is():
    assert line_of(key_lines(EVERYTHING), ("array", 1, "missing")) == 30
    assert line_of(key_lines(EVERYTHING), ("table", "inner", "missing", 3)) == 21
    assert line_of(key_lines(EVERYTHING), ("missing",)) is None
    assert line_of(key_lines(EVERYTHING), ()) is None


names = st.text("ab.\"' #=[]é", max_size=4)
scalars = st.one_of(
    st.integers(-9, 9), st.booleans(), st.text("x\"'\\#[]{},=\n ", max_size=8), st.floats(allow_nan=False, width=16)
)
trees = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=3)),
    max_leaves=8,
)


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def as_toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, list):
        return "[ # [\n" + ",\n".join(map(as_toml, value)) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{quoted(key)} = {as_toml(item)}" for key, item in value.items()) + " }"
    return str(value)


@given(st.dictionaries(names, st.dictionaries(names, trees, max_size=3), max_size=3))
def test_any_document(tree: dict[str, dict[str, object]]):
    text = ""
    expected: dict[KeyPath, int] = {}
    for table, entries in tree.items():
        text += f"[ {quoted(table)} ]\n"
        expected[table,] = text.count("\n")
        for key, value in entries.items():
            expected[table, key] = text.count("\n") + 1
            text += f"{quoted(key)} = {as_toml(value)} # ]\n"
    found = key_lines(text)
    assert set(found) == paths(tomllib.loads(text))
    assert {path: found[path] for path in expected} == expected
