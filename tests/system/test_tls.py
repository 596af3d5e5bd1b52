"""TLS of the public listener, with real processes: clients, an agent over wss, renewals, and refused starts."""

import json
import signal
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.certificates import Authority
from tests.system.clients import WAIT_SECONDS, RawClient, http_client, websocket
from tests.system.conftest import app_only, tunnel_only
from tests.system.harness import LOOPBACK, Stack, free_port
from tests.system.process import Process, Processes
from tests.system.tls_stack import TlsClient, TlsStack

pytestmark = [pytest.mark.anyio, tunnel_only, app_only("it has no TLS of ours")]

RENEWED = "certificate renewed from"
REFUSED = "certificate not changed"


@pytest.fixture
def tls(own_stack: Callable[..., Stack]) -> TlsStack:
    return TlsStack(own_stack())


async def test_clients_and_the_agent_are_served(tls: TlsStack) -> None:
    url = tls.stack.url("plain", "/echo", "https")
    assert f"ready: https://{LOOPBACK}:{tls.stack.port}" in tls.gateway.wait_line("ready:")
    async with http_client() as http, http.get(url, ssl=tls.authority.client()) as answer:
        headers = dict(json.loads(await answer.read())["headers"])
    told = {name.lower(): value for name, value in headers.items()}
    assert told["x-forwarded-proto"] == "https"
    assert "proto=https" in told["forwarded"]
    async with websocket(tls.stack.url("ws", "/echo", "wss"), ssl=tls.authority.client()) as client:
        for message in ("text", b"binary", "x" * 300_000):
            await client.send(message)
            assert await client.recv() == message


def test_large_bodies_pass_whole(tls: TlsStack) -> None:
    size = 5_000_000
    with TlsClient(tls) as client:
        client.request(f"GET /download?size={size} HTTP/1.1", "plain")
        assert len(client.answer().body) == size
        client.request("POST /upload HTTP/1.1", "plain", f"Content-Length: {size}", body=bytes(size))
        assert json.loads(client.answer().body)["length"] == size


def test_versions_and_protocols(tls: TlsStack) -> None:
    with TlsClient(tls, alpn=("h2", "http/1.1")) as client:
        assert (client.tls.version(), client.tls.selected_alpn_protocol()) == ("TLSv1.3", "http/1.1")
    with TlsClient(tls, latest=ssl.TLSVersion.TLSv1_2) as client:
        assert (client.tls.version(), client.tls.selected_alpn_protocol()) == ("TLSv1.2", None)


def test_a_renewed_certificate_is_taken_up_and_a_bad_one_is_not(tls: TlsStack) -> None:
    with TlsClient(tls) as open_:
        before = open_.serial
        tls.renew()
        assert "valid until" in tls.gateway.wait_line(RENEWED)
        with TlsClient(tls) as new:
            after = new.serial
        assert after != before
        open_.request("GET /small?n=1 HTTP/1.1", "plain")
        assert open_.answer().body == b"small 1"
    tls.authority.put(tls.authority.key, b"no key")
    tls.gateway.signal(signal.SIGHUP)
    line = tls.gateway.wait_line(REFUSED)
    assert f"{tls.stack.folder / 'gateway.toml'}:2: tls_key: {tls.authority.key} has no private key" in line
    with TlsClient(tls) as client:
        assert client.serial == after
    counted = tls.metrics()
    assert counted['renewals_total{outcome="ok"}'] == 1
    assert counted['renewals_total{outcome="failed"}'] >= 1
    assert counted["certificate_expiry_timestamp_seconds"] > 0
    assert not [line for line in tls.gateway.output() if "is gone" in line]


def test_what_is_no_tls_costs_a_count_and_no_traceback(tls: TlsStack) -> None:
    before = tls.metrics()
    with RawClient((LOOPBACK, tls.stack.port)) as client:
        client.request("GET /small?n=1 HTTP/1.1", "plain")
        assert client.read_end() == b""
    with socket.create_connection((LOOPBACK, tls.stack.port), WAIT_SECONDS):
        pass
    tls.gateway.wait_line("TLS handshake unfinished")
    tls.gateway.wait_line("TLS handshake failed: HTTP_REQUEST")
    assert tls.small(2) == b"small 2"
    after = tls.metrics()
    for outcome in ("failed", "unfinished"):
        name = f'handshakes_total{{outcome="{outcome}"}}'
        assert after[name] == before[name] + 1
    lines = tls.gateway.output()
    assert not [line for line in lines if "Traceback" in line or " ERROR " in line or " WARNING " in line]


