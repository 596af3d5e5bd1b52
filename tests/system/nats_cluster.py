"""Three real NATS servers that keep each bucket three times, and any of which may be killed."""

from pathlib import Path

from tests.system.harness import LOOPBACK, free_port
from tests.system.nats_server import NatsServer
from tests.system.process import Processes

SERVERS = 3


class NatsCluster:
    """The servers, by their names. A bucket can be made once `start` has returned; soon, that is: it needs a leader."""

    def __init__(self, folder: Path, processes: Processes) -> None:
        ports = [free_port() for _ in range(SERVERS)]
        routes = ", ".join(f"nats-route://{LOOPBACK}:{port}" for port in ports)
        self.servers: dict[str, NatsServer] = {}
        for number, port in enumerate(ports):
            name = f"s{number}"
            configuration = (
                f"server_name: {name}\n"
                f'cluster {{ name: test, listen: "{LOOPBACK}:{port}", no_advertise: true, routes: [ {routes} ] }}\n'
            )
            self.servers[name] = NatsServer(folder / name, processes, configuration)

    def start(self) -> "NatsCluster":
        for server in self.servers.values():
            server.start()
        return self

    def urls(self, *, first: int = 0) -> tuple[str, ...]:
        """Of the servers, beginning with the one of this number."""
        urls = [server.url for server in self.servers.values()]
        return tuple(urls[first:] + urls[:first])

    def kill(self, name: str) -> NatsServer:
        """One of them, for good; its data stays."""
        server = self.servers[name]
        server.kill()
        del self.servers[name]
        return server

    def close(self) -> None:
        """Kill those that are left."""
        for name in list(self.servers):
            self.kill(name)
