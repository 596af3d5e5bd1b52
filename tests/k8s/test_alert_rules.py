"""Each alert fires when it should, with the labels that it needs, and not otherwise: `promtool test rules`, row by row.

A row gives the series minute by minute, in promtool's notation: `0+5x60` counts up by 5 for an hour, `1x9` stays at 1.
"""

import json
import shutil
import subprocess
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.k8s.charts import parsed
from tests.k8s.queries import RULES, alerts

PROMTOOL = shutil.which("promtool")

Series = dict[str, str]
ONE = 'instance="g1", job="gw"'
OF_INSTANCE = {"instance": "g1", "job": "gw"}
OF_C1 = {"cluster": "c1"}


def requests(good: str, tunnel: str = "0x9999", **others: str) -> Series:
    """Of cluster c1."""
    given = {"none": good, "tunnel": tunnel, **others}
    return {
        f'gateway_cluster_requests_total{{cluster="c1", fault="{fault}", {ONE}}}': how for fault, how in given.items()
    }


def heads(within: str, every: str) -> Series:
    name = "gateway_cluster_request_head_seconds"
    return {f'{name}_bucket{{cluster="c1", le="1.0", {ONE}}}': within, f'{name}_count{{cluster="c1", {ONE}}}': every}


def series(name: str, how: str, labels: str = "") -> Series:
    return {f"{name}{{{labels}{', ' if labels else ''}{ONE}}}": how}


def hops(through: str, **others: str) -> Series:
    """To other nodes."""
    given = {"through": through, **others}
    return {f'gateway_hops_total{{answer="{answer}", {ONE}}}': how for answer, how in given.items()}


BUILT = series("gateway_build_info", "1x9999", 'version="1"')


@dataclass
class Row:
    """One alert over some series."""

    alert: str
    given: Series
    at_minutes: int
    labels: dict[str, str] | None = field(default=None)
    """Of the alert that fires; None: none does."""
    every: str = "1m"
    """Between two samples, and two evaluations of the rules."""


LINK = 'gateway_links{cluster="c1", state="ready", '
LAG = "gateway_loop_lag_seconds"
HELD = "gateway_held_bytes"
MARK = 'mark="high"'
OWN = "gateway_node_state"
CONNECTED = 'state="connected"'
SYNCED = "gateway_bucket_synced"

