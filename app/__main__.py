"""`python -m app [serve] --config gateway.toml --host 127.0.0.1 --port 8080`: the gateway as a program.

Its other commands, such as `check` and `status`: see `app/commands/`.
"""

import atexit
import gc
import sys

from tunnel import standard_streams

from . import commands


def main(arguments: list[str] | None = None) -> None:
    """Do what the command line says, and exit with its status."""
    standard_streams.open_closed()
    atexit.register(gc.freeze)  # what is left ends with the process: collecting it takes longer than all else
    raise SystemExit(commands.run(sys.argv[1:] if arguments is None else arguments))


if __name__ == "__main__":
    main()
