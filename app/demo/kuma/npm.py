"""One run of npm.

npm is told to give up a network that does not answer for about a minute. It never outlives `run`, whatever ends that.
Its output may be anything, of any length.
"""

import os
import select
import shutil
import subprocess
import time
from pathlib import Path

_OPTIONS = (
    "--no-audit", "--no-fund", "--loglevel=error", "--fetch-retries=1", "--fetch-retry-mintimeout=1000",
    "--fetch-retry-maxtimeout=5000", "--fetch-timeout=60000",
)  # fmt: skip
_KEPT_BYTES = 8192
"""Of its errors: so much of the beginning, which has the code, and of the end."""
_END_SECONDS = 0.5
"""From SIGTERM to SIGKILL."""


class LateError(Exception):
    """npm was not done in time."""


def run(arguments: list[str], folder: Path, *, seconds: float | None = None) -> tuple[int, str]:
    """Run npm there; its status and its errors, without the middle if they are long.

    Raises OSError, and LateError after `seconds`.
    """
    command = [shutil.which("npm") or "npm", *arguments, *_OPTIONS]
    npm = subprocess.Popen(  # noqa: S603  (found on PATH, as by a shell)
        command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    deadline = None if seconds is None else time.monotonic() + seconds
    try:
        assert npm.stderr is not None  # noqa: S101  (it is a pipe)
        begin = end = b""
        with npm.stderr as errors:
            while piece := _read(errors.fileno(), deadline):
                room = _KEPT_BYTES - len(begin)
                begin += piece[:room]
                end = (end + piece[room:])[-_KEPT_BYTES:]
        return npm.wait(), (begin + end).decode("utf-8", "replace")
    finally:
        _end(npm)


def _read(descriptor: int, deadline: float | None) -> bytes:
    """What comes next; nothing at the end. Raises LateError."""
    left = None if deadline is None else max(0.0, deadline - time.monotonic())
    if not select.select([descriptor], [], [], left)[0]:
        raise LateError
    return os.read(descriptor, _KEPT_BYTES)


def _end(npm: subprocess.Popen[bytes]) -> None:
    """Do not leave it behind, whatever has happened."""
    if npm.poll() is None:
        npm.terminate()
        try:
            npm.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            npm.kill()
            npm.wait()
