"""`python -m app.demo`: a gateway, agents and applications behind them on this machine, with one command.

Runs until Ctrl-C (status 0), or until nothing of it can work any more (status 1). It leaves nothing but Uptime Kuma,
installed in the user's cache.
"""

import signal
import sys


def main() -> int:
    """Returns the exit status."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)  # until `Running` has its own
    try:
        import asyncio  # noqa: PLC0415  (Ctrl-C may come while these are loaded)

        from .console import Console  # noqa: PLC0415
        from .running import Running  # noqa: PLC0415

        console = Console()
        try:
            return asyncio.run(Running(console).run())
        finally:
            console.finish()
    except KeyboardInterrupt:
        print("        demo  stopped before anything was started")
        return 0


if __name__ == "__main__":
    sys.exit(main())
