"""Our gateway as operators run it, with an agent: `python -m app`, or plain uvicorn with the flags of the docs.

Its log is at level info and goes to a file, access log included. uvicorn's own access log, which would write each
request a second time, is off.
"""

import sys

from tests.system.harness import LOOPBACK, Service, Stack

_TO_FILE = ["sh", "-c", 'log="$0"; exec "$@" 2>"$log"']
_UVICORN = [
    *("--no-access-log", "--no-proxy-headers", "--no-server-header", "--no-date-header"),
    *("--ws", "websockets-sansio", "--ws-ping-interval", "30", "--ws-ping-timeout", "60"),
    *("--timeout-graceful-shutdown", "10"),
]


def start(first: Stack, services: list[Service], *, uvicorn: bool) -> Stack:
    """A stack of its own for these services, ready; processes and files belong to `first`."""
    name = "uvicorn" if uvicorn else "app"
    stack = Stack(first.folder / name, first.processes, {"log_level": "info"})
    stack.folder.mkdir()
    for service in services:
        stack.add(service)
    config, address = str(stack.write_config()), ["--host", LOOPBACK, "--port", str(stack.port)]
    if uvicorn:
        command, environment = ["uvicorn", "app.main:app", *address, *_UVICORN], {"GATEWAY_CONFIG": config}
    else:
        command, environment = ["app", "--config", config, *address], {}
    log = str(stack.folder / "gateway.log")
    stack._gateway = stack.processes.start(
        f"gateway, {name}", [*_TO_FILE, log, sys.executable, "-m", *command], environment
    )
    stack._gateway.wait_port(stack.port)
    stack.start_agent(f"agent-{name}")
    return stack
