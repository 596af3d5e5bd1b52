"""Builds the Go programs of this folder: the original libraries' side of the system tests.

`go_binary()` gives the path of the one binary, built at most once per machine and source state: it is kept
outside the checkout, under the temporary folder, in a folder named by a hash of the sources.

It never writes into the checkout and never leaves a half-written binary under the final name: the build goes
to a name of its own and is renamed into place, under a lock that parallel test processes share.

A test is skipped, with the reason, where there is no usable Go or its modules cannot be had. A source that
does not compile and a module that does not match go.sum are failures, never skips.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SOURCES = Path(__file__).resolve().parent
NAME = "peers"
MODULES_SECONDS = 60  # nineteen modules take a second; below a test's own time limit where the proxy never answers
BUILD_SECONDS = 600  # a cold compile of all packages takes 40 s on two cores
WRONG_MODULES = ("checksum mismatch", "SECURITY ERROR", "missing go.sum entry", "updates to go.mod needed")


class GoBuildError(Exception):
    """The sources, go.mod or go.sum are wrong: the message is what go printed."""


class _ModulesMissingError(Exception):
    """The modules cannot be had here: a reason to skip, not to fail."""


def go_binary() -> Path:
    """Path of the built binary. Skips the calling test where Go or its modules are missing.

    Raises GoBuildError when the modules are not those of go.sum, or the sources do not compile.
    """
    outcome = _binary_or_reason()
    if isinstance(outcome, str):
        pytest.skip(outcome)
    return outcome


@functools.cache
def _binary_or_reason() -> Path | str:
    """The binary, or why there is none. Both are kept: an unreachable proxy is waited for once per process."""
    folder = _cache_folder() / _source_hash()
    binary = folder / NAME
    if binary.exists():
        return binary
    go = shutil.which("go")
    if go is None:
        return "go is not installed: no such program on PATH"
    folder.mkdir(exist_ok=True)
    with _locked(folder / "lock"):
        if not binary.exists():
            try:
                _fetch_modules(go)
            except _ModulesMissingError as error:
                return f"the Go modules cannot be had: {error}"
            _compile(go, folder)
    return binary


def _cache_folder() -> Path:
    """A folder that only this user can write to: the binary in it is going to be run."""
    user = os.getuid()
    folder = Path(tempfile.gettempdir()) / f"tunnel-gateway-go-{user}"
    folder.mkdir(mode=0o700, exist_ok=True)
    state = folder.lstat()
    if folder.is_symlink() or state.st_uid != user or state.st_mode & 0o022:
        msg = f"{folder} is not a folder of this user alone; remove it"
        raise GoBuildError(msg)
    return folder


def _source_hash() -> str:
    """Hash over names and contents of all that go into the binary."""
    digest = hashlib.sha256()
    for path in sorted([*SOURCES.rglob("*.go"), SOURCES / "go.mod", SOURCES / "go.sum"]):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(SOURCES).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:32]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetch_modules(go: str) -> None:
    try:
        result = _run([go, "mod", "download"], MODULES_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise _ModulesMissingError(f"no answer in {MODULES_SECONDS} s") from error
    if result.returncode == 0:
        return
    if any(text in result.stderr for text in WRONG_MODULES):
        raise GoBuildError(result.stderr)
    raise _ModulesMissingError(result.stderr.strip())


def _compile(go: str, folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        fresh = Path(scratch) / NAME
        result = _run(
            [go, "build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-o", str(fresh), "."],
            BUILD_SECONDS,
        )
        if result.returncode != 0:
            raise GoBuildError(result.stderr)
        fresh.replace(folder / NAME)


def _run(command: list[str], seconds: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=SOURCES,
        env={**os.environ, "CGO_ENABLED": "0"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
