"""A gateway, agents and services as real processes, put together as an operator would.

A `Stack` writes gateway.toml, starts `python -m app` and `python -m tunnel.agent` on free ports and knows
which public name leads where: service NAME is reached as NAME.example.test. It never imports the product:
it is driven from outside only. With SYSTEM_DIRECT=1 there is neither gateway nor agent and every name leads
straight to its service, which tests the tests; what needs the tunnel itself is skipped then. With SYSTEM_DIALECT=json
or chunk our agent is told to speak that instead of yamux, and everything runs over it that its wire can do. With
SYSTEM_SERVER=uvicorn the gateway is plain `uvicorn app.main:app`, with the flags of the docs.
"""

import json
import os
import random
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.system.process import ROOT, START_SECONDS, Process, Processes, wait_until

DIRECT = bool(os.environ.get("SYSTEM_DIRECT"))
DIALECT = os.environ.get("SYSTEM_DIALECT", "yamux")
UNDER_UVICORN = os.environ.get("SYSTEM_SERVER", "app") == "uvicorn"
TOKEN = "token-of-the-system-tests"
DOMAIN = "example.test"
NAMESPACE = "apps"
LOOPBACK = "127.0.0.1"
UVICORN_FLAGS = (
    "--no-access-log", "--no-proxy-headers", "--no-server-header", "--no-date-header", "--ws", "websockets-sansio",
    "--ws-ping-interval", "30", "--ws-ping-timeout", "60", "--timeout-graceful-shutdown", "10",
)  # fmt: skip
LOG_CONFIG = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"text": {"()": "app.observed.log.TextFormatter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "text"}},
}
"""uvicorn brings a handler for its own loggers only."""


def free_port() -> int:
    """A port that nobody listens on, outside the range from which outgoing connections get theirs."""
    for port in random.sample(range(20_000, 30_000), 200):
        with socket.socket() as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port found")


@dataclass(frozen=True)
class Service:
    """A service as its cluster knows it, and its route."""

    name: str
    port: int
    """Where it really listens, on loopback."""
    public_port: int = 80
    cluster: str = "c1"
    path: str = "/"
    route: dict[str, str | bool | float] = field(default_factory=dict)
    """Further keys of its route."""

    @property
    def host(self) -> str:
        return f"{self.name}.{DOMAIN}"

    @property
    def option(self) -> str:
        return f"--service={self.name}.{NAMESPACE}:{self.public_port}={LOOPBACK}:{self.port}"


def toml_value(value: str | bool | float) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


