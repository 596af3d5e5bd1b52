"""Texts of strangers as a terminal may show them: nothing in them moves the cursor, hides or turns other text.

Pure. `clean` returns only printable characters that run from left to right and take one column or two. Everything else
becomes an escape (`\\x1b`, `\\u202e`), so that a person sees that it was there.
"""

import unicodedata

_RIGHT_TO_LEFT = frozenset({"R", "AL", "AN"})
"""Letters and digits that terminals with bidirectional text put elsewhere, with what stands beside them."""
_NO_COLUMN = frozenset({"Mn", "Me", "Mc"})
"""Marks that are drawn over the character before."""
CUT = "…"


def clean(text: str, most: int = 1_000) -> str:
    """`text` without anything that a terminal would obey; cut after `most` characters."""
    beginning = text if len(text) <= most else text[:most] + CUT
    if beginning.isascii() and beginning.isprintable():
        return beginning
    return "".join(character if _is_plain(character) else _escape(character) for character in beginning)


def width(text: str) -> int:
    """The columns that a clean text takes."""
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def fitted(text: str, columns: int) -> str:
    """The beginning of a clean text that fits, with a mark where it was cut."""
    if width(text) <= columns:
        return text
    return _beginning(text, columns - 1) + CUT if columns > 0 else ""


def wrapped(text: str, columns: int, most: int) -> list[str]:
    """A clean text in lines that are broken between words and fit; what `most` lines have no room for is cut."""
    made: list[str] = []
    while len(made) < most - 1 and width(text) > columns:
        line = _beginning(text, columns)
        if text[len(line)] != " ":
            line = line.rpartition(" ")[0] or line
        if not line:
            break
        made.append(line)
        text = text[len(line) :].lstrip(" ")
    return [*made, fitted(text, columns)]


def padded(text: str, columns: int) -> str:
    """A clean text in exactly `columns`: cut, or filled with blanks."""
    shown = fitted(text, columns)
    return shown + " " * (columns - width(shown))


def _beginning(text: str, columns: int) -> str:
    used = 0
    for number, character in enumerate(text):
        used += width(character)
        if used > columns:
            return text[:number]
    return text


def _is_plain(character: str) -> bool:
    return (
        character.isprintable()
        and unicodedata.category(character) not in _NO_COLUMN
        and unicodedata.bidirectional(character) not in _RIGHT_TO_LEFT
    )


def _escape(character: str) -> str:
    """As Python writes it."""
    return character.encode("unicode_escape").decode("ascii")
