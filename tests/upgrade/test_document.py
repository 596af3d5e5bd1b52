"""`docs/upgrading.md` names what is new since the recorded version."""

import re
import tomllib

from app.observed.metrics import Metrics
from app.rules import problems
from app.settings.schema import AgentEntry, File, RouteEntry, keys_of
from tests.system.process import ROOT
from tests.upgrade.metrics import exported, recorded_metrics
from tests.upgrade.recorded import FILES, KEPT, lines

DOCUMENT = (ROOT / "docs" / "upgrading.md").read_text(encoding="utf-8")
NAMED = set(re.findall(r"`(\w+)", DOCUMENT))


def new_keys() -> set[str]:
    recorded = tomllib.loads((FILES / "gateway.toml").read_text(encoding="utf-8"))
    tables = [recorded, *recorded["agents"], *recorded["routes"]]
    return {*keys_of(File), *keys_of(RouteEntry), *keys_of(AgentEntry)} - {key for table in tables for key in table}


def test_every_new_key():
    new = new_keys()
    assert "proxy_protocol" in new
    assert new - NAMED == set()


def test_every_new_key_is_among_those_that_the_previous_version_refuses():
    section = DOCUMENT.partition("### Going back\n")[2].partition("\n### ")[0]
    assert new_keys() - set(re.findall(r"`(\w+)`", section)) == set()


def test_every_new_metric():
    metrics = Metrics()
    metrics.tls.not_after = 1.0
    new = set(exported(metrics.render(None)[0].decode())) - set(recorded_metrics())
    assert "gateway_tls_certificate_expiry_timestamp_seconds" in new
    assert new - NAMED == set()


def test_every_new_answer():
    recorded = {line.split(" ")[0] for line in lines(KEPT / "problems.txt")}
    codes = {value.code for value in vars(problems).values() if isinstance(value, problems.Problem)}
    assert "too_many_connections" in codes - recorded
    assert codes - recorded - NAMED == set()


def test_what_is_said_to_stay_names_what_does_not():
    """The agent's JSON log had a traceback under a key of its own."""
    section = DOCUMENT.partition("\n### Wording\n")[2].partition("\n### ")[0]
    assert "`exception` is now `error`" in section
