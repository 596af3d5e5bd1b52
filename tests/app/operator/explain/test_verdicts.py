"""Every outcome has a verdict, and a place in the operator's guide."""

import re
from pathlib import Path

import pytest

from app.operator.explain.label import Label
from app.operator.explain.verdicts import CODES, VERDICTS, verdict_of

ROOT = Path(__file__).parents[4]
GUIDE = (
    (ROOT / "docs" / "operation.md")
    .read_text(encoding="utf-8")
    .partition("\n## Why does it not work?\n")[2]
    .partition("\n## ")[0]
)
NEVER_MET = {
    "too_many_connections", "websockets_unavailable", "websocket_version", "version_not_supported", "target_too_long",
    "head_too_large", "too_large_for_agent", "head_timeout", "request_timeout", "body_too_large", "body_framing",
}  # fmt: skip
"""About a client's own connection, body or head."""
OUTCOMES = {*CODES, "broken_off", "client_left"}
ROWS = [
    [set(re.findall(r"`(\w+)`", cell)) for cell in row.strip("|").split("|")]
    for row in re.findall(r"^\|.*\|$", GUIDE, re.MULTILINE)
]


def test_every_outcome_of_a_probe_and_every_label_has_a_verdict():
    assert set(VERDICTS) == (OUTCOMES - NEVER_MET) | set(Label)


@pytest.mark.parametrize("label", sorted(VERDICTS))
def test_a_verdict_is_a_sentence_without_its_end_and_a_hint_is_whole_sentences(label: str):
    verdict = verdict_of(label)
    assert verdict.text[0].islower() or verdict.text.startswith("TLS ")
    assert not verdict.text.endswith(".")
    assert verdict.hint == "" or (verdict.hint[0].isupper() and verdict.hint.endswith((".", "?")))


@pytest.mark.parametrize("code", sorted(NEVER_MET))
def test_what_is_never_met_would_be_told_as_clients_are(code: str):
    assert (verdict_of(code).text, verdict_of(code).hint) == (CODES[code].what, CODES[code].hint)


@pytest.mark.parametrize("label", sorted(VERDICTS))
def test_the_guide_has_it(label: str):
    assert f"`{label}`" in GUIDE


def test_the_guide_says_what_is_never_met():
    told = GUIDE.rpartition("A probe never meets these")[2]
    assert set(re.findall(r"`(\w+)`", told)) == NEVER_MET


def test_the_guide_has_no_other_reasons():
    """A reason that is renamed must not stay behind."""
    reasons = {name for row in ROWS if len(row) == 4 for name in row[1]}
    assert reasons <= set(Label)
    codes = {name for row in ROWS if len(row) == 4 for name in row[0]}
    assert codes - {"code"} <= OUTCOMES | {"ok"}


@pytest.mark.parametrize(
    "question", ["Why is it 404?", "Why is it 503?", "Why is it 502?", "Why does my WebSocket not open?"]
)
def test_each_question_has_its_command(question: str):
    part = GUIDE.partition(f"### {question}\n")[2].partition("\n### ")[0]
    assert "`tunnel-gateway explain " in part
