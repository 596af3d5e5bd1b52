"""TCP balancers that say who their clients are: the real HAProxy and nginx, where they are installed."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.system.harness import free_port
from tests.system.process import Process, Processes

HAPROXY = """
global
    maxconn 4000
defaults
    mode tcp
    timeout connect 2s
    timeout client 60s
    timeout server 60s
    timeout check 1s
frontend public
    bind {front}:{port}
    default_backend gateway
backend gateway
    {backend}
    server gateway {gateway} {server}
"""

NGINX = """
{module}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr;
events {{
}}
stream {{
    server {{
        listen {front}:{port};
        proxy_pass {gateway};
        proxy_protocol on;
    }}
}}
"""


def bracketed(host: str) -> str:
    """As it stands before a port."""
    return f"[{host}]" if ":" in host else host


class Balancer:
    """One balancer in front of one gateway."""

    def __init__(self, process: Process, host: str, port: int) -> None:
        self.process = process
        self.host = host
        self.port = port


def start_haproxy(
    processes: Processes, folder: Path, front: str, gateway: str, *server: str, backend: str = ""
) -> Balancer:
    """`server`: further words of the server's line, `backend`: a further line of its backend."""
    if shutil.which("haproxy") is None:
        pytest.skip("haproxy is not installed: no such program on PATH")
    port = free_port()
    file = folder / f"haproxy-{port}.cfg"
    file.write_text(
        HAPROXY.format(front=front, port=port, gateway=gateway, server=" ".join(server), backend=backend)
    )  # fmt: skip
    process = processes.start("haproxy", ["haproxy", "-db", "-f", str(file)])
    process.wait_port(port, host=front)
    return Balancer(process, front, port)


def start_nginx(processes: Processes, folder: Path, front: str, gateway: str) -> Balancer:
    """NGINX_STREAM_MODULE names the module's file where nginx does not have it in its own folder."""
    program = shutil.which("nginx")
    if program is None:
        pytest.skip("nginx is not installed: no such program on PATH")
    built = subprocess.run([program, "-V"], capture_output=True, text=True, check=True).stderr
    module = ""
    if "--with-stream=dynamic" in built:
        found = re.search(r"--modules-path=(\S+)", built)
        path = Path(os.environ.get("NGINX_STREAM_MODULE") or f"{found[1] if found else ''}/ngx_stream_module.so")
        if not path.is_file():
            pytest.skip(f"nginx has no stream module: {path} is not there (Debian: libnginx-mod-stream)")
        module = f"load_module {path};"
    elif "--with-stream" not in built:
        pytest.skip("nginx was built without its stream module")
    port = free_port()
    file = folder / f"nginx-{port}.conf"
    file.write_text(
        NGINX.format(module=module, folder=folder, front=bracketed(front), port=port, gateway=gateway)
    )  # fmt: skip
    process = processes.start("nginx", [program, "-p", str(folder), "-e", "stderr", "-c", str(file)])
    process.wait_port(port, host=front)
    return Balancer(process, front, port)
