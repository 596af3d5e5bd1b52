"""The ways to serve the gateway: its own program, and uvicorn with our door and with its own."""

import sys
from collections.abc import Callable

from tests.system.harness import LOOPBACK, UVICORN_FLAGS, Stack
from tests.system.process import Process


def _app(stack: Stack) -> Process:
    return stack.start_gateway()


def _uvicorn(stack: Stack) -> Process:
    return _run_uvicorn(stack, *UVICORN_FLAGS)


def _uvicorn_with_our_door(stack: Stack) -> Process:
    return _run_uvicorn(stack, "--http", "app.server.http:Protocol", *UVICORN_FLAGS)


def _run_uvicorn(stack: Stack, *flags: str) -> Process:
    command = [sys.executable, "-m", "uvicorn", "app.main:app", "--host", LOOPBACK, "--port", str(stack.port), *flags]
    process = stack.processes.start("uvicorn", command, {"GATEWAY_CONFIG": str(stack.write_config())})
    process.wait_line("Uvicorn running on")
    return process


APP = "python -m app"
OUR_DOOR = "uvicorn --http app.server.http:Protocol"
UVICORN = "uvicorn app.main:app"
SERVERS: dict[str, Callable[[Stack], Process]] = {APP: _app, OUR_DOOR: _uvicorn_with_our_door, UVICORN: _uvicorn}
"""How each is started. The agent of the stack is started after it."""
