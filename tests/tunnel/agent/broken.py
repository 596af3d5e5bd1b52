"""The socket of a connection that broke."""

import os


class BrokenSocket:
    """What the kernel still holds of it, and the options that were set. `ended`: whether the peer's end came too."""

    def __init__(self, rest=b"", *, ended=True):
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.write(self._write, rest)
        if ended:
            os.close(self._write)
            self._write = None
        self.options = {}

    def fileno(self):
        return self._read

    def setsockopt(self, level, option, value):
        self.options[level, option] = value

    def close(self):
        os.close(self._read)
        if self._write is not None:
            os.close(self._write)
