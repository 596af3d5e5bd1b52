"""`python -m tunnel.agent`, and the console script `tunnel-agent`.

Exits with 0 after SIGTERM or SIGINT, and with 2 and one line on standard error for a setting that cannot be used.
"""

import asyncio
import sys

from tunnel.agent import log, runner, settings
from tunnel.allocator import keep_freed_memory


def main() -> None:
    """Run the agent until a signal."""
    try:
        chosen = settings.of_process()
    except settings.SettingsError as error:
        sys.stderr.write(f"tunnel-agent: {error}\n")
        sys.exit(2)
    log.configure(chosen.log_format, chosen.log_level)
    runner.allow_many_connections()
    keep_freed_memory()
    with asyncio.Runner(loop_factory=_loop_factory()) as loop:
        loop.run(_run(chosen))


async def _run(chosen: settings.AgentSettings) -> None:
    await runner.Runner(chosen).run()


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    """uvloop's loop where there is one."""
    try:
        import uvloop  # noqa: PLC0415 (absent on some systems)
    except ImportError:
        return None
    return uvloop.Loop


if __name__ == "__main__":
    main()
