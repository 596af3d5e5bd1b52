"""Tells when files have changed and stand still, by their status. Reads none of them, and has no clock.

A switched symlink counts as a change, as in a volume of Kubernetes. A file that is still being written changes from one
look to the next, so it is not read in the middle.
"""

from collections.abc import Iterable
from pathlib import Path

POLL_SECONDS = 1.0
"""Between two looks."""

Stamp = dict[str, tuple[int, int, int, int] | None]
"""Device, inode, size and time of change of each file. None for a file without a status."""


class Watch:
    """Remembers the files as they were at the last look, and when they were last taken."""

    __slots__ = ("_seen", "_taken")

    def __init__(self, files: Iterable[str]) -> None:
        self._seen = self._taken = _stamp(files)

    def has_settled(self, files: Iterable[str]) -> bool:
        """Look at the files. True: they differ from those taken, and have not changed since the last look."""
        stamp = _stamp(files)
        if stamp != self._seen:
            self._seen = stamp
            return False
        return stamp != self._taken

    def take(self, files: Iterable[str], before: Stamp | None = None) -> Stamp:
        """The files in `before` were read with that status, all others are read now."""
        stamp = _stamp(files)
        if before is not None:
            stamp = {file: before.get(file, status) for file, status in stamp.items()}
        self._seen = self._taken = stamp
        return stamp

    def __repr__(self) -> str:
        return f"<Watch {len(self._seen)} files, {'as taken' if self._seen == self._taken else 'changed'}>"


def _stamp(files: Iterable[str]) -> Stamp:
    return {file: _status(file) for file in files}


def _status(file: str) -> tuple[int, int, int, int] | None:
    try:
        status = Path(file).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
