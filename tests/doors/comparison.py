"""Compares what a subject read of a case with the verdict about the case, as far as a parser can know it."""

from tests.doors.case import Answered, Case, Opened, Outcome, Refused, Seen
from tests.doors.subjects import Ending, Read, Reading

Differences = dict[str, tuple[str, ...]]
"""By reason, the names of the cases that a subject reads otherwise."""


def difference(case: Case, reading: Reading) -> str:
    """What the subject read otherwise than the verdict says; empty where they agree."""
    found = _difference(case, reading)
    if found and case.also is not None:
        found = _difference(Case(case.name, case.sent, case.also, case.rule), reading) and found
    return found


def _difference(case: Case, reading: Reading) -> str:
    outcomes, whole = case.verdict.outcomes, [item for item in reading.requests if item.is_whole]
    for number, outcome in enumerate(outcomes):
        if isinstance(outcome, Answered):
            return ""
        read = whole[number] if number < len(whole) else None
        found = _one(outcome, read, reading)
        if found or isinstance(outcome, Refused):
            return found
    if len(whole) > len(outcomes) and case.verdict.stays is not False:
        return f"reads a request more, {whole[len(outcomes)].method!r}"
    if reading.ending is Ending.REFUSED and case.verdict.stays is not False and not case.then:
        return "refuses what is behind it" if outcomes else "refuses it"
    return ""


def _one(outcome: Outcome, read: Read | None, reading: Reading) -> str:
    if isinstance(outcome, Refused):
        if 404 in outcome.statuses:  # no parser knows what is routed
            return ""
        return "takes it" if read is not None else "" if reading.ending is Ending.REFUSED else "waits for more"
    if read is None:
        return "refuses it" if reading.ending is Ending.REFUSED else "waits for more"
    assert isinstance(outcome, Seen | Opened)
    method, body = (outcome.method, outcome.body) if isinstance(outcome, Seen) else (b"GET", b"")
    if read.method != method:
        return "reads another method"
    if read.target != outcome.target:
        return "reads another target"
    if read.body != body:
        return "reads another body"
    return ""
