"""Applications that others wrote, started as they are: installed once per machine, outside the checkout.

What comes from npm or pip is kept below the user's cache folder (XDG_CACHE_HOME), one folder per version, installed
under a lock and marked as whole at the end. A test is skipped, with the reason, where Node or the packages cannot be
had.
"""

import fcntl
import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.demo import kuma
from tests.system.harness import free_port
from tests.system.process import Process, Processes

HERE = Path(__file__).parent
INSTALL_SECONDS = 900
WHOLE = ".whole"
UNREACHABLE = ("ENOTFOUND", "ECONNREFUSED", "EAI_AGAIN", "ETIMEDOUT", "E404", "network")


def cache_folder() -> Path:
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "tunnel-gateway-tests"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def node() -> str:
    """The path of Node. Skips where there is none."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("Node is not installed: no such program on PATH")
    return program


def npm(folder: Path, *arguments: str) -> None:
    """Run npm there. Skips where npm or its registry is missing; fails where the package itself is wrong."""
    program = shutil.which("npm")
    if program is None:
        pytest.skip("npm is not installed: no such program on PATH")
    try:
        done = subprocess.run(
            [program, *arguments, "--no-audit", "--no-fund", "--loglevel=error"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm {arguments[0]} had not ended after {INSTALL_SECONDS} s")
    if done.returncode == 0:
        return
    if any(word in done.stderr for word in UNREACHABLE):
        pytest.skip(f"the npm packages cannot be had: {done.stderr.strip()[-500:]}")
    raise AssertionError(f"npm {' '.join(arguments)} failed: {done.stderr}")


@functools.cache
def from_npm(source: Path, command: str = "ci") -> Path:
    """A copy of this folder's files in the cache, with the packages of its lock file installed by `npm COMMAND`."""
    files = sorted(path for path in source.iterdir() if path.is_file())
    digest = hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()[:16]
    name = json.loads((source / "package.json").read_text(encoding="utf-8"))["name"]
    folder = cache_folder() / f"{name}-{digest}"
    with locked(cache_folder() / f"{name}.lock"):
        if not (folder / WHOLE).exists():
            folder.mkdir(exist_ok=True)
            for path in files:
                shutil.copy(path, folder)
            npm(folder, command)
            (folder / WHOLE).touch()
    return folder


def from_pip(name: str, requirements: Path, *options: str) -> Path:
    """A folder in the cache with the packages of a requirements file. Skips where they cannot be had."""
    digest = hashlib.sha256(f"{sys.version}\0{requirements.read_text(encoding='utf-8')}".encode()).hexdigest()[:16]
    folder = cache_folder() / f"{name}-{digest}"
    with locked(cache_folder() / f"{name}.lock"):
        if not (folder / WHOLE).exists():
            shutil.rmtree(folder, ignore_errors=True)
            install = [sys.executable, "-m", "pip", "install", "-q", "--require-hashes", *options]
            done = subprocess.run(
                [*install, "--target", str(folder), "-r", str(requirements)],
                capture_output=True,
                text=True,
                timeout=INSTALL_SECONDS,
                check=False,
            )
            if done.returncode != 0:
                pytest.skip(f"{name} cannot be had: {done.stderr.strip()[-500:]}")
            (folder / WHOLE).touch()
    return folder


def node_client() -> Path:
    """The script of `node_client/`, with its packages."""
    return from_npm(HERE / "node_client") / "client.js"


def start_kuma(processes: Processes, data: Path) -> tuple[Process, int]:
    """Uptime Kuma, installed as for the demonstration, on an empty database; the process and its port."""
    node()
    try:
        program = kuma.install()
    except kuma.KumaError as error:
        if any(word in str(error) for word in UNREACHABLE):
            pytest.skip(f"Uptime Kuma cannot be had: {error}")
        raise
    port = free_port()
    # Its relative paths begin at its own folder.
    process = processes.start("uptime-kuma", kuma.command(program, port, data), cwd=program)
    process.wait_line(f"Listening on 127.0.0.1:{port}", f"Listening on {port}")
    return process, port


def start_jupyter(processes: Processes, data: Path, token: str) -> int:
    """Jupyter Server with nothing of the user's in it; its port."""
    port = free_port()
    data.mkdir()
    folders = {name: str(data / name.lower()) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR")}
    server = processes.python(
        "jupyter",
        "jupyter_server",
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        f"--port={port}",
        "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={token}",
        "--ServerApp.allow_remote_access=True",
        "--ZMQChannelsWebsocketConnection.iopub_data_rate_limit=1e9",
        f"--ServerApp.root_dir={data}",
        **folders,
        JUPYTER_RUNTIME_DIR=str(data / "runtime"),
    )
    server.wait_port(port)
    return port
