"""What a host that anybody may send costs: characters are counted, not seconds."""

from typing import SupportsIndex

from app.rules.hosts import HOST_CHARACTERS
from app.rules.routes import HostIndex, Route
from tests.fakes.growth import FACTOR, grows_linearly
from tunnel.port import Target

TARGET = Target("c1", "apps", "web", 80)


class Copied(str):
    """A host that counts the characters that are copied out of it."""

    __slots__ = ()
    characters = 0

    def __getitem__(self, key: SupportsIndex | slice) -> str:
        part = super().__getitem__(key)
        Copied.characters += len(part)
        return part


def copied_for(labels: int) -> int:
    index = HostIndex()
    for host in ("*.example.test", "*.deep.example.test"):
        index.put(host, [Route(host, b"/", TARGET)])
    Copied.characters = 0
    assert index.of_host(Copied("a." * labels + "no.test")) is None
    return Copied.characters


def test_matching_wildcards_costs_labels_and_not_labels_times_their_length():
    small, large = copied_for(25), copied_for(25 * FACTOR)
    assert grows_linearly(small, large)
    assert large <= 2 * HOST_CHARACTERS  # one copy for each depth at which there are wildcards


def test_a_host_above_the_limit_is_not_looked_at():
    index = HostIndex()
    index.put("*.test", [Route("*.test", b"/", TARGET)])
    Copied.characters = 0
    longest = "a." * 124 + "test"
    assert index.of_host(Copied(longest + "x")) is None
    assert Copied.characters > 0
    Copied.characters = 0
    assert index.of_host(Copied("a." * 60_000 + "test")) is None
    assert Copied.characters == 0


def test_a_wildcard_that_went_is_not_looked_for_any_more():
    index = HostIndex()
    for host in ("*.b.test", "*.c.test", "*.c.test"):
        index.put(host, [Route(host, b"/", TARGET)])
    for host in ("*.c.test", "*.c.test"):
        index.put(host, [])
    assert index.of_host("a.c.test") is None
    assert index.of_host("a.b.test") == [Route("*.b.test", b"/", TARGET)]
    index.put("*.b.test", [])
    assert index.of_host("a.b.test") is None
    assert repr(index._depths) == "Counter()"
