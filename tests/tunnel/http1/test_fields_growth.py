"""A service's head costs in proportion to its size, whatever it names in `Connection`: counted, not timed.

What a list copies is no call, so the values here count how many of their parts are handled.
"""

from collections.abc import Callable, Iterator

import pytest

from tests.fakes.growth import FACTOR, calls_of, grows_linearly
from tunnel.gateway.proxied.answer import checked_headers
from tunnel.http1.fields import read_fields
from tunnel.port import Headers


class Handled:
    """How many parts of values were taken, or copied once more."""

    parts = 0


class Parts(list[bytes]):
    """The parts of a value; adding it to a list makes another list, which copies all that the first one has."""

    def __init__(self, parts: list[bytes], handled: Handled) -> None:
        super().__init__(parts)
        self._handled = handled

    def __radd__(self, before: list[bytes]) -> list[bytes]:
        self._handled.parts += len(before)
        return [*before, *self]

    def __iter__(self) -> Iterator[bytes]:
        for part in super().__iter__():
            self._handled.parts += 1
            yield part


class Value(bytes):
    """The value of a Connection field."""

    handled: Handled

    def lower(self) -> "Value":
        return self

    def split(self, sep: bytes | None = None, maxsplit: int = -1) -> Parts:  # type: ignore[override]
        return Parts(bytes(self).split(sep, maxsplit), self.handled)


def handled(text: bytes, fields: int) -> int:
    """How many parts are handled of so many Connection fields."""
    count = Handled()
    headers: Headers = []
    for _ in range(fields):
        value = Value(text)
        value.handled = count
        headers.append((b"connection", value))
    read_fields(headers)
    return count.parts


@pytest.mark.parametrize("text", [b"x-a", b",,,,", b"close"])
def test_the_connection_fields_of_a_head(text: bytes) -> None:
    small, large = handled(text, 60), handled(text, 60 * FACTOR)
    assert grows_linearly(small, large), (small, large)


def names(count: int) -> Headers:
    """So many fields, and a Connection field for each that names it."""
    fields = [(b"x-%d" % number, b"") for number in range(count)]
    return fields + [(b"connection", b"x-%d" % number) for number in range(count)]


def over_json(count: int) -> Headers:
    """The same as an agent of the json dialect tells it: values of one name in a list."""
    made: dict[str, list[str] | str] = {f"x-{number}": "" for number in range(count)}
    return checked_headers(made | {"Connection": [f"x-{number}" for number in range(count)]})


@pytest.mark.parametrize("head", [names, over_json])
def test_the_fields_that_a_head_names(head: Callable[[int], Headers]) -> None:
    small, large = (calls_of(lambda count=count: read_fields(head(count))) for count in (30, 30 * FACTOR))
    assert grows_linearly(small, large), (small, large)
