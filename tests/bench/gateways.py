"""Our gateway as operators run it, with an agent: `python -m app`, or plain uvicorn with the flags of the docs.

The log goes to a file, at level info. Plain uvicorn brings a handler for its own loggers only, so the access log is
written there only if the operator configures one: `UVICORN` has a `--log-config` with a handler on the root logger,
`UVICORN_SILENT` has none. uvicorn's own access log, which would write each request a second time, is always off.
"""

import json
import sys
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

from tests.system.harness import LOOPBACK, Service, Stack
from tests.system.process import START_SECONDS, wait_until

APP = "python -m app"
UVICORN = "uvicorn app.main:app"
UVICORN_SILENT = "uvicorn, no access log"
ALL = {APP: "app", UVICORN: "uvicorn", UVICORN_SILENT: "silent"}
"""By what a table calls them: what their folders and agents are called."""

_TO_FILE = ["sh", "-c", 'log="$0"; exec "$@" 2>"$log"']
_FLAGS = [
    *("--no-access-log", "--no-proxy-headers", "--no-server-header", "--no-date-header"),
    *("--ws", "websockets-sansio", "--ws-ping-interval", "30", "--ws-ping-timeout", "60"),
    *("--timeout-graceful-shutdown", "10"),
]
_LOG_CONFIG = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"stderr": {"class": "logging.StreamHandler"}},
    "root": {"level": "INFO", "handlers": ["stderr"]},
}


def start(first: Stack, services: list[Service], door: str = APP) -> Stack:
    """A stack of its own for these services, ready; its processes and files belong to `first`."""
    stack = Stack(first.folder / ALL[door], first.processes, {"log_level": "info"})
    stack.folder.mkdir()
    for service in services:
        stack.add(service)
    config, address = str(stack.write_config()), ["--host", LOOPBACK, "--port", str(stack.port)]
    if door == APP:
        command, environment = ["app", "--config", config, *address], {}
    else:
        command, environment = ["uvicorn", "app.main:app", *address, *_FLAGS], {"GATEWAY_CONFIG": config}
    if door == UVICORN:
        log_config = stack.folder / "log.json"
        log_config.write_text(json.dumps(_LOG_CONFIG))
        command += ["--log-config", str(log_config)]
    log = stack.folder / "gateway.log"
    stack._gateway = stack.processes.start(
        f"gateway, {ALL[door]}", [*_TO_FILE, str(log), sys.executable, "-m", *command], environment
    )
    stack._gateway.wait_port(stack.port)
    stack.start_agent(f"agent-{ALL[door]}")
    if door != UVICORN_SILENT:
        _wait_logged(stack, services[0], log)
    return stack


def _wait_logged(stack: Stack, service: Service, log: Path) -> None:
    """Until a request has its line: what is measured with an access log must have one."""

    def logged() -> bool:
        client = HTTPConnection(LOOPBACK, stack.port, timeout=START_SECONDS)
        with closing(client):
            client.request("GET", "/logged", headers={"Host": service.host})
            client.getresponse()
        return f"{service.host}/logged" in log.read_text()

    wait_until(logged, START_SECONDS, f"an access log in {log.name}")
