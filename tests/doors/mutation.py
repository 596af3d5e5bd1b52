"""Mutated requests, and what any parser promises about them.

A mutant comes of a case of the corpus by a few small changes. Mutants are drawn from one seed in one order, so that a
seed and a number name each of them. `faults` says what a reading breaks; which promises a subject makes is its caller's
to say.
"""

import random
import re
from collections.abc import Callable, Iterator, Mapping

from tests.doors.corpus import CASES
from tests.doors.subjects import Ending, Read, Reading, Subject

LARGEST = 1_500
"""Bytes of the cases that are mutated: longer ones repeat themselves."""
PIECES = (
    b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b";", b",", b"#", b"\r\n\r\n", b"\n\n", b"\x0b", b"\x7f",
    b"\xff", b"\r\n ", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: a.test\r\n",
    b"Connection: close\r\n", b"Connection: Upgrade\r\nUpgrade: websocket\r\n", b"Expect: 100-continue\r\n",
    b"0\r\n\r\n", b"5\r\nhello\r\n", b"GET / HTTP/1.1\r\n", b"HTTP/1.0", b"HTTP/1.1", b"+", b"0x", b"chunked",
    b"identity", b'"', b"%00", b"//", b"*", b"@",
)  # fmt: skip

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TARGET = re.compile(rb"[^\x00-\x20\x7f]+")
_VALUE = re.compile(rb"[^\x00\r\n]*")
_BASES = [case.sent + case.then for case in CASES.values() if 0 < len(case.sent + case.then) <= LARGEST]


def mutants(seed: int, count: int) -> Iterator[bytes]:
    """So many mutants of this seed, always the same."""
    dice = random.Random(seed)
    for _ in range(count):
        data = bytearray(dice.choice(_BASES))
        for _ in range(dice.choice((1, 1, 1, 2, 3))):
            dice.choice(_CHANGES)(data, dice)
        yield bytes(data)


def _flip(data: bytearray, dice: random.Random) -> None:
    if data:
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)


def _replace(data: bytearray, dice: random.Random) -> None:
    if data:
        place = dice.randrange(len(data))
        data[place : place + 1] = dice.choice(PIECES)


def _insert(data: bytearray, dice: random.Random) -> None:
    place = dice.randrange(len(data) + 1)
    data[place:place] = dice.choice(PIECES)


def _insert_line(data: bytearray, dice: random.Random) -> None:
    """Where a line ends, for whole lines are rarely hit by chance."""
    ends = [found.end() for found in re.finditer(b"\r\n", data)]
    if ends:
        place = dice.choice(ends)
        data[place:place] = dice.choice(PIECES)


def _delete(data: bytearray, dice: random.Random) -> None:
    place = dice.randrange(len(data) + 1)
    del data[place : place + dice.choice((1, 1, 2, 4, 16))]


def _repeat(data: bytearray, dice: random.Random) -> None:
    place = dice.randrange(len(data) + 1)
    data[place:place] = data[place : place + dice.choice((1, 2, 8, 32))]


def _splice(data: bytearray, dice: random.Random) -> None:
    other = dice.choice(_BASES)
    data[dice.randrange(len(data) + 1) :] = other[dice.randrange(len(other)) :]


def _append(data: bytearray, dice: random.Random) -> None:
    data += dice.choice(_BASES)


def _cut(data: bytearray, dice: random.Random) -> None:
    del data[dice.randrange(len(data) + 1) :]


_CHANGES: tuple[Callable[[bytearray, random.Random], None], ...] = (
    _flip, _flip, _replace, _replace, _insert, _insert, _insert_line, _insert_line, _delete, _repeat, _splice, _append,
    _cut,
)  # fmt: skip


Promises = Mapping[str, Callable[[Read], bool]]


def _values(read: Read, name: bytes) -> list[bytes]:
    return [value for key, value in read.fields if key == name]


def _has_valid_lines(read: Read) -> bool:
    return bool(_TOKEN.fullmatch(read.method) and _TARGET.fullmatch(read.target)) and all(
        _TOKEN.fullmatch(name) and _VALUE.fullmatch(value) for name, value in (*read.fields, *read.trailers)
    )


def _has_one_host(read: Read) -> bool:
    return len(_values(read, b"host")) <= 1


def _has_one_framing(read: Read) -> bool:
    return len(_values(read, b"content-length")) + len(_values(read, b"transfer-encoding")) <= 1


def _ends_with_chunked(read: Read) -> bool:
    codings = b",".join(_values(read, b"transfer-encoding")).lower()
    return not codings or codings.rpartition(b",")[2].strip(b" \t") == b"chunked"


def _has_the_body_it_announced(read: Read) -> bool:
    """A whole one; where both announce, the coding counts."""
    if not read.is_whole or _values(read, b"transfer-encoding"):
        return True
    lengths = _values(read, b"content-length")
    return len(read.body) == (int(lengths[0]) if lengths else 0)


PROMISES: Promises = {
    "its lines are valid": _has_valid_lines,
    "it has one Host at most": _has_one_host,
    "it has one length or one coding at most": _has_one_framing,
    "its last coding is chunked": _ends_with_chunked,
    "its body is as long as announced": _has_the_body_it_announced,
}
"""Of each request whose head was read, but for one that offers an upgrade: its body is not the parser's any more."""


def faults(reading: Reading, sent: bytes, promises: Promises) -> list[str]:
    """What is wrong with the reading of these bytes; empty where nothing is."""
    read_whole = reading.requests[:-1] if reading.ending is Ending.UPGRADED else reading.requests
    found = [name for name, holds in promises.items() for read in read_whole if read.has_head and not holds(read)]
    if not all(read.is_whole for read in reading.requests[:-1]):
        found.append("a request was begun before the last was whole")
    if sum(len(read.target) + len(read.body) for read in reading.requests) > len(sent):
        found.append("more was read than was sent")
    if reading.ending is Ending.CLOSED and not (reading.requests and reading.requests[-1].is_whole):
        found.append("it closed before a request was whole")
    return found


def run(subject: Subject, promises: Promises, seed: int, count: int, *, in_bytes: bool = False) -> set[Ending]:
    """Feed so many mutants whole, or byte by byte as well; the endings it met.

    AssertionError names the mutant.
    """
    met: set[Ending] = set()
    for number, sent in enumerate(mutants(seed, count)):
        reading = subject((sent,))
        met.add(reading.ending)
        found = faults(reading, sent, promises)
        assert not found, f"seed {seed}, mutant {number}: {found} with {sent!r} as {reading}"
        if in_bytes:
            cut = subject(sent[place : place + 1] for place in range(len(sent)))
            assert cut.settled == reading.settled, f"seed {seed}, mutant {number}: {sent!r} as {reading}, cut as {cut}"
    return met
