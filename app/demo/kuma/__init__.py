"""Uptime Kuma from npm, pinned by the lock file in this folder and installed once per user, outside the checkout.

Used by the demonstration and the tests. Needs node and npm. npm compiles the SQLite module if it has no binary for it.
`install` waits for npm, for others who install it, and for the disk: the demonstration runs it as a process of its own
(`python -m ...kuma`).
"""

import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .npm import LateError, run
from .npm_errors import is_offline, reason_of

NETWORK_SECONDS = 30.0
"""For npm's registry to answer at all."""
NODE_VERSIONS = "14, 16, 18 or at least 20.4"
_HERE = Path(__file__).parent
_WHOLE = "installed"  # written last: without it the installation is incomplete


class KumaError(Exception):
    """Uptime Kuma cannot be installed here; the text says why, and what to do."""


def missing() -> str | None:
    """What is missing on this machine; None: nothing."""
    lacking = [program for program in ("node", "npm") if shutil.which(program) is None]
    return f"{' and '.join(lacking)} not found" if lacking else None


def runs_on(major: int, minor: int) -> bool:
    """Whether it runs on this version of Node: NODE_VERSIONS, as its package says."""
    return major in {14, 16, 18} or (major, minor) >= (20, 4)


def install(say: Callable[[str], None] = lambda _: None) -> Path:
    """Install it if needed and return the program's folder. The first time takes a minute or two. Raises KumaError.

    `say` is called with each step that takes long: `it waits for ...`.
    """
    if (reason := missing()) is not None:
        raise KumaError(reason)
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _install(folder, say)
    except OSError as error:
        raise KumaError(_words_of(error, folder)) from None


def _install(cache: Path, say: Callable[[str], None]) -> Path:
    files = [_HERE / "package.json", _HERE / "package-lock.json"]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]
    folder = cache / f"uptime-kuma-{digest}"
    program = folder / "node_modules" / "uptime-kuma"
    with _locked(cache / "uptime-kuma.lock", say):
        if not (folder / _WHOLE).exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            for path in files:
                shutil.copy(path, folder)
            _check_network(folder, say)
            say("npm is downloading and compiling it (a minute or two the first time)")
            status, errors = run(["ci"], folder)
            if status != 0:
                raise KumaError(reason_of(status, errors))
            # This release has its migrations in the wrong folder.
            for script in (program / "db").glob("*.sql"):
                if not (program / "db" / "old_migrations" / script.name).exists():
                    shutil.copy(script, program / "db" / "old_migrations")
            (folder / _WHOLE).touch()
    return program


def _check_network(folder: Path, say: Callable[[str], None]) -> None:
    """Ask for one package: without a network `npm ci` asks for all of them, for minutes. Raises KumaError."""
    say(f"asking the npm registry ({NETWORK_SECONDS:g} s at most)")
    try:
        status, errors = run(["view", "uptime-kuma", "name"], folder, seconds=NETWORK_SECONDS)
    except LateError:
        raise KumaError(
            f"npm got no answer from its registry within {NETWORK_SECONDS:g} s: check the network"
        ) from None
    if status != 0 and is_offline(errors):
        raise KumaError(reason_of(status, errors))


def command(program: Path, port: int, data: Path) -> list[str]:
    """The command line that serves on 127.0.0.1:`port` with its database in `data`. Run it in the folder `program`."""
    data.mkdir(parents=True, exist_ok=True)
    (data / "db-config.json").write_text('{"type":"sqlite"}')
    node = shutil.which("node") or "node"
    return [
        "/usr/bin/env",
        "NODE_ENV=production",
        node,
        str(program / "server" / "server.js"),
        "--host=127.0.0.1",
        f"--port={port}",
        f"--data-dir={data}/",
    ]


def cache_folder() -> Path:
    """Where it is installed. The folder may not exist."""
    base = os.path.expanduser("~/.cache")  # noqa: PTH111  (Path.expanduser raises where there is no home)
    return Path(base) / "tunnel-gateway"


def _words_of(error: OSError, folder: Path) -> str:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return f"there is no space left for {folder} ({error.strerror}): make room, or set HOME to a folder elsewhere"
    why = error.strerror or str(error)
    return f"{error.filename or folder}: {why}; make {folder} writable, or set HOME to a folder that is"


@contextmanager
def _locked(path: Path, say: Callable[[str], None]) -> Iterator[None]:
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another program that is installing it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