class Stack:
    """One gateway with its agents and services; `start` it once every service was added."""

    def __init__(
        self, folder: Path, processes: Processes, settings: dict[str, str | bool | float] | None = None
    ) -> None:
        self.processes = processes
        self.folder = folder
        self.settings = settings or {}
        self.dialect = DIALECT
        self.gateway_tree = ROOT
        """The folder that holds the gateway's `app` and `tunnel`: this checkout, or another version's."""
        self.agent_tree = ROOT
        self.ulimit = ""
        """Arguments of `ulimit` for the gateway, as in `-n 100`."""
        self.port = free_port()
        self.services: dict[str, Service] = {}
        self.programs: dict[str, Process] = {}
        self._gateway: Process | None = None
        self._agent: Process | None = None

    @property
    def gateway(self) -> Process:
        assert self._gateway is not None
        return self._gateway

    @property
    def agent(self) -> Process:
        assert self._agent is not None
        return self._agent

    def add_program(self, name: str, module: str, *arguments: str, **route: str | bool | float) -> Service:
        """Start `python -m module` and route to the port that it prints in its line `ready PORT`."""
        program = self.processes.python(name, module, *arguments)
        port = int(program.wait_line("ready ").split()[-1])
        self.programs[name] = program
        return self.add(Service(name, port, route=route))

    def add(self, service: Service) -> Service:
        self.services[service.name] = service
        return service

    def start(self, *, agent: bool = True) -> Self:
        if not DIRECT:
            self.start_gateway()
            if agent:
                self.start_agent()
        return self

    def write_config(self) -> Path:
        lines = [f"{key} = {toml_value(value)}" for key, value in self.settings.items()]
        lines += ["[[agents]]", f'token = "{TOKEN}"', 'clusters = ["c1", "c2"]']
        for service in self.services.values():
            entry = {
                "host": service.host,
                "path": service.path,
                "cluster": service.cluster,
                "namespace": NAMESPACE,
                "service": service.name,
                "port": service.public_port,
                **service.route,
            }
            lines += ["", "[[routes]]", *(f"{key} = {toml_value(value)}" for key, value in entry.items())]
        path = self.folder / "gateway.toml"
        path.write_text("\n".join([*lines, ""]))
        return path

    def start_gateway(self) -> Process:
        config = str(self.write_config())
        if UNDER_UVICORN:
            return self._start_uvicorn(config)
        arguments = ("--config", config, "--host", LOOPBACK, "--port", str(self.port))
        if self.ulimit:
            command = ["sh", "-c", f'ulimit {self.ulimit} && exec "$@"', "sh", sys.executable, "-m", "app", *arguments]
            self._gateway = self.processes.start("gateway", command, cwd=self.gateway_tree)
        else:
            self._gateway = self.processes.python("gateway", "app", *arguments, cwd=self.gateway_tree)
        self._gateway.wait_line("ready")
        return self._gateway

    def _start_uvicorn(self, config: str) -> Process:
        log = self.folder / "log.json"
        level = str(self.settings.get("log_level", "info")).upper()
        log.write_text(json.dumps(LOG_CONFIG | {"root": {"level": level, "handlers": ["stderr"]}}))
        address = ("--host", LOOPBACK, "--port", str(self.port), "--log-config", str(log))
        self._gateway = self.processes.python(
            "gateway", "uvicorn", "app.main:app", *address, *UVICORN_FLAGS, cwd=self.gateway_tree, GATEWAY_CONFIG=config
        )
        self._gateway.wait_line("Uvicorn running on")
        return self._gateway

    def start_agent(
        self, agent_id: str = "a1", *, services: dict[str, int] | None = None, gateway_port: int | None = None
    ) -> Process:
        """Start an agent and wait until the gateway, too, knows that it serves; `services`: other ports than theirs."""
        agent = self.start_agent_only(agent_id, services=services, gateway_port=gateway_port)
        agent.wait_line("ready:")
        if self._gateway is not None:
            wait_until(self._serves, START_SECONDS, f"the gateway hears of {agent_id}")
        return agent

    def _serves(self) -> bool:
        """Whether the gateway has an agent of c1 that takes requests."""
        with socket.create_connection((LOOPBACK, self.port)) as client:
            client.sendall(b"GET /readyz?cluster=c1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return client.makefile("rb").readline().startswith(b"HTTP/1.1 200 ")

    def start_agent_only(
        self, agent_id: str = "a1", *, services: dict[str, int] | None = None, gateway_port: int | None = None
    ) -> Process:
        ports = services or {}
        options = [
            Service(item.name, ports.get(item.name, item.port), item.public_port).option
            for item in self.services.values()
            if item.cluster == "c1"
        ]
        gateway = f"ws://{LOOPBACK}:{gateway_port or self.port}/agent"
        self._agent = self.processes.python(
            f"agent {agent_id}",
            "tunnel.agent",
            *(
                "--gateway",
                gateway,
                "--token",
                TOKEN,
                "--cluster",
                "c1",
                "--agent-id",
                agent_id,
                "--dialect",
                self.dialect,
                *options,
            ),
            cwd=self.agent_tree,
        )
        return self._agent

    def address(self, name: str) -> tuple[str, int]:
        """Where a client connects to reach the public name of this service."""
        return (LOOPBACK, self.services[name].port if DIRECT else self.port)

    def url(self, name: str, path: str = "/", scheme: str = "http") -> str:
        """The public URL; its host resolves for the tests' own clients only (`clients.py`)."""
        return f"{scheme}://{name}.{DOMAIN}:{self.address(name)[1]}{path}"

    def control(self, name: str, path: str) -> str:
        """The same service, past the tunnel: to ask what it saw."""
        return f"http://{LOOPBACK}:{self.services[name].port}{path}"
