"""Query parameters: a table row for each, and the one parser that reads a query by such rows.

A parameter that is unknown, repeated, empty, too long or not valid is refused with its name. So is a query that is not
well-formed. The same rows make the OpenAPI document. No I/O.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import unquote_plus

from .errors import bad_request

_NAME_CHARACTERS: Final = 60
"""Of a name that we do not know, in the answer."""
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


class UnfitError(ValueError):
    """The value is not valid. The text follows the parameter's name: `is 0; write a number from 1 to 1000`."""


class Kind(Protocol):
    """The values of a parameter."""

    @property
    def most_characters(self) -> int:
        """The longest text."""

    @property
    def valid(self) -> str:
        """What to write: `a number from 1 to 1000`."""

    def parse(self, text: str) -> Any:  # noqa: ANN401  (each kind has its own type)
        """The value of a text that is not empty and not too long. Raises UnfitError."""

    def schema(self) -> dict[str, Any]:
        """Its JSON Schema."""


@dataclass(frozen=True, slots=True)
class Text:
    """Any text without control characters."""

    valid: str = "a text"
    most_characters: int = 253

    def parse(self, text: str) -> str:
        """The text itself."""
        if _CONTROL.search(text):
            raise UnfitError(f"has control characters; write {self.valid}")
        return text

    def schema(self) -> dict[str, Any]:
        """See `Kind`."""
        return {"type": "string", "minLength": 1, "maxLength": self.most_characters}


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]
    most_characters: int = 64

    @property
    def valid(self) -> str:
        """See `Kind`."""
        return f"one of {', '.join(self.words)}"

    def parse(self, text: str) -> str:
        """The word."""
        if text not in self.words:
            raise UnfitError(f"is not known; write {self.valid}")
        return text

    def schema(self) -> dict[str, Any]:
        """See `Kind`."""
        return {"type": "string", "enum": list(self.words)}


@dataclass(frozen=True, slots=True)
class Flag:
    """`true` or `false`."""

    valid: str = "true or false"
    most_characters: int = 5

    def parse(self, text: str) -> bool:
        """The truth of it."""
        if text not in ("true", "false"):
            raise UnfitError(f"is not valid; write {self.valid}")
        return text == "true"

    def schema(self) -> dict[str, Any]:
        """See `Kind`."""
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number, in digits only."""

    least: int
    most: int
    most_characters: int = 18

    @property
    def valid(self) -> str:
        """See `Kind`."""
        return f"a whole number from {self.least} to {self.most}"

    def parse(self, text: str) -> int:
        """The number."""
        if not (text.isascii() and text.removeprefix("-").isdigit()):
            raise UnfitError(f"is not a whole number; write one from {self.least} to {self.most}")
        number = int(text)
        if not self.least <= number <= self.most:
            raise UnfitError(f"is {number}; write a number from {self.least} to {self.most}")
        return number

    def schema(self) -> dict[str, Any]:
        """See `Kind`."""
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True, slots=True)
class Seconds:
    """A number of seconds, also with a fraction. One beyond the bounds counts as the bound itself where `clamped`."""

    most: float
    clamped: bool = False
    most_characters: int = 24

    @property
    def valid(self) -> str:
        """See `Kind`."""
        return f"a number of seconds from 0 to {self.most:g}"

    def parse(self, text: str) -> float:
        """The number."""
        try:
            seconds = float(text)
        except ValueError:
            seconds = math.nan
        if math.isnan(seconds):
            raise UnfitError("is not valid; write a number of seconds")
        if self.clamped:
            return min(max(seconds, 0.0), self.most)
        if not 0 <= seconds <= self.most:
            raise UnfitError(f"is {seconds:g}; write {self.valid}")
        return seconds

    def schema(self) -> dict[str, Any]:
        """See `Kind`."""
        return {"type": "number"} if self.clamped else {"type": "number", "minimum": 0, "maximum": self.most}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One query parameter."""

    name: str
    kind: Kind
    text: str
    """What it is for: a sentence."""
    default: Any = None
    """The value where it is absent."""
    required: bool = False


def parse_query(raw: bytes, parameters: Iterable[Parameter]) -> Mapping[str, Any]:
    """The value of every parameter: from the query, else its default. Raises ApiError, which names the parameter."""
    known = {parameter.name: parameter for parameter in parameters}
    found: dict[str, Any] = {}
    for piece in raw.split(b"&"):
        if not piece:
            continue
        name, _, value = piece.partition(b"=")
        name_text = _decoded(name, None)
        parameter = known.get(name_text)
        if parameter is None:
            raise bad_request(_shown(name_text), _unknown(name_text, known))
        if name_text in found:
            raise bad_request(name_text, f"{name_text} is given twice; give it once")
        found[name_text] = _value(parameter, value)
    for parameter in known.values():
        if parameter.required and parameter.name not in found:
            raise bad_request(parameter.name, f"{parameter.name} is missing; write {parameter.kind.valid}")
    return {name: found.get(name, parameter.default) for name, parameter in known.items()}


def _value(parameter: Parameter, raw: bytes) -> Any:  # noqa: ANN401  (each kind has its own type)
    name, kind = parameter.name, parameter.kind
    if len(raw) > 12 * kind.most_characters:  # a character of four bytes takes as many when it is escaped
        raise bad_request(name, f"{name} is too long; write at most {kind.most_characters} characters")
    text = _decoded(raw, name)
    if len(text) > kind.most_characters:
        raise bad_request(name, f"{name} is too long; write at most {kind.most_characters} characters")
    if not text:
        raise bad_request(name, f"{name} is empty; write {kind.valid}")
    try:
        return kind.parse(text)
    except UnfitError as error:
        raise bad_request(name, f"{name} {error}") from None


def _decoded(raw: bytes, name: str | None) -> str:
    """A percent-encoded text. Raises ApiError for one that is not UTF-8 or not encoded properly."""
    whose = name or "a parameter's name"
    text = raw.decode("latin-1")
    if not text.isascii() or _BAD_ESCAPE.search(text):
        raise bad_request(name, f"{whose} is not percent-encoded; encode it as UTF-8 with %XX")
    try:
        return unquote_plus(text, errors="strict")
    except UnicodeDecodeError:
        raise bad_request(name, f"{whose} is not UTF-8; encode it as UTF-8 with %XX") from None


def _unknown(name: str, known: Mapping[str, Parameter]) -> str:
    names = ", ".join(sorted(known))
    return f"there is no parameter {_shown(name)!r} here; " + (f"known: {names}" if names else "there are none")


def _shown(name: str) -> str:
    short = name[:_NAME_CHARACTERS]
    return short if short.isprintable() else ascii(short)[1:-1]
