"""Requests per second through the tunnel, beside the service alone and nginx as a plain proxy, where installed."""

import asyncio
import shutil
from pathlib import Path

from tests.bench.load import small_requests
from tests.bench.table import latency, show
from tests.system.harness import LOOPBACK, Stack, free_port
from tests.system.process import Processes

CONNECTIONS = 50
SECONDS = 4.0

_NGINX = """
daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  upstream service {{ server 127.0.0.1:{service}; keepalive 100; }}
  server {{ listen 127.0.0.1:{port}; keepalive_requests 1000000;
    location / {{ proxy_pass http://service; proxy_http_version 1.1; proxy_set_header Connection ""; }} }}
}}
"""


def nginx(processes: Processes, folder: Path, service: int) -> int | None:
    """The port of an nginx in front of the service; None where nginx is not installed."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        return None
    port = free_port()
    (folder / "nginx.conf").write_text(_NGINX.format(folder=folder, service=service, port=port))
    process = processes.start("nginx", [program, "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")])
    process.wait_port(port)
    return port


def run(stack: Stack, processes: Processes) -> None:
    service = stack.services["plain"]
    ways = {"the service alone": (LOOPBACK, service.port)}
    if (port := nginx(processes, stack.folder, service.port)) is not None:
        ways["nginx as a plain proxy, no tunnel"] = (LOOPBACK, port)
    ways["gateway, tunnel, agent"] = stack.address("plain")
    rates = {}
    rows = []
    for name, address in ways.items():
        seconds, rate = asyncio.run(
            small_requests(address, service.host, "/small?n=1", connections=CONNECTIONS, seconds=SECONDS)
        )
        rates[name] = rate
        seen = latency(seconds)
        ratio = rate / rates["the service alone"]
        rows.append([name, f"{rate:.0f}", f"{ratio:.2f}", f"{seen.median:.2f}", f"{seen.p99:.2f}"])
    show(
        f"Small GET requests over {CONNECTIONS} connections (one Python load generator on the same cores)",
        ["", "requests/s", "ratio", "median, ms", "p99, ms"],
        rows,
        "" if port is not None else "nginx is not installed here, and was left out",
    )