ROWS = [
    # 2 % of failures burn 20 times too fast, 1 % 10 times, 0.2 % twice.
    Row("GatewayTunnelErrorsFast", requests("0+980x90", "0+20x90"), 90, OF_C1),
    Row("GatewayTunnelErrorsFast", requests("0+990x100", "0+10x100"), 500, OF_C1, every="5m"),
    Row("GatewayTunnelErrorsFast", requests("0+998x100", "0+2x100"), 500, every="5m"),
    Row("GatewayTunnelErrorsFast", requests("0+980x90", "0+20x60 1200x30"), 90),  # it is over
    Row("GatewayTunnelErrorsFast", requests("0+1x90", "0+0x60 0+1x5 5x25"), 66),  # five failures are no trend
    Row("GatewayTunnelErrorsFast", requests("0+980x90", service="0+500x90", client="0+500x90"), 90),  # not the tunnel's
    Row("GatewayTunnelErrorsSlow", requests("0+9980x150", "0+20x150"), 4_410, OF_C1, every="30m"),
    Row("GatewayTunnelErrorsSlow", requests("0+9995x150", "0+5x150"), 4_410, every="30m"),
    Row("GatewaySlowHeadsFast", heads("0+20x90", "0+100x90"), 90, OF_C1),
    Row("GatewaySlowHeadsFast", heads("0+90x90", "0+100x90"), 90),
    Row("GatewaySlowHeadsFast", heads("0+0x90", "0+1x90"), 60),  # sixty requests are no trend
    Row("GatewaySlowHeadsSlow", heads("0+900x150", "0+1000x150"), 4_410, OF_C1, every="30m"),
    Row("GatewaySlowHeadsSlow", heads("0+980x150", "0+1000x150"), 4_410, every="30m"),
    Row("GatewayClusterWithoutLink", {f"{LINK}{ONE}}}": "1x5 0x9"}, 9, OF_INSTANCE | OF_C1 | {"state": "ready"}),
    Row("GatewayClusterWithoutLink", {f"{LINK}{ONE}}}": "1x5 0x9"}, 7),
    Row("GatewayClusterWithoutLink", {f"{LINK}{ONE}}}": "0x9", **series("gateway_draining", "1x9")}, 9),
    Row("GatewayAgentReconnects", series("gateway_link_reconnects_total", "0+1x30", 'cluster="c1"'), 20,
        OF_INSTANCE | OF_C1),
    Row("GatewayAgentReconnects", series("gateway_link_reconnects_total", "0x5 2x25", 'cluster="c1"'), 10),
    Row("GatewayAgentReconnects",  # the gateway was restarted, and its ten agents came back
        series("gateway_link_reconnects_total", "0x5 9x25", 'cluster="c1"')
        | series("gateway_links", "10x30", 'cluster="c1", state="ready"'), 10),
    Row("GatewayAgentReconnects",  # one of two
        series("gateway_link_reconnects_total", "0+1x30", 'cluster="c1"')
        | series("gateway_links", "2x30", 'cluster="c1", state="ready"'), 20, OF_INSTANCE | OF_C1),
    Row("GatewayAgentsRefused", series("gateway_agents_refused_total", "0+4x60", 'reason="token"'), 30,
        OF_INSTANCE | {"reason": "token"}),
    Row("GatewayAgentsRefused", series("gateway_agents_refused_total", "0x5 4x60", 'reason="token"'), 30),
    Row("GatewayAbsent", {"other": "1x20"}, 10, {}),
    Row("GatewayAbsent", BUILT, 10),
    Row("GatewayRestarts", BUILT | series("process_start_time_seconds", "1x5 2x5 3x5 4x5"), 20, OF_INSTANCE),
    Row("GatewayRestarts", BUILT | series("process_start_time_seconds", "1x5 2x20"), 20),
    Row("GatewayRestarts", series("process_start_time_seconds", "1x5 2x5 3x5 4x5"), 20),  # another program's
    Row("GatewayDrainsTooLong", series("gateway_draining", "0x5 1x30"), 20, OF_INSTANCE),
    Row("GatewayDrainsTooLong", series("gateway_draining", "0x5 1x30"), 12),
    Row("GatewayConfigRefused", series("gateway_config_last_reload_successful", "1x5 0x30"), 15, OF_INSTANCE),
    Row("GatewayConfigRefused", series("gateway_config_last_reload_successful", "1x5 0x3 1x30"), 15),
    Row("GatewayCertificateExpires", series("gateway_tls_certificate_expiry_timestamp_seconds", "864000x90"), 80,
        OF_INSTANCE),
    Row("GatewayCertificateExpires", series("gateway_tls_certificate_expiry_timestamp_seconds", "1728000x90"), 80),
    Row("GatewayMemoryNearMark", series(HELD, "90x20") | series(f"{HELD}_limit", "100x20", MARK), 10, OF_INSTANCE),
    Row("GatewayMemoryNearMark", series(HELD, "70x20") | series(f"{HELD}_limit", "100x20", MARK), 10),
    Row("GatewayOutOfRoom", series(f"{HELD}_state", "2x9"), 5, OF_INSTANCE),
    Row("GatewayOutOfRoom", series(f"{HELD}_state", "1x9"), 5),
    Row("GatewayConnectionsNearLimit",
        series("gateway_connections_active", "90x20") | series("gateway_connections_limit", "100x20"), 10, OF_INSTANCE),
    Row("GatewayConnectionsNearLimit",
        series("gateway_connections_active", "90x20") | series("gateway_connections_limit", "0x20"), 10),  # no limit
    Row("GatewayLoopLag", series(f"{LAG}_bucket", "0+100x40", 'le="0.1"') | series(f"{LAG}_count", "0+120x40"), 30,
        OF_INSTANCE),
    Row("GatewayLoopLag", series(f"{LAG}_bucket", "0+119x40", 'le="0.1"') | series(f"{LAG}_count", "0+120x40"), 30),
    Row("GatewayLogLinesDropped", series("gateway_log_lines_dropped_total", "0x5 7x20"), 10, OF_INSTANCE),
    Row("GatewayLogLinesDropped", series("gateway_log_lines_dropped_total", "7x30"), 20),
    Row("GatewayRoutesNotKept", series("gateway_state_kept", "0x20"), 10, OF_INSTANCE),
    Row("GatewayRoutesNotKept", series("gateway_state_kept", "1x20"), 10),
    Row("GatewayNodeCutOff", series(OWN, "1x5 0x9", CONNECTED), 9, OF_INSTANCE | {"state": "connected"}),
    Row("GatewayNodeCutOff", series(OWN, "1x5 0x1 1x9", CONNECTED), 9),
    Row("GatewayPeerLinkDown", series("gateway_peer_links", "0x5 1x9", 'state="lost"'), 9,
        OF_INSTANCE | {"state": "lost"}),
    Row("GatewayPeerLinkDown", series("gateway_peer_links", "3x20", 'state="up"'), 9),
    Row("GatewayBucketNotSynced", series(OWN, "1x20", CONNECTED) | series(SYNCED, "0x20", 'bucket="links"'), 9,
        OF_INSTANCE | {"bucket": "links"}),
    Row("GatewayBucketNotSynced", series(OWN, "0x20", CONNECTED) | series(SYNCED, "0x20", 'bucket="links"'), 9),
    Row("GatewayNatsFlaps", series("gateway_nats_losses_total", "0+1x60"), 40, OF_INSTANCE),
    Row("GatewayNatsFlaps", series("gateway_nats_losses_total", "0x5 2x60"), 40),
    Row("GatewayNodeFreezes", series("gateway_node_freezes_total", "0+1x60"), 40, OF_INSTANCE),
    Row("GatewayNodeFreezes", series("gateway_node_freezes_total", "0x5 1x60"), 40),
    Row("GatewayHopsDeclined", hops("0+90x40", not_here="0+6x40", busy="0+4x40"), 30, OF_INSTANCE),
    Row("GatewayHopsDeclined", hops("0+98x40", not_here="0+2x40", refused="0+50x40"), 30),
    Row("GatewayFilesDiffer", series("gateway_nodes_files_differ", "0x5 1x30"), 20, OF_INSTANCE),
    Row("GatewayFilesDiffer", series("gateway_nodes_files_differ", "0x5 1x5 0x30"), 20),
]  # fmt: skip


