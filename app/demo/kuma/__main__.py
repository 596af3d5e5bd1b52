"""`python -m ...kuma`: installs Uptime Kuma, and says each step on standard output.

Its lines: `step TEXT` for what takes long, and at the end `installed FOLDER` with status 0, or `failed TEXT` with 1.

SIGTERM ends npm too.
"""

import signal
import sys

from . import KumaError, install


def main() -> int:
    """Returns the exit status."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        folder = install(lambda words: print(f"step {words}", flush=True))
    except KumaError as error:
        print(f"failed {' '.join(str(error).split())}", flush=True)
        return 1
    print(f"installed {folder}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
