"""Which bucket the learned routes in `state_dir` are a copy of: one line in a small file beside them.

Without it, all of the copy is put at the next start, which is right for a bucket that has none of it, and at worst
brings a route back for a day that was removed meanwhile. So a file that cannot be read or written costs no more than
a line in the log.
"""

import logging
import re
from pathlib import Path
from typing import Final

logger = logging.getLogger("gateway.routes")

FILE_NAME: Final = "learned-routes.bucket"

_MARK = re.compile(r"(?P<bucket>[A-Za-z0-9_-]{1,200}) (?P<created>[0-9T:.Z-]{1,40})\n", re.ASCII)


class CopyMark:
    """The file in a folder. `bucket`: the name of the one in use; what is said of another does not count.

    Blocks for a file of 60 bytes, which is not synced.
    """

    def __init__(self, folder: Path, bucket: str) -> None:
        self._path = folder / FILE_NAME
        self._bucket = bucket

    def read(self) -> str | None:
        """The `created` of the bucket. None: there is no file, or it says nothing of this bucket."""
        try:
            text = self._path.read_text("ascii")
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            self._complain(error)
            return None
        found = _MARK.fullmatch(text)
        return found["created"] if found is not None and found["bucket"] == self._bucket else None

    def write(self, created: str) -> None:
        """The copy is one of this bucket from now on."""
        new = self._path.with_name(f"{FILE_NAME}.new")
        try:
            new.write_text(f"{self._bucket} {created}\n", "ascii")
            new.replace(self._path)
        except OSError as error:
            self._complain(error)

    def _complain(self, error: Exception) -> None:
        logger.warning(
            "%s cannot be used: %s. At the next start all learned routes of this node are shared again",
            self._path, error,
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"<CopyMark {self._path}>"
