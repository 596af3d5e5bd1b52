"""What may be written to a terminal, and how: escapes, colours, the width, JSON.

Names, paths and messages come from the network. A control character among them could move the cursor, or hide a line;
it is written as an escape, in tables and in JSON alike.
"""

import json
import re
import shutil
import sys

import click

from ..settings import is_plain_terminal, wants_colours

_UNSAFE = re.compile(r"[^\x20-\x7e]")
NAME = "tunnel-gateway"
CLEAR = "\x1b[H\x1b[2J"
"""Empties a terminal."""
_COLOURS = {"good": "green", "bad": "red", "doubtful": "yellow", "heading": None}


def complain(*lines: str, program: str = NAME) -> None:
    """Write lines on standard error, each with the program's name before it."""
    for line in lines:
        click.echo(f"{program}: {escaped(line)}", err=True)


def escaped(text: str) -> str:
    """The text with an escape for whatever is not printable.

    >>> escaped("a\\x1b[2J")
    'a\\\\x1b[2J'
    """
    return _UNSAFE.sub(lambda match: match[0] if match[0].isprintable() else _python_escape(match[0]), text)


def put(line: str) -> None:
    """Print a line as it is: with the colours that it has, because `coloured` has decided about them."""
    click.echo(line, color=True)


def is_terminal() -> bool:
    """Whether a person reads standard output."""
    return sys.stdout.isatty()


def may_be_cleared() -> bool:
    """Whether standard output is a terminal that knows `CLEAR`."""
    return is_terminal() and not is_plain_terminal()


def width() -> int | None:
    """The columns of the terminal. None: there is no terminal, and lines may have any length."""
    return shutil.get_terminal_size().columns if is_terminal() else None


def height() -> int:
    """The lines of the terminal."""
    return shutil.get_terminal_size().lines


def coloured(text: str, meaning: str | None) -> str:
    """The text in the colour of its meaning: good, bad, doubtful or heading. On a terminal that wants colours only."""
    if meaning is None or not (is_terminal() and wants_colours()):
        return text
    return click.style(text, fg=_COLOURS[meaning], bold=True if meaning == "heading" else None)


def print_json(value: object, *, in_one_line: bool = False) -> None:
    """Print a value as JSON. Characters that are not printable are escaped, so that it means the same."""
    text = json.dumps(value, ensure_ascii=False, indent=None if in_one_line else 2)
    click.echo(re.sub(r"[^\x20-\x7e\n]", lambda match: _json_escape(match[0]), text))


def _python_escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _json_escape(character: str) -> str:
    if character.isprintable():
        return character
    return json.dumps(character)[1:-1] if character != "\x7f" else "\\u007f"
