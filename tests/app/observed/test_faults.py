"""Whose fault each outcome is: all of them have a verdict, and each error that breaks an answer off."""

import re
from pathlib import Path

from app.observed.metrics import breaker_of
from app.observed.metrics.faults import OF_OUTCOME, Fault, fault_of
from app.observed.metrics.labels import OUTCOMES
from tunnel.errors import BadAnswerError, ClientTooSlowError, LinkLostError, ServiceBrokeOffError, StoppingError


def test_every_outcome_has_a_verdict():
    assert set(OF_OUTCOME) == OUTCOMES - {"ok", "broken_off"}


def test_what_nobody_foresaw_is_the_tunnels():
    assert fault_of(500, "other") is Fault.TUNNEL


def test_who_breaks_an_answer_off():
    errors = [LinkLostError("x"), StoppingError("x"), ServiceBrokeOffError("x"), BadAnswerError("x"), ValueError("x")]
    assert [breaker_of(error) for error in errors] == ["gateway", "gateway", "service", "service", "client"]
    assert breaker_of(ClientTooSlowError("x")) == "client"


def test_the_document_has_the_same_verdicts():
    document = (Path(__file__).parents[3] / "docs" / "observability.md").read_text(encoding="utf-8")
    table = document.partition("| `fault` | outcomes |")[2].partition("\n\n")[0]
    rows = {
        fault: set(re.findall(r"`(\w+)`", codes))
        for fault, codes in re.findall(r"^\| `(\w+)` \| (.*) \|$", table, re.MULTILINE)
    }
    assert set(rows) == set(Fault)
    told = {code: fault for fault, codes in rows.items() for code in codes - {"ok"}}
    assert {code: fault for code, fault in OF_OUTCOME.items() if code in told} == told
    assert {code for code, fault in OF_OUTCOME.items() if fault in (Fault.SERVICE, Fault.TUNNEL)} - set(told) == set()
