"""The agent's metrics, as Prometheus' own parser reads them, and as the documentation names them."""

import re
from pathlib import Path

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from tests.tunnel.agent.reports import READY, WAITING, report_with
from tunnel.agent import metrics
from tunnel.agent.standing import Dial, State

DOCUMENT = Path(__file__).parents[3] / "docs" / "observability.md"


def samples_of(report):
    families = text_string_to_metric_families(metrics.render(report))
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value for family in families for sample in family.samples
    }


def test_what_a_scraper_reads():
    samples = samples_of(report_with(READY, WAITING))
    a, b = ("gateway", READY.gateway), ("gateway", WAITING.gateway)
    assert samples["agent_build_info", ("dialect", "yamux"), ("python", "3.11.7"), ("version", "1.2.3")] == 1
    assert samples["agent_uptime_seconds",] == 3_725
    assert [samples["agent_links", a, ("state", state)] for state in State] == [0, 0, 1, 0, 0]
    assert [samples["agent_links", b, ("state", state)] for state in State] == [0, 0, 0, 1, 0]
    dials = {dial: samples["agent_dials_total", ("outcome", dial)] for dial in Dial}
    assert {dial: number for dial, number in dials.items() if number} == {"ready": 3, "unreachable": 2, "refused": 7}
    assert (samples["agent_link_reconnects_total", a], samples["agent_link_reconnects_total", b]) == (2, 0)
    assert samples["agent_round_trip_seconds", a] == 0.0123
    assert ("agent_round_trip_seconds", b) not in samples
    assert samples["agent_streams_active",] == 3
    assert samples["agent_streams_refused_total", ("kind", "refused")] == 4
    assert samples["agent_bytes_total", ("direction", "client_to_service")] == 2_048
    assert samples["agent_bytes_total", ("direction", "service_to_client")] == 5 * 1024 * 1024
    assert (samples["agent_held_bytes",], samples["agent_held_bytes_limit",]) == (12, 64 * 1024 * 1024)


def test_a_label_is_what_it_was_whatever_is_in_it():
    hostile = 'wss://a/"\\\n# TYPE x counter\nx{y="'
    samples = samples_of(report_with(msgspec.structs.replace(READY, gateway=hostile)))
    assert samples["agent_round_trip_seconds", ("gateway", hostile)] == 0.0123
    assert {key[0] for key in samples} == {key[0] for key in samples_of(report_with(READY))}


def test_every_family_says_what_it_is():
    families = list(text_string_to_metric_families(metrics.render(report_with(READY))))
    assert len(families) >= 11
    assert all(family.documentation and family.type in {"gauge", "counter"} for family in families)
    assert metrics.render(report_with(READY)).endswith("\n")


def test_the_documentation_names_them_all():
    exported = set(re.findall(r"^# TYPE (\S+)", metrics.render(report_with(READY)), re.MULTILINE))
    section = DOCUMENT.read_text(encoding="utf-8").partition("\n## The agent's metrics\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(agent_\w+)`", section, re.MULTILINE)) == exported
