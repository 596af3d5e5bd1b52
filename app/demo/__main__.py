"""`python -m app.demo`: a gateway, agents and applications behind them on this machine, with one command.

Runs until Ctrl-C (status 0), or until nothing of it can work any more (status 1). It leaves nothing but Uptime Kuma,
installed in the user's cache.
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
        import asyncio  # noqa: PLC0415  (Ctrl-C may come while these are loaded)

        from tunnel import standard_streams  # noqa: PLC0415 (likewise)

        from .console import Console  # noqa: PLC0415 (likewise)
        from .running import Running  # noqa: PLC0415 (likewise)

        standard_streams.open_closed()
        console = Console()
        try:
            return asyncio.run(Running(console).run())
        finally:
            console.finish()
    except _Stopped:
        print("        demo  stopped before anything was started")
        return 0


if __name__ == "__main__":
    sys.exit(main())
