"""What `tunnel-agent` does with its command line, and what it exits with.

Without a command it runs the agent: the status is 0 after SIGTERM or SIGINT, and 2 with one line on standard error for
a setting that cannot be used. The other commands say in `options.py` what they exit with. For all of them, wrong
settings are 2, an output that cannot be written is 1, and a reader of the output who left is 141; `http` goes on then.
"""

import asyncio
import errno
import os
import sys
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import click

from tunnel.agent import log, options, runner, settings
from tunnel.agent.source import SettingsError
from tunnel.allocator import keep_freed_memory

NOT_WRITTEN = 1
WRONG = 2
NO_READER = 141

Value = TypeVar("Value")


def run() -> int:
    """Run the command that the command line names; the exit status. `--help` and `--version` raise SystemExit."""
    try:
        return _run(settings.command_line())
    except SettingsError as error:
        _complain(str(error))
        return WRONG
    except BrokenPipeError:
        _discard_output()
        return NO_READER
    except OSError as error:
        if error.errno != errno.ENOSPC or error.filename is not None:
            raise
        _discard_output()
        _complain(f"the output cannot be written: {error.strerror}")
        return NOT_WRITTEN


def _complain(text: str) -> None:
    click.echo(f"{options.PROGRAM}: {text}", err=True)


def _discard_output() -> None:
    """Lead standard output nowhere, so that the interpreter's last flush does not complain."""
    with suppress(OSError, ValueError):  # ValueError: it is no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(line: options.CommandLine) -> int:
    """The exit status. Raises SettingsError, and OSError if the output cannot be written."""
    as_json = line.given.get("json") is not None
    if line.command == "status":
        from tunnel.agent import status  # noqa: PLC0415 (a running agent needs no other command)

        return status.main(settings.url_of_status(line), as_json=as_json)
    if line.command in {"login", "logout"}:
        from tunnel.agent import login  # noqa: PLC0415 (likewise)

        if line.command == "login":
            return login.log_in(settings.login_of_process(line))
        return login.log_out(settings.user_file_of_process())
    if line.command == "http":
        return _publish(settings.publishing_of_process(line), as_json=as_json)
    chosen = settings.of_process(line)
    if line.command == "check":
        from tunnel.agent.check import command  # noqa: PLC0415 (likewise)

        if chosen.token.warning:
            _complain(chosen.token.warning)
        return command.main(chosen, as_json=as_json)
    log.configure(chosen.log_format, chosen.log_level)
    _loop_run(_serve(chosen))
    return 0


async def _serve(chosen: settings.AgentSettings) -> None:
    await runner.Runner(chosen).run()


def _publish(chosen: settings.PublishSettings, *, as_json: bool) -> int:
    from tunnel.agent.publish import command  # noqa: PLC0415 (likewise)

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
