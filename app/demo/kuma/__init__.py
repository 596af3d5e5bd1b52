"""Uptime Kuma from npm, pinned by the lock file in this folder and installed once per user, outside the checkout.

Used by the demonstration and the tests. Needs node and npm. npm compiles the SQLite module if it has no binary for it.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_HERE = Path(__file__).parent
_WHOLE = "installed"  # written last: without it the installation is incomplete


class KumaError(Exception):
    """Uptime Kuma cannot be installed here; the text says why."""


def missing() -> str | None:
    """What is missing on this machine; None: nothing."""
    lacking = [program for program in ("node", "npm") if shutil.which(program) is None]
    return f"{' and '.join(lacking)} not found" if lacking else None


def install() -> Path:
    """Install it if needed and return the program's folder. The first time takes a minute or two. Raises KumaError."""
    if (reason := missing()) is not None:
        raise KumaError(reason)
    files = [_HERE / "package.json", _HERE / "package-lock.json"]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]
    folder = _cache() / f"uptime-kuma-{digest}"
    program = folder / "node_modules" / "uptime-kuma"
    with _locked(_cache() / "uptime-kuma.lock"):
        if not (folder / _WHOLE).exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            for path in files:
                shutil.copy(path, folder)
            command = ["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603  (our own)
            if done.returncode != 0:
                raise KumaError(f"npm ci failed: {done.stderr.strip()[-500:]}")
            # This release has its migrations in the wrong folder.
            for script in (program / "db").glob("*.sql"):
                if not (program / "db" / "old_migrations" / script.name).exists():
                    shutil.copy(script, program / "db" / "old_migrations")
            (folder / _WHOLE).touch()
    return program


def command(program: Path, port: int, data: Path) -> list[str]:
    """The command line that serves on 127.0.0.1:`port` with its database in `data`. Run it in the folder `program`."""
    data.mkdir(parents=True, exist_ok=True)
    (data / "db-config.json").write_text('{"type":"sqlite"}')
    node = shutil.which("node") or "node"
    return [
        "env",
        "NODE_ENV=production",
        node,
        str(program / "server" / "server.js"),
        "--host=127.0.0.1",
        f"--port={port}",
        f"--data-dir={data}/",
    ]


def _cache() -> Path:
    base = os.path.expanduser("~/.cache")  # noqa: PTH111  (Path.expanduser raises where there is no home)
    folder = Path(base) / "tunnel-gateway"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
