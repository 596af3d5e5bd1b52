"""The operator's endpoints: on control hosts, on a listener of their own, and nowhere else."""

import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse_text

from tests.system.clients import RawClient, http_client, websocket
from tests.system.conftest import app_only, small_stack, tunnel_only
from tests.system.harness import DOMAIN, LOOPBACK, Stack, free_port
from tests.system.outcomes import status
from tests.system.process import Processes, wait_until
from tests.system.test_drain import ADMIN, BEARER, ask, ready

pytestmark = [pytest.mark.anyio, tunnel_only]

METRICS = "GET /metrics HTTP/1.1"
DRAIN = "POST /-/drain HTTP/1.1"

Make = Callable[..., Stack]


@pytest.fixture
def admin_port() -> int:
    return free_port()


@pytest.fixture
def token_file(tmp_path: Path) -> str:
    (tmp_path / "admin-token").write_text(ADMIN)
    return "admin-token"


def code(port: int, line: str, *fields: str, host: str = "localhost") -> tuple[int, str]:
    """The status, and the code of a page of the gateway's own."""
    answer = ask(port, line, "Accept: application/json", *fields, host=host)
    try:
        return answer.status, json.loads(answer.body)["code"]
    except (ValueError, KeyError):
        return answer.status, ""


def metrics_of(port: int, *fields: str) -> dict[tuple[str, ...], float]:
    """(name, label values) -> value, as a scraper reads it."""
    answer = ask(port, METRICS, *fields)
    assert answer.status == 200
    assert answer.one("content-type").startswith("text/plain; version=")
    return {
        (sample.name, *(sample.labels[label] for label in sorted(sample.labels))): sample.value
        for family in parse_text(answer.body.decode())
        for sample in family.samples
    }


def total(samples: dict[tuple[str, ...], float], name: str) -> float:
    return sum(value for key, value in samples.items() if key[0] == name)


# --- a listener of its own


@app_only("it has no second listener")
async def test_on_loopback_it_needs_no_token_and_counts_what_was_carried(own_stack: Make, admin_port: int) -> None:
    stack = own_stack(admin_bind=f"{LOOPBACK}:{admin_port}").start()
    before = metrics_of(admin_port)
    assert total(before, "websocket_connections_active") == 0
    async with http_client() as http, websocket(stack.url("ws", "/echo", "ws"), compression=None) as client:
        assert await status(http, stack) == 200
        await client.send("twelve bytes")
        assert await client.recv() == "twelve bytes"
        during = metrics_of(admin_port)
    assert total(during, "websocket_connections_active") == 1
    for name in ("websocket_messages_total", "websocket_bytes_total"):
        each = 1 if "messages" in name else 12
        assert during[name, "client_to_service"] - before.get((name, "client_to_service"), 0) == each
        assert during[name, "service_to_client"] - before.get((name, "service_to_client"), 0) == each
    assert total(during, "websocket_message_duration_seconds_count") == 2
    assert during["gateway_requests_total", "GET", "ok", "2xx"] == 1
    assert during["gateway_requests_total", "GET", "ok", "1xx"] == 1, "the handshake"
    wait_until(lambda: total(metrics_of(admin_port), "websocket_connections_active") == 0, 30, "the WebSocket is gone")


@app_only("it has no second listener")
def test_metrics_name_no_secret_and_no_address(own_stack: Make, admin_port: int, token_file: str) -> None:
    stack = own_stack(admin_bind=f"{LOOPBACK}:{admin_port}", admin_token_file=token_file).start()
    with RawClient(stack.address("plain")) as client:
        client.request("GET /small?n=secret-query HTTP/1.1", "plain", "Authorization: Bearer secret-of-a-client")
        assert client.answer().status == 200
    body = ask(admin_port, METRICS, BEARER).body.decode()
    for secret in (ADMIN, "secret-query", "secret-of-a-client", "token-of-the-system-tests", f"plain.{DOMAIN}"):
        assert secret not in body


