"""`python -m tunnel.agent`, and the console script `tunnel-agent`.

Without a command it runs the agent: exits with 0 after SIGTERM or SIGINT, and with 2 and one line on standard error for
a setting that cannot be used. The other commands say in `options.py` what they exit with; wrong settings are 2 there
too. Ctrl-C ends those that do not handle it themselves with 130.
"""

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

from tunnel.agent import log, options, runner, settings
from tunnel.agent.source import SettingsError
from tunnel.allocator import keep_freed_memory

INTERRUPTED = 130
"""As a shell has it for Ctrl-C."""
Value = TypeVar("Value")


def main() -> None:
    """Run the command that the command line names."""
    try:
        sys.exit(_main(settings.command_line()))
    except SettingsError as error:
        sys.stderr.write(f"{options.PROGRAM}: {error}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write("\n")  # after the ^C of the terminal
        sys.exit(INTERRUPTED)


def _main(line: options.CommandLine) -> int:
    """The exit status. Raises SettingsError."""
    as_json = line.given.get("json") is not None
    if line.command == "status":
        from tunnel.agent import status  # noqa: PLC0415 (a running agent needs no other command)

        return status.main(settings.url_of_status(line), as_json=as_json)
    if line.command in {"login", "logout"}:
        from tunnel.agent import login  # noqa: PLC0415

        if line.command == "login":
            return login.log_in(settings.login_of_process(line))
        return login.log_out(settings.user_file_of_process())
    if line.command == "http":
        return _publish(settings.publishing_of_process(line), as_json=as_json)
    chosen = settings.of_process(line)
    if line.command == "check":
        from tunnel.agent.check import command  # noqa: PLC0415

        if chosen.token.warning:
            sys.stderr.write(f"{options.PROGRAM}: {chosen.token.warning}\n")
        return command.main(chosen, as_json=as_json)
    log.configure(chosen.log_format, chosen.log_level)
    _loop_run(_serve(chosen))
    return 0


async def _serve(chosen: settings.AgentSettings) -> None:
    await runner.Runner(chosen).run()


def _publish(chosen: settings.PublishSettings, *, as_json: bool) -> int:
    from tunnel.agent.publish import command  # noqa: PLC0415

    return _loop_run(command.run(chosen, look=settings.look(), as_json=as_json))


def _loop_run(program: Coroutine[Any, Any, Value]) -> Value:
    runner.allow_many_connections()
    keep_freed_memory()
    with asyncio.Runner(loop_factory=_loop_factory()) as loop:
        return loop.run(program)


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    """uvloop's loop where there is one."""
    try:
        import uvloop  # noqa: PLC0415 (absent on some systems)
    except ImportError:
        return None
    return uvloop.Loop


if __name__ == "__main__":
    main()
