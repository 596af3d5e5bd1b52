"""Files that are read again and again must not be pipes.

Opening a pipe waits for a writer: it would hold up the reload or renewal, and the stop of the process with it.
"""

from pathlib import Path
from typing import Final

A_PIPE: Final = "is a pipe; it is read again and again, so write a file"


def is_pipe(file: Path) -> bool:
    """Whether it is a named pipe, or the end of one as a file (`/dev/fd/N`)."""
    try:
        return file.is_fifo()
    except OSError:  # whoever reads it says why
        return False