@app_only("it has no second listener")
def test_it_listens_by_the_time_the_gateway_says_that_it_is_ready(own_stack: Make, admin_port: int) -> None:
    stack = own_stack(admin_bind=f"{LOOPBACK}:{admin_port}")
    stack.start_gateway()
    with socket.socket() as probe:
        assert probe.connect_ex((LOOPBACK, admin_port)) == 0


@pytest.fixture(scope="module")
def open_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def beside(module_processes: Processes, tmp_path_factory: pytest.TempPathFactory, open_port: int) -> Stack:
    """The operator's listener is on loopback, at `open_port`, and asks for no token. No test here changes anything."""
    folder = tmp_path_factory.mktemp("beside")
    return small_stack(folder, module_processes, admin_bind=f"{LOOPBACK}:{open_port}").start()


@app_only("it has no second listener")
def test_only_the_operators_paths_are_there(beside: Stack, open_port: int) -> None:
    for host in ("localhost", f"{LOOPBACK}:{open_port}", f"plain.{DOMAIN}"):
        for line in ("GET /small?n=1 HTTP/1.1", "GET /agent HTTP/1.1", "GET /readyz HTTP/1.1"):
            assert ask(open_port, line, host=host).status == 404
    assert ready(beside) == (200, b"ready\n")


@app_only("it has no second listener")
def test_without_a_token_it_answers_to_names_of_this_machine_only(beside: Stack, open_port: int) -> None:
    """A page in a browser here could otherwise come in under a name of its own that leads to loopback."""
    for host in ("localhost", f"{LOOPBACK}:{open_port}"):
        assert ask(open_port, METRICS, host=host).status == 200
    for host in (f"plain.{DOMAIN}", "rebound.example"):
        for line in (METRICS, DRAIN):
            assert ask(open_port, line, host=host).status == 403
    assert ready(beside) == (200, b"ready\n")


def test_without_a_token_the_public_listener_has_none_of_it(beside: Stack) -> None:
    for host in ("localhost", LOOPBACK):
        assert code(beside.port, METRICS, host=host) == (404, "no_route")
        assert code(beside.port, DRAIN, host=host) == (404, "no_route")
    assert ready(beside) == (200, b"ready\n")


@app_only("it has no second listener")
def test_with_a_token_it_asks_for_it(own_stack: Make, admin_port: int, token_file: str) -> None:
    own_stack(admin_bind=f"{LOOPBACK}:{admin_port}", admin_token_file=token_file).start(agent=False)
    for line in (METRICS, DRAIN):
        assert code(admin_port, line) == (401, "admin_token_needed")
        assert code(admin_port, line, "Authorization: Bearer wrong-token-wrong-token") == (401, "admin_token_needed")
    assert ask(admin_port, METRICS, BEARER).status == 200
    assert ask(admin_port, DRAIN, BEARER).status in (200, 202)


def test_with_a_listener_of_its_own_nothing_of_it_is_public(own_stack: Make, admin_port: int, token_file: str) -> None:
    """docs/deployment.md: `/metrics` and `/-/...` never stand beside public traffic."""
    stack = own_stack(admin_bind=f"{LOOPBACK}:{admin_port}", admin_token_file=token_file).start(agent=False)
    for host in ("localhost", LOOPBACK):
        assert code(stack.port, METRICS, BEARER, host=host) == (404, "no_route")
        assert code(stack.port, DRAIN, BEARER, host=host) == (404, "no_route")


def test_elsewhere_than_on_loopback_it_does_not_start_without_a_token(own_stack: Make, admin_port: int) -> None:
    stack = own_stack(admin_bind=f"0.0.0.0:{admin_port}")
    config = str(stack.write_config())
    gateway = stack.processes.python("gateway", "app", "--config", config, "--port", str(stack.port))
    assert gateway.wait_end() == 2
    assert "admin_bind" in gateway.output()[-1]


