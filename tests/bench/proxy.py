"""The peers of the benchmarks: nginx and HAProxy as plain proxies, without a tunnel, where they are installed."""

import shutil
from pathlib import Path

from tests.system.harness import free_port
from tests.system.process import Process, Processes

_CONFIG = """
daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr warn;
worker_rlimit_nofile 8192;
events {{ worker_connections 4096; }}
http {{
  proxy_buffering off; access_log off; client_max_body_size 0; proxy_request_buffering off;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  map $http_upgrade $upgrade {{ default upgrade; '' ''; }}
  upstream service {{ server 127.0.0.1:{service}; keepalive 100; }}
  server {{ listen 127.0.0.1:{port} backlog=1024; keepalive_requests 1000000;
    location / {{ proxy_pass http://service; proxy_http_version 1.1; proxy_set_header Host $host;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $upgrade; }} }}
}}
"""

_HAPROXY = """
global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
listen service
  bind 127.0.0.1:{port}
  http-reuse always
  server service 127.0.0.1:{service}
"""

MISSING = "nginx is not installed here, and was left out"


def nginx(processes: Processes, folder: Path, service: int) -> tuple[Process, int] | None:
    """An nginx in front of the service, and its port; None where nginx is not installed."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        return None
    port = free_port()
    (folder / "nginx.conf").write_text(_CONFIG.format(folder=folder, service=service, port=port))
    process = processes.start("nginx", [program, "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")])
    process.wait_port(port)
    return process, port


def haproxy(processes: Processes, folder: Path, service: int) -> tuple[Process, int] | None:
    """An HAProxy in front of the service, and its port; None where it is not installed."""
    program = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    if program is None:
        return None
    port = free_port()
    (folder / "haproxy.cfg").write_text(_HAPROXY.format(service=service, port=port))
    process = processes.start("haproxy", [program, "-db", "-f", str(folder / "haproxy.cfg")])
    process.wait_port(port)
    return process, port
