"""What a check prints, and when it has failed."""

import json

import click

from tunnel.agent.check.findings import Findings, as_json, as_text, failed


def everything():
    findings = Findings("wss://g/agent")
    findings.ok("dns", "g is 192.0.2.1")
    findings.warn("clock", "90 s behind", "set it")
    findings.fail("tls", "expired", "renew it")
    findings.skip("not tried", "upgrade", "token")
    return findings.found


def test_only_a_failure_fails():
    found = everything()
    assert failed(found)
    assert not failed([finding for finding in found if finding.step != "tls"])
    assert not failed([])


def test_for_people():
    assert click.unstyle(as_text(everything())).splitlines() == [
        "wss://g/agent",
        "  ok       dns       g is 192.0.2.1",
        "  warning  clock     90 s behind",
        "                     -> set it",
        "  failed   tls       expired",
        "                     -> renew it",
        "  skipped  upgrade   not tried",
        "  skipped  token     not tried",
        "1 failed, 1 to look at",
    ]
    assert click.unstyle(as_text(everything()[:1])).splitlines()[-1] == "all is well"


def test_for_machines():
    told = json.loads(as_json(everything()))
    assert told["ok"] is False
    assert told["checks"][2] == {
        "subject": "wss://g/agent", "step": "tls", "verdict": "failed", "text": "expired", "next": "renew it",
    }  # fmt: skip
    assert told["checks"][0]["next"] is None
    assert json.loads(as_json(everything()[:1]))["ok"] is True
