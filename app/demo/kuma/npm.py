"""One run of npm, and what its failure means to the person at the terminal.

npm is told to give up a network that does not answer for about a minute. It never outlives `run`, whatever ends that.
Its output may be anything, of any length.
"""

import os
import re
import select
import shutil
import subprocess
import time
from pathlib import Path

_OPTIONS = (
    "--no-audit", "--no-fund", "--loglevel=error", "--fetch-retries=1", "--fetch-retry-mintimeout=1000",
    "--fetch-retry-maxtimeout=5000", "--fetch-timeout=60000",
)  # fmt: skip
_LAST_BYTES = 8192
"""Of its errors that are kept."""
_LINE_CHARACTERS = 150
_END_SECONDS = 0.5
"""From SIGTERM to SIGKILL."""

_NETWORK = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH", "EHOSTUNREACH",
            "ERR_SOCKET_TIMEOUT")  # fmt: skip
_KNOWN = (
    (_NETWORK, "npm does not reach its registry ({code}): check the network and npm's proxy settings and start again"),
    (("ENOSPC", "EDQUOT"), "npm finds no space on the disk ({code}): make room, or set HOME to a folder elsewhere"),
    (("EACCES", "EPERM", "EROFS"), "npm may not write its files ({code}): {last}"),
    (("EBADENGINE", "EUSAGE"), "npm does not take the package ({code}): {last}"),
    (("EINTEGRITY",), "npm downloaded something else than what is pinned ({code}): {last}"),
)  # fmt: skip
"""npm's codes, and what to say. `last`: the last line that it printed."""


class LateError(Exception):
    """npm was not done in time."""


def run(arguments: list[str], folder: Path, *, seconds: float | None = None) -> tuple[int, str]:
    """Run npm there; its status and the end of its errors. Raises OSError, and LateError after `seconds`."""
    command = [shutil.which("npm") or "npm", *arguments, *_OPTIONS]
    # It is found on PATH, as a shell would.
    npm = subprocess.Popen(  # noqa: S603
        command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    deadline = None if seconds is None else time.monotonic() + seconds
    try:
        assert npm.stderr is not None  # noqa: S101  (it is a pipe)
        kept = b""
        with npm.stderr as errors:
            while piece := _read(errors.fileno(), deadline):
                kept = (kept + piece)[-_LAST_BYTES:]
        return npm.wait(), kept.decode("utf-8", "replace")
    finally:
        _end(npm)


def _read(descriptor: int, deadline: float | None) -> bytes:
    """What comes next; nothing at the end. Raises LateError."""
    left = None if deadline is None else max(0.0, deadline - time.monotonic())
    if not select.select([descriptor], [], [], left)[0]:
        raise LateError
    return os.read(descriptor, _LAST_BYTES)


def _end(npm: subprocess.Popen[bytes]) -> None:
    """Do not leave it behind, whatever has happened."""
    if npm.poll() is None:
        npm.terminate()
        try:
            npm.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            npm.kill()
            npm.wait()


def is_offline(errors: str) -> bool:
    """Whether npm failed because it does not reach its registry."""
    return not set(_NETWORK).isdisjoint(_codes(errors))


def reason_of(status: int, errors: str) -> str:
    """Why npm failed, from its status and the end of its errors."""
    lines = [
        line.removeprefix("npm ").removeprefix("ERR! ").removeprefix("error ").strip() for line in errors.splitlines()
    ]
    lines = [line[:_LINE_CHARACTERS] for line in lines if line and not line.startswith("A complete log of this run")]
    last = lines[-1] if lines else "it printed nothing"
    found = _codes(errors)
    for codes, words in _KNOWN:
        if code := next((code for code in codes if code in found), None):
            return words.format(code=code, last=last)
    return f"npm failed with status {status}: {' | '.join(lines[-3:]) or last}"


def _codes(errors: str) -> set[str]:
    return set(re.findall(r"\b[A-Z][A-Z_]{4,}\b", errors))
