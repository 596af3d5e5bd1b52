"""Standard streams that were closed when the process was started, as by `>&-`. Only the entrances call this.

What is opened next would get their numbers: uvloop aborts the process when its own descriptors do, and what a library
prints would go into a connection. Python's `sys.stdout` stays None.
"""

import os

_LAST = 2


def open_closed() -> None:
    """Lead those that are closed nowhere, for this process and for those that it starts."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _LAST:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
