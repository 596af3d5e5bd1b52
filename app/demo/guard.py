"""The guard of one demonstration: ends all its processes if the demonstration itself is killed.

It is the first process of the group that every other process of the demonstration joins, and it reads from a pipe that
only the demonstration holds. The end of that pipe, with `kill -9` too, is the end of the group. Usually it never acts:
the demonstration ends the group itself. Works wherever there are process groups, and covers what the processes
started in turn.

It imports nothing of ours, so that it runs within some milliseconds: `python -I -S guard.py FOLDER`, in a process group
of its own. It removes FOLDER, the temporary folder of the demonstration, when all are dead.
"""

import os
import shutil
import signal
import sys
import time

GRACE_SECONDS = 1.0
"""From SIGTERM to SIGKILL."""


def main(folder: str) -> int:
    """Wait for the end of the pipe, then end the group. Returns only if that would be somebody else's group."""
    if os.getpgrp() != os.getpid():
        sys.stderr.write("guard.py needs a process group of its own\n")
        return 2
    while os.read(0, 4096):
        pass
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(0, signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    if os.fork():
        signal.pause()  # the leader stays until it is killed: so the number of the group cannot become another's
    group = os.getpgrp()
    os.setpgid(0, 0)
    os.killpg(group, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
