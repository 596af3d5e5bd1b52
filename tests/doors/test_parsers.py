"""The corpus before the door's reader, which reads as the verdicts say, and before other people's parsers.

Every difference of theirs from the verdicts is listed, with its reason: what each of them would let through, or keep
out. Each case is read whole and byte by byte. Another subject is one more row.
"""

import pytest

from tests.doors.comparison import Differences, difference
from tests.doors.corpus import CASES
from tests.doors.differences.of_h11 import H11, H11_BY_THE_CUT
from tests.doors.differences.of_httptools import HTTPTOOLS
from tests.doors.subject_door import read_with_door
from tests.doors.subjects import Reading, Subject, read_with_h11, read_with_httptools

DOOR: Differences = {"a policy refuses it, which a reader does not know": ("methods: TRACE",)}
SUBJECTS = [
    pytest.param(read_with_door, DOOR, id="door"),
    pytest.param(read_with_httptools, HTTPTOOLS, id="httptools"),
    pytest.param(read_with_h11, H11, id="h11"),
]
IN_BYTES = 4_000
"""Longer cases are cut at some places only: h11 looks at all it holds with each piece."""


def in_pieces(data: bytes) -> list[bytes]:
    size = 1 if len(data) <= IN_BYTES else len(data) // 7
    return [data[start : start + size] for start in range(0, len(data), size)]


def read_all(subject: Subject) -> dict[str, Reading]:
    return {name: subject([case.sent + case.then]) for name, case in CASES.items()}


@pytest.mark.parametrize(("subject", "known"), SUBJECTS)
def test_every_difference_is_listed_and_every_listed_one_is_there(subject: Subject, known: Differences) -> None:
    found = {name: difference(CASES[name], reading) for name, reading in read_all(subject).items()}
    listed = [name for names in known.values() for name in names]
    assert len(listed) == len(set(listed))
    assert {name: text for name, text in found.items() if text and name not in listed} == {}
    assert [name for name in listed if not found[name]] == []


@pytest.mark.parametrize(
    ("subject", "known"),
    [
        pytest.param(read_with_door, (), id="door"),
        pytest.param(read_with_httptools, (), id="httptools"),
        pytest.param(read_with_h11, H11_BY_THE_CUT, id="h11"),
    ],
)
def test_a_case_reads_the_same_however_it_is_cut(subject: Subject, known: tuple[str, ...]) -> None:
    other = [
        name
        for name, reading in read_all(subject).items()
        if subject(in_pieces(CASES[name].sent + CASES[name].then)).settled != reading.settled
    ]
    assert other == list(known)


def test_the_corpus_is_as_large_as_it_is_meant_to_be() -> None:
    assert len(CASES) >= 400
    assert len({(case.sent, case.then) for case in CASES.values()}) > 1_000
