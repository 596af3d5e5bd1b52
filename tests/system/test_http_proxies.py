"""Behind real HTTP proxies, in each vocabulary that they write: the service sees its client, and the same in both."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.clients import RawClient
from tests.system.conftest import tunnel_only
from tests.system.harness import DOMAIN, LOOPBACK, Stack, free_port
from tests.system.process import Processes

pytestmark = tunnel_only

PROXY, CLIENT = "127.0.0.2", "127.0.0.5"
"""From where the proxy and the client connect. Only the proxy is trusted."""

HAPROXY = """
defaults
    mode http
    timeout connect 2s
    timeout client 10s
    timeout server 10s
listen public
    bind {proxy}:{port}
    {lines}
    server gateway {gateway} source {proxy}
"""
NGINX = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr;
events {{
}}
http {{
    access_log off;
    client_body_temp_path {folder}/nginx-body;
    proxy_temp_path {folder}/nginx-proxy;
    fastcgi_temp_path {folder}/nginx-fastcgi;
    uwsgi_temp_path {folder}/nginx-uwsgi;
    scgi_temp_path {folder}/nginx-scgi;
    server {{
        listen {proxy}:{port};
        location / {{
            proxy_pass http://{gateway};
            proxy_bind {proxy};
            proxy_set_header Host $http_host;
            {lines}
        }}
    }}
}}
"""
"""The lines are those of each one's documentation, but for the scheme: nobody ends TLS here."""

FORWARDFOR = """option forwardfor
    http-request set-header X-Forwarded-Proto https"""
FORWARDED = "http-request set-header Forwarded for=%[src];host=%[req.hdr(host)];proto=https"
SET_HEADERS = """proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto https;"""

CASES = {
    "haproxy forwardfor": (HAPROXY, FORWARDFOR),
    "haproxy Forwarded": (HAPROXY, FORWARDED),
    "nginx": (NGINX, SET_HEADERS),
}


def started(processes: Processes, folder: Path, text: str, gateway: str, lines: str) -> int:
    """The port of a proxy."""
    program = "haproxy" if text is HAPROXY else "nginx"
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed: no such program on PATH")
    port = free_port()
    file = folder / f"{program}.conf"
    file.write_text(text.format(proxy=PROXY, port=port, gateway=gateway, folder=folder, lines=lines))
    command = {"haproxy": ["-db", "-f", str(file)], "nginx": ["-p", str(folder), "-e", "stderr", "-c", str(file)]}
    processes.start(program, [program, *command[program]]).wait_port(port, host=PROXY)
    return port


@pytest.mark.parametrize("case", CASES)
def test_the_service_sees_its_client(own_stack: Callable[..., Stack], processes: Processes, tmp_path: Path, case: str):
    stack = own_stack()
    written = stack.write_config

    def write_config() -> Path:
        path = written()
        path.write_text(f'trusted_proxies = ["{PROXY}"]\n' + path.read_text())
        return path

    stack.write_config = write_config  # type: ignore[method-assign]
    stack.start()
    text, lines = CASES[case]
    port = started(processes, tmp_path, text, f"{LOOPBACK}:{stack.port}", lines)
    host = f"plain.{DOMAIN}"
    expected = {
        "x-forwarded-for": f"{CLIENT}, {PROXY}",
        "x-forwarded-proto": "https",
        "x-forwarded-host": host,
        "forwarded": f'for={CLIENT};proto=https;host="{host}", for={PROXY}',
    }
    with RawClient((PROXY, port), source=CLIENT) as client:
        client.send(f"GET /echo HTTP/1.1\r\nHost: {host}\r\nX_Forwarded_For: 6.6.6.6\r\n\r\n".encode())
        answer = client.answer()
    assert answer.status == 200
    seen = {name.lower(): value for name, value in json.loads(answer.body)["headers"]}
    assert {name: seen.get(name) for name in expected} == expected
    assert "6.6.6.6" not in str(seen)
