"""`python -m app.demo`: a gateway, agents and applications behind them on this machine, with one command.

With `--cluster` there are three gateway nodes and a NATS server, to be ended and frozen at will. Runs until Ctrl-C
(status 0), or until nothing of it can work any more (status 1). It leaves nothing but Uptime Kuma, installed in the
user's cache.
"""

import signal
import sys
from types import FrameType


class _Stopped(BaseException):
    """A signal came before `Running` took over. Not KeyboardInterrupt: Python may exit with -2 though it was caught."""


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise _Stopped


def main() -> int:
    """Returns the exit status."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)  # until `Running` has its own
    try:
        import argparse  # noqa: PLC0415  (Ctrl-C may come while these are loaded)
        import asyncio  # noqa: PLC0415  (likewise)

        from tunnel import standard_streams  # noqa: PLC0415 (likewise)

        from .cluster.demo import ClusterDemo  # noqa: PLC0415 (likewise)
        from .console import Console  # noqa: PLC0415 (likewise)
        from .demo import Demo  # noqa: PLC0415 (likewise)
        from .running import Running  # noqa: PLC0415 (likewise)

        standard_streams.open_closed()
        arguments = argparse.ArgumentParser(
            prog=f"python -m {__package__}", description="Run the gateway, agents and applications on this machine."
        )
        arguments.add_argument("--cluster", action="store_true", help="three gateway nodes and a NATS server")
        kind = ClusterDemo if arguments.parse_args().cluster else Demo
        console = Console()
        try:
            return asyncio.run(Running(console, lambda *given: kind(*given).run()).run())
        finally:
            console.finish()
    except _Stopped:
        print("        demo  stopped before anything was started")
        return 0


if __name__ == "__main__":
    sys.exit(main())
