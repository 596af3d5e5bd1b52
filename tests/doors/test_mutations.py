"""Mutated heads and bodies before parsers: whole and byte by byte, nothing but documented outcomes."""

from collections.abc import Iterable

import pytest

from tests.doors.mutation import PROMISES, Promises, mutants, run
from tests.doors.subject_door import read_with_door
from tests.doors.subjects import Ending, Reading, Subject, read_with_h11, read_with_httptools


def promised(*names: str) -> Promises:
    return {name: PROMISES[name] for name in names}


HTTPTOOLS = promised("its lines are valid", "its body is as long as announced")
H11 = promised(
    "its lines are valid", "it has one Host at most", "its last coding is chunked", "its body is as long as announced"
)
SUBJECTS = [
    pytest.param(read_with_door, PROMISES, set(Ending), 1, id="door"),
    pytest.param(read_with_httptools, HTTPTOOLS, {Ending.WAITS, Ending.REFUSED, Ending.UPGRADED}, 1, id="httptools"),
    pytest.param(read_with_h11, H11, {Ending.WAITS, Ending.REFUSED, Ending.CLOSED}, 5, id="h11"),
]
"""Parser, what it promises of every request (the door promises all), its endings, and how much slower it is."""
SEED = 20_240


@pytest.mark.parametrize(("subject", "promises", "endings", "slower"), SUBJECTS)
def test_ten_thousand_mutants(subject: Subject, promises: Promises, endings: set[Ending], slower: int) -> None:
    print(f"seed {SEED}")
    assert run(subject, promises, SEED, 10_000 // slower) == endings


@pytest.mark.parametrize(("subject", "promises", "endings", "slower"), SUBJECTS)
def test_a_thousand_mutants_byte_by_byte(
    subject: Subject, promises: Promises, endings: set[Ending], slower: int
) -> None:
    print(f"seed {SEED + 1}")
    assert run(subject, promises, SEED + 1, 1_000 // slower, in_bytes=True) == endings


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("subject", "promises", "endings", "slower"), SUBJECTS)
def test_a_million_mutants(subject: Subject, promises: Promises, endings: set[Ending], slower: int) -> None:
    print("seeds 0 to 9")
    for seed in range(10):
        assert run(subject, promises, seed, 100_000 // slower) == endings


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("subject", "promises", "endings", "slower"), SUBJECTS)
def test_twenty_thousand_mutants_byte_by_byte(
    subject: Subject, promises: Promises, endings: set[Ending], slower: int
) -> None:
    print("seed 10")
    assert run(subject, promises, 10, 20_000, in_bytes=True) == endings


def test_a_seed_gives_the_same_mutants_again() -> None:
    assert list(mutants(3, 200)) == list(mutants(3, 200))
    assert len(set(mutants(3, 200))) > 150
    assert list(mutants(3, 200)) != list(mutants(4, 200))


def test_a_broken_promise_names_its_mutant() -> None:
    with pytest.raises(AssertionError, match=r"seed 1, mutant \d+: \['it has one Host at most'\]"):
        run(read_with_httptools, promised("it has one Host at most"), 1, 5_000)


def test_a_reading_that_depends_on_the_cut_names_its_mutant() -> None:
    def forgetful(pieces: Iterable[bytes]) -> Reading:
        return read_with_httptools([piece for piece in pieces if len(piece) > 1])

    with pytest.raises(AssertionError, match=r"seed 1, mutant 0: .* cut as"):
        run(forgetful, {}, 1, 10, in_bytes=True)
