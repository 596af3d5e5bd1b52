"""`python -m tunnel.agent`, and the console script `tunnel-agent`: see `program.py`.

Ctrl-C that the command does not handle itself, or has not taken over yet, ends it without a traceback, with 130.
"""

import sys
from contextlib import suppress

INTERRUPTED = 130
"""As a shell has it for Ctrl-C."""


def main() -> None:
    """Run the command that the command line names, and exit with its status."""
    try:
        from tunnel import standard_streams  # noqa: PLC0415 (Ctrl-C may come while these are loaded)

        standard_streams.open_closed()
        from tunnel.agent import program  # noqa: PLC0415 (likewise)

        status = program.run()
    except KeyboardInterrupt:
        with suppress(OSError, ValueError):  # nobody reads it any more
            sys.stderr.write("\n")  # after the ^C of the terminal
        status = INTERRUPTED
    sys.exit(status)


if __name__ == "__main__":
    main()
