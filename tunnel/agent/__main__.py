"""`python -m tunnel.agent`, and the console script `tunnel-agent`: see `program.py`.

Ctrl-C before the command has taken over the signals ends it without a traceback, with 130.
"""

import sys

INTERRUPTED = 130


def main() -> None:
    """Run the command that the command line names, and exit with its status."""
    try:
        from tunnel import standard_streams  # noqa: PLC0415 (Ctrl-C may come while these are loaded)

        standard_streams.open_closed()
        from tunnel.agent import program  # noqa: PLC0415 (likewise)

        status = program.run()
    except KeyboardInterrupt:
        status = INTERRUPTED
    sys.exit(status)


if __name__ == "__main__":
    main()
