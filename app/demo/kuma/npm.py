"""One run of npm, and what its failure means to the person at the terminal.

npm is told to give up a network that does not answer for about a minute. It never outlives `run`, whatever ends that.
Its output may be anything, of any length.
"""

import os
import re
import shutil
import subprocess
from collections import deque
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


def run(arguments: list[str], folder: Path) -> tuple[int, str]:
    """Run npm there; its status and the end of its errors. Raises OSError."""
    command = [shutil.which("npm") or "npm", *arguments, *_OPTIONS]
    # It is found on PATH, as a shell would.
    npm = subprocess.Popen(  # noqa: S603
        command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )

    try:
        assert npm.stderr is not None  # noqa: S101  (it is a pipe)
        pieces: deque[bytes] = deque(maxlen=2)
        with npm.stderr as errors:
            while piece := os.read(errors.fileno(), _LAST_BYTES):
                pieces.append(piece)
        return npm.wait(), b"".join(pieces)[-_LAST_BYTES:].decode("utf-8", "replace")
    finally:
        _end(npm)


def _end(npm: subprocess.Popen[bytes]) -> None:
    """Do not leave it behind, whatever has happened."""
    if npm.poll() is None:
        npm.terminate()
        try:
            npm.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            npm.kill()
            npm.wait()


def reason_of(status: int, errors: str) -> str:
    """Why npm failed, from its status and the end of its errors."""
    lines = [
        line.removeprefix("npm ").removeprefix("ERR! ").removeprefix("error ").strip() for line in errors.splitlines()
    ]
    lines = [line[:_LINE_CHARACTERS] for line in lines if line and not line.startswith("A complete log of this run")]
    last = lines[-1] if lines else "it printed nothing"
    found = set(re.findall(r"\b[A-Z][A-Z_]{4,}\b", errors))
    for codes, words in _KNOWN:
        if code := next((code for code in codes if code in found), None):
            return words.format(code=code, last=last)
    return f"npm failed with status {status}: {' | '.join(lines[-3:]) or last}"
