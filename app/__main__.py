"""`python -m app [serve] --config gateway.toml --host 127.0.0.1 --port 8080`: the gateway as a program.

Also `check`, `token` and `drain`: see `app/cli.py`.
"""

import sys

from . import cli


def main(arguments: list[str] | None = None) -> None:
    """Do what the command line says, and exit with its status."""
    raise SystemExit(cli.run(sys.argv[1:] if arguments is None else arguments))


if __name__ == "__main__":
    main()
