"""A value that somebody else wrote, in an error text."""

from typing import Final

_CHARACTERS: Final = 100


def shown(value: object) -> str:
    """The value as it would be written: in printable ASCII, on one line, and of bounded length.

    >>> shown("a\\nb"), shown(True)
    ("'a\\\\nb'", 'true')
    """
    if isinstance(value, str):
        value = value[: _CHARACTERS + 1]
    text = {True: "true", False: "false"}[value] if isinstance(value, bool) else ascii(value)
    return text if len(text) <= _CHARACTERS else text[:_CHARACTERS] + "..."
