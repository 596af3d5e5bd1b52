"""Every query of the dashboards, the rules and the pages against a running gateway that has had traffic.

Everywhere its names are looked for in a scrape. Where Prometheus is installed it scrapes the gateway too, loads the
rules, and evaluates every query: none fails, and what a dashboard shows is not empty.
"""

import json
import shutil
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest

from tests.k8s.queries import RULES, missing, queries, scraped
from tests.system.clients import websocket
from tests.system.conftest import app_only, tunnel_only
from tests.system.harness import DOMAIN, LOOPBACK, Service, Stack, free_port
from tests.system.process import Process, Processes, wait_until
from tests.system.test_drain import ADMIN
from tests.system.tls_stack import TlsClient, TlsStack

pytestmark = [pytest.mark.anyio, tunnel_only, app_only("it has no TLS and no admin_bind")]

PROMETHEUS = shutil.which("prometheus")
SCRAPES = 3
STRANGER = [
    "GET /agent HTTP/1.1", "Host: localhost", "Authorization: Bearer nobody-knows-this-token",
    "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==",
]  # fmt: skip
"""An agent that is refused."""
CONFIG = """
global: {{scrape_interval: 500ms, evaluation_interval: 500ms}}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: tunnel-gateway
    authorization: {{credentials: "{token}"}}
    static_configs: [{{targets: ["{gateway}"]}}]
"""


class Observed:
    """A gateway with TLS, a state, an agent and a cluster without one, which has served and refused.

    It is one of several nodes, and alone for now: there is no NATS.
    """

    def __init__(self, folder: Path, processes: Processes) -> None:
        self.admin = f"{LOOPBACK}:{free_port()}"
        self.stack = Stack(folder, processes, {"admin_bind": self.admin, "state_dir": "state", "reconnect_grace": 0})
        self.stack.add_program("plain", "tests.services.plain")
        self.stack.add_program("ws", "tests.services.websocket")
        self.stack.add(Service("agentless", 1, cluster="c2"))
        self.tls = TlsStack(self.stack)

    async def have_traffic(self) -> None:
        """A request that is served, one whose agent is away, an agent that is refused, and a WebSocket."""
        assert self.tls.small(1)
        for lines in (["GET / HTTP/1.1", f"Host: agentless.{DOMAIN}"], STRANGER):
            with TlsClient(self.tls) as client:
                client.send("\r\n".join([*lines, "", ""]).encode())
                assert client.answer().status == 503
        async with websocket(self.stack.url("ws", "/echo", "wss"), ssl=self.tls.authority.client()) as client:
            await client.send("one")
            assert await client.recv() == "one"
        wait_until(lambda: "gateway_websocket_closes_total{" in self.scrape(), 10, "its end was counted")

    def scrape(self) -> str:
        asked = Request(f"http://{self.admin}/metrics", headers={"Authorization": f"Bearer {ADMIN}"})
        with urlopen(asked) as answer:
            return str(answer.read().decode())


@pytest.fixture(scope="module")
async def observed(module_processes: Processes, tmp_path_factory: pytest.TempPathFactory) -> Observed:
    folder = tmp_path_factory.mktemp("observed")
    (folder / "peer-secret").write_text("a-secret-of-all-nodes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GATEWAY_CLUSTER_SERVERS", f"nats://{LOOPBACK}:{free_port()}")
        patch.setenv("GATEWAY_CLUSTER_PEER_BIND", f"{LOOPBACK}:{free_port()}")
        patch.setenv("GATEWAY_CLUSTER_PEER_SECRET_FILE", str(folder / "peer-secret"))
        observed = Observed(folder, module_processes)
    await observed.have_traffic()
    return observed


async def test_every_name_in_every_query_is_in_a_scrape(observed: Observed):
    samples = scraped(observed.scrape())
    asked = queries()
    assert len(asked) > 80
    wrong = {where: found for where, query in asked.items() if (found := missing(query, samples))}
    assert wrong == {}


async def test_requests_and_websockets_count_for_their_clusters(observed: Observed):
    lines = observed.scrape().splitlines()
    for line in (
        'gateway_cluster_requests_total{cluster="c1",fault="none",status_class="2xx"} 1.0',
        'gateway_cluster_requests_total{cluster="c1",fault="none",status_class="1xx"} 1.0',
        'gateway_cluster_requests_total{cluster="c1",fault="tunnel",status_class="5xx"} 0.0',
        'gateway_cluster_requests_total{cluster="c2",fault="tunnel",status_class="5xx"} 1.0',
        'gateway_cluster_request_head_seconds_count{cluster="c1"} 2.0',
        'gateway_cluster_request_head_seconds_count{cluster="c2"} 0.0',
        'gateway_cluster_websockets_cut_total{cluster="c1"} 0.0',
    ):
        assert line in lines


# --- with Prometheus


def may_be_empty(where: str, query: str) -> bool:
    """Alerts and annotations show what is not the case here; a comparison leaves out what is 0."""
    is_alert = where.startswith("rule Gateway")
    return is_alert or any(sign in query for sign in ("> 0", "== 1"))


class Prometheus:
    """A Prometheus of the test's own, which scrapes one gateway."""

    def __init__(self, folder: Path, processes: Processes, gateway: str) -> None:
        port = free_port()
        config = folder / "prometheus.yml"
        config.write_text(CONFIG.format(rules=RULES, token=ADMIN, gateway=gateway))
        self._base = f"http://{LOOPBACK}:{port}/api/v1"
        self.process: Process = processes.start("prometheus", [
            str(PROMETHEUS), f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}",
            f"--web.listen-address={LOOPBACK}:{port}", "--log.level=warn",
        ])  # fmt: skip
        self.process.wait_port(port)

    def _ask(self, path: str, **query: str) -> dict[str, object]:
        with urlopen(f"{self._base}/{path}?{urlencode(query)}") as answer:
            got: dict[str, dict[str, object]] = json.load(answer)
        assert got["status"] == "success", got
        assert "warnings" not in got, got
        return got["data"]

    def evaluate(self, query: str) -> object:
        """Raises HTTPError for a query that it cannot evaluate."""
        return self._ask("query", query=query)["result"]

    def has_scraped(self) -> bool:
        try:
            return bool(self.evaluate(f"count_over_time(gateway_build_info[1m]) >= {SCRAPES}"))
        except OSError:  # not ready yet
            return False

    def unhealthy_rules(self) -> list[object]:
        groups = self._ask("rules")["groups"]
        assert isinstance(groups, list)
        return [rule for group in groups for rule in group["rules"] if rule["health"] != "ok"]


@pytest.mark.slow
@pytest.mark.skipif(PROMETHEUS is None, reason="no Prometheus here (Debian: apt install prometheus)")
async def test_prometheus_evaluates_every_query(observed: Observed, processes: Processes, tmp_path: Path):
    prometheus = Prometheus(tmp_path, processes, observed.admin)
    wait_until(prometheus.has_scraped, 30, f"{SCRAPES} scrapes")
    wait_until(lambda: not prometheus.unhealthy_rules(), 15, "each rule was evaluated")
    empty = [
        where for where, query in queries().items() if not prometheus.evaluate(query) and not may_be_empty(where, query)
    ]
    assert empty == []
