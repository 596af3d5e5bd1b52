"""The types of values on a command line: each says what would be valid."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import click

from ..settings import ConfigurationError
from ..settings.hosts import name_or_address

_MOST_ROWS = 100_000
_ADDRESS = re.compile(r"[^\x00-\x20\x7f-\uffff?#@\\]+")


class Value(click.ParamType[Any]):
    """A value that a function reads. The function raises ValueError with what would be valid."""

    def __init__(self, name: str, read: Callable[[str], Any]) -> None:
        self.name = name
        self._read = read

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> object:
        """What the text says. A default has been read already."""
        if not isinstance(value, str):
            return value
        try:
            return self._read(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _number(most: int, least: int = 0) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not least <= int(text[:20]) <= most:
            raise ValueError(f"write a number from {least} to {most}")
        return int(text)

    return read


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 86_400:
        raise ValueError("write seconds, from 0 to 86400")
    return value


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names or not all(name.isprintable() for name in names):
        raise ValueError("write names of clusters, separated by commas")
    return names


def _gateway_url(text: str) -> str:
    """The address of a gateway, without a slash at its end."""
    try:
        url = urlsplit(text)
        is_address = url.scheme in ("http", "https") and url.port != 0
        name_or_address(url.hostname or "", ())
    except (ValueError, ConfigurationError):
        is_address = False
    if not is_address or not _ADDRESS.fullmatch(text):
        raise ValueError("write http://host[:port][/prefix] or https://...")
    return text.rstrip("/")


PORT = Value("port", _number(65_535))
LIMIT = Value("number", _number(_MOST_ROWS, least=1))
SECONDS = Value("seconds", _seconds)
NAMES = Value("names", _names)
GATEWAY_URL = Value("url", _gateway_url)