def test_a_port_that_is_taken_stops_the_start_and_is_named(own_stack: Make, admin_port: int) -> None:
    with socket.socket() as other:
        other.bind((LOOPBACK, admin_port))
        other.listen()
        stack = own_stack(admin_bind=f"{LOOPBACK}:{admin_port}")
        config = str(stack.write_config())
        gateway = stack.processes.python("gateway", "app", "--config", config, "--port", str(stack.port))
        assert gateway.wait_end() == 1
    said = "\n".join(gateway.output())
    assert "Traceback" not in said
    assert str(admin_port) in said
    assert "ready:" not in said


@app_only("it has no second listener")
async def test_it_outlives_the_drain_and_not_the_process(own_stack: Make, admin_port: int) -> None:
    stack = own_stack(admin_bind=f"{LOOPBACK}:{admin_port}").start()
    answer = ask(admin_port, "POST /-/drain?wait=20 HTTP/1.1")
    assert (answer.status, json.loads(answer.body)["message"]) == (200, "drained")
    with socket.socket() as probe:
        assert probe.connect_ex((LOOPBACK, stack.port)) != 0
    assert total(metrics_of(admin_port), "websocket_connections_active") == 0
    assert stack.gateway.stop() == 0
    with socket.socket() as probe:
        assert probe.connect_ex((LOOPBACK, admin_port)) != 0


# --- on the control hosts


@pytest.fixture(scope="module")
def public(module_processes: Processes, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """Without a listener of its own: the token opens it beside public traffic. No test here changes anything."""
    folder = tmp_path_factory.mktemp("public")
    (folder / "admin-token").write_text(ADMIN)
    settings = {"admin_token_file": "admin-token", "public_url": "http://tunnel.example.test"}
    return small_stack(folder, module_processes, **settings).start()


def test_the_token_opens_it_on_every_control_host(public: Stack) -> None:
    for host in ("localhost", f"localhost:{public.port}", "LOCALHOST.", "tunnel.example.test", LOOPBACK):
        assert ask(public.port, METRICS, BEARER, host=host).status == 200, host
        assert code(public.port, METRICS, host=host) == (401, "admin_token_needed"), host
    assert ask(public.port, METRICS, BEARER, host=f"{LOOPBACK}:{public.port}").status == 200


@pytest.mark.parametrize("host", ["nobody.example.test", "127.0.0.2", "[::1]", "localhost.example.test", "0.0.0.0"])
def test_on_any_other_host_there_is_no_such_thing(public: Stack, host: str) -> None:
    for line in (METRICS, DRAIN):
        assert code(public.port, line, BEARER, host=host) == (404, "no_route")
    assert ready(public) == (200, b"ready\n")


def test_a_routed_hosts_paths_belong_to_its_service(public: Stack) -> None:
    for line in (METRICS, DRAIN, "GET /readyz HTTP/1.1", "GET /healthz HTTP/1.1"):
        answer = ask(public.port, line, BEARER, host=f"plain.{DOMAIN}")
        assert (answer.status, answer.body) == (404, b"no such path here")
    assert ready(public) == (200, b"ready\n")


@pytest.mark.parametrize("path", ["/metrics/", "/-", "/-/", "/-/nothing", "/metrics/x", "//metrics", "/%6detrics"])
def test_paths_beside_it_lead_nowhere(public: Stack, path: str) -> None:
    assert ask(public.port, f"GET {path} HTTP/1.1", BEARER).status == 404


def test_agents_are_let_in_on_control_hosts_only(public: Stack) -> None:
    upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
    upgrade += ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Authorization: Bearer token-of-the-system-tests")
    for host, expected in (("localhost", 101), (LOOPBACK, 101), ("nobody.example.test", 503), ("127.0.0.2", 503)):
        with RawClient((LOOPBACK, public.port)) as client:
            client.send("\r\n".join(["GET /agent HTTP/1.1", f"Host: {host}", *upgrade, "", ""]).encode())
            assert client.answer_head().status == expected, host