def test_it_drains_and_stops_in_order(tls: TlsStack) -> None:
    with TlsClient(tls) as idle, RawClient((LOOPBACK, tls.stack.port)) as in_its_handshake:
        idle.request("GET /small?n=1 HTTP/1.1", "plain")
        assert idle.answer().body == b"small 1"
        tls.gateway.ask_to_stop()
        assert idle.read_end() == b""
        assert tls.gateway.wait_end() == 0
        assert in_its_handshake.read_end() == b""
    lines = tls.gateway.output()
    assert not [line for line in lines if "Traceback" in line or "Warning" in line or " ERROR " in line]


def test_the_drain_command_checks_the_certificate_against_the_systems_authorities(tls: TlsStack) -> None:
    url = f"https://localhost:{tls.stack.port}"
    arguments = ("drain", "--url", url, "--admin-token-file", str(tls.stack.folder / "admin-token"))
    distrusts = tls.stack.processes.python("drain", "app", *arguments)
    assert distrusts.wait_end() == 1
    (line,) = [text for text in distrusts.output() if text]
    assert line.startswith(f"tunnel-gateway: drain: {url}: [SSL: CERTIFICATE_VERIFY_FAILED]")
    trusts = tls.stack.processes.python("drain", "app", *arguments, SSL_CERT_FILE=str(tls.authority.file))
    assert trusts.wait_end() == 0
    tls.gateway.wait_line("drained")


# --- the start


def start(processes: Processes, *arguments: str, **environment: str) -> Process:
    return processes.python("gateway", "app", "--port", str(free_port()), *arguments, **environment)


@pytest.mark.parametrize("way", ["arguments", "variables"])
def test_the_certificate_may_be_given_without_a_file(processes: Processes, tmp_path: Path, way: str) -> None:
    authority = Authority(tmp_path)
    authority.write(authority.issue())
    named = {"tls_certificate": str(authority.certificate), "tls_key": str(authority.key)}
    if way == "arguments":
        gateway = start(processes, "--tls-certificate", named["tls_certificate"], "--tls-key", named["tls_key"])
    else:
        gateway = start(processes, **{f"GATEWAY_{key.upper()}": value for key, value in named.items()})
    assert "ready: https://127.0.0.1:" in gateway.wait_line("ready:")


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"tls_key": "none.key"}, "--tls-key: {folder}/none.key cannot be read: No such file or directory"),
        ({"tls_key": "tls.crt"}, "--tls-key: {folder}/tls.crt has no private key; write it in PEM, without"),
        ({"tls_certificate": "ca.pem"}, "--tls-key: {folder}/tls.key is not the key of the certificate in {folder}/ca"),
        ({"tls_certificate": None}, "--tls-key: needs tls_certificate as well; set both or neither"),
        ({"tls_key": None}, "--tls-certificate: needs tls_key as well; set both or neither"),
    ],
)
def test_a_wrong_one_stops_the_start_with_status_2_and_one_line(
    processes: Processes, tmp_path: Path, wrong: dict[str, Any], text: str
) -> None:
    authority = Authority(tmp_path)
    authority.write(authority.issue())
    given = {"tls_certificate": "tls.crt", "tls_key": "tls.key", **wrong}
    options = [("--" + key.replace("_", "-"), str(tmp_path / name)) for key, name in given.items() if name is not None]
    gateway = start(processes, *(part for pair in options for part in pair))
    assert gateway.wait_end() == 2
    (line,) = gateway.output()
    assert line.startswith("tunnel-gateway: " + text.format(folder=tmp_path))


def test_an_expired_one_is_served_with_a_warning(own_stack: Callable[..., Stack], tmp_path: Path) -> None:
    stack = own_stack(tls_certificate="tls.crt", tls_key="tls.key")
    authority = Authority(tmp_path)
    authority.write(authority.issue(not_after=datetime(2020, 2, 2, tzinfo=UTC)))
    gateway = stack.start_gateway()
    line = gateway.wait_line("the certificate expired on 2020-02-02 00:00:00 UTC; renew it")
    assert " WARNING " in line
    with RawClient((LOOPBACK, stack.port)) as client, pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        authority.client().wrap_socket(client.socket, server_hostname="gateway.example.test")
