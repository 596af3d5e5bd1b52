"""What a check found: a list of steps, each with its verdict and, where it is not well, the next step for a person.

Pure. Invariants: every finding that failed or warns says what to do; none has a secret.
"""

from collections.abc import Sequence
from enum import StrEnum

import click
import msgspec

LIMIT_SECONDS = 30.0
"""For all steps of a check. Most have 10 s each; many services that do not answer would take turns for minutes."""


class Verdict(StrEnum):
    """How one step came out."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"
    """A step before it failed, or there is nothing to try."""


class Finding(msgspec.Struct, frozen=True):
    """One step. `subject` is a gateway's URL, or a service."""

    subject: str
    step: str
    verdict: Verdict
    text: str
    next: str | None = None


_COLOURS = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.FAILED: "red"}


class Findings:
    """The findings about one subject, in order."""

    def __init__(self, subject: str) -> None:
        self._subject = subject
        self.found: list[Finding] = []

    def __repr__(self) -> str:
        return f"<Findings {self._subject} {len(self.found)}>"

    def ok(self, step: str, text: str) -> None:
        """It works."""
        self.found.append(Finding(self._subject, step, Verdict.OK, text))

    def warn(self, step: str, text: str, next_step: str) -> None:
        """It works, and is not as it should be."""
        self.found.append(Finding(self._subject, step, Verdict.WARNING, text, next_step))

    def fail(self, step: str, text: str, next_step: str) -> None:
        """An agent could not work so."""
        self.found.append(Finding(self._subject, step, Verdict.FAILED, text, next_step))

    def skip(self, text: str, *steps: str) -> None:
        """They were not tried."""
        self.found += [Finding(self._subject, step, Verdict.SKIPPED, text) for step in steps]


def unanswered(limit_seconds: float) -> tuple[str, str]:
    """Of a step that was under way when the time of the whole check was over: what happened, and what to do."""
    return (
        f"still unanswered when the {limit_seconds:g} s of this check were over",
        "check the network and the DNS here, then check again",
    )


def failed(findings: Sequence[Finding]) -> bool:
    """Whether an agent could not work so."""
    return any(finding.verdict is Verdict.FAILED for finding in findings)


def as_json(findings: Sequence[Finding]) -> str:
    """One object; its `ok` says whether none failed."""
    return msgspec.json.encode({"ok": not failed(findings), "checks": findings}).decode()


def as_text(findings: Sequence[Finding]) -> str:
    """For people: each subject with its steps below it, and a last line with the sum."""
    lines: list[str] = []
    subject = None
    for finding in findings:
        if finding.subject != subject:
            subject = finding.subject
            lines.append(click.style(subject, bold=True))
        verdict = click.style(f"{finding.verdict:<7}", fg=_COLOURS.get(finding.verdict))
        lines.append(f"  {verdict}  {finding.step:<8}  {finding.text}")
        if finding.next is not None:
            lines.append(f"  {'':7}  {'':8}  -> {finding.next}")
    counts = [sum(finding.verdict is verdict for finding in findings) for verdict in (Verdict.FAILED, Verdict.WARNING)]
    lines.append("all is well" if not any(counts) else f"{counts[0]} failed, {counts[1]} to look at")
    return "\n".join(lines)