def as_promtool_reads_it(row: Row) -> dict[str, Any]:
    fired: list[dict[str, Any]] = []
    if row.labels is not None:
        given = {"alertname": row.alert, "alertstate": "firing", "severity": alerts()[row.alert]["labels"]["severity"]}
        labels = ", ".join(f'{name}="{value}"' for name, value in (given | row.labels).items())
        fired = [{"labels": f"ALERTS{{{labels}}}", "value": 1}]
    return {
        "interval": row.every,
        "input_series": [{"series": name, "values": values} for name, values in row.given.items()],
        "promql_expr_test": [{
            "expr": f'ALERTS{{alertname="{row.alert}", alertstate="firing"}}',
            "eval_time": f"{row.at_minutes}m",
            "exp_samples": fired,
        }],
    }  # fmt: skip


def told_by_promtool(rows: list[Row], folder: Path) -> str:
    """What it finds wrong; empty: nothing. Each row is evaluated with the rules of its alert's group, to save time."""
    told = ""
    (file,) = parsed(RULES.read_text(encoding="utf-8"))
    recording, *groups = file["groups"]
    for group, every in product(groups, sorted({row.every for row in rows})):
        own = {rule["alert"] for rule in group["rules"]}
        tests = [as_promtool_reads_it(row) for row in rows if row.alert in own and row.every == every]
        needed = [recording, group] if "cluster:" in str(group) else [group]
        (folder / "rules.json").write_text(json.dumps({"groups": needed}))  # JSON is YAML
        asked = {
            "rule_files": ["rules.json"], "evaluation_interval": every, "tests": tests,
            "group_eval_order": [one["name"] for one in needed],  # else it draws one
        }  # fmt: skip
        (folder / "test.json").write_text(json.dumps(asked))
        command = [str(PROMTOOL), "test", "rules", str(folder / "test.json")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        told += "" if done.returncode == 0 else done.stdout + done.stderr
    return told


def test_each_alert_has_a_row_that_fires_and_one_that_does_not():
    assert {row.alert for row in ROWS if row.labels is not None} == set(alerts())
    assert {row.alert for row in ROWS if row.labels is None} == set(alerts())


@pytest.mark.system
@pytest.mark.skipif(PROMTOOL is None, reason="no promtool here (Debian: apt install prometheus)")
def test_each_alert_fires_when_it_should_and_not_otherwise(tmp_path: Path):
    assert told_by_promtool(ROWS, tmp_path) == ""


@pytest.mark.system
@pytest.mark.skipif(PROMTOOL is None, reason="no promtool here (Debian: apt install prometheus)")
def test_promtool_would_notice(tmp_path: Path):
    assert "GatewayOutOfRoom" in told_by_promtool([Row("GatewayOutOfRoom", BUILT, 5, OF_INSTANCE)], tmp_path)
