"""`python -m app [serve] --config gateway.toml --host 127.0.0.1 --port 8080`: the gateway as a program."""

import argparse
import sys

from app.serve import serve
from app.settings import ConfigurationError, load


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line, check the configuration, serve until a signal. Exits with 2 on a bad configuration."""
    parser = argparse.ArgumentParser(prog="tunnel-gateway", description="Reverse-tunnel gateway for private clusters.")
    parser.add_argument("command", nargs="?", choices=["serve"], default="serve")
    parser.add_argument("--config", metavar="FILE", help="gateway.toml (or GATEWAY_CONFIG)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8080, help="port to listen on (default: 8080)")
    options = parser.parse_args(arguments)
    if not 0 <= options.port <= 65_535:
        parser.error("--port: a number from 0 to 65535")
    try:
        settings = load(options.config)
    except ConfigurationError as error:
        sys.stderr.write(f"tunnel-gateway: {error}\n")
        raise SystemExit(2) from None
    raise SystemExit(serve(settings, options.host, options.port))


if __name__ == "__main__":
    main()
