"""One gateway of several, as a real process: `python -m app` with a table `[cluster]`.

It never imports the product, like every stack. What lies between it and NATS, and between it and its peers, is for
whoever makes it to say: the servers' own ports, or relays that can be cut.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.system.harness import LOOPBACK, TOKEN, Stack, free_port, toml_value
from tests.system.process import Process, Processes
from tunnel.override import override

SECRET = "secret-of-the-nodes-under-test"


class Node(Stack):
    """See the module. Its routes and settings are the stack's, its `state_dir` and its ports are its own."""

    def __init__(
        self,
        name: str,
        folder: Path,
        processes: Processes,
        settings: dict[str, str | bool | float] | None = None,
        *,
        servers: Sequence[str],
        cluster: Mapping[str, str | bool | float] | None = None,
    ) -> None:
        """`servers`: the URLs of NATS. `cluster`: further keys of `[cluster]`."""
        folder.mkdir(exist_ok=True)
        super().__init__(folder, processes, settings)
        self.name = name
        self.servers = list(servers)
        self.cluster = dict(cluster or {})
        self.peer_port = free_port()
        self.peer_url = f"http://{LOOPBACK}:{self.peer_port}"
        """Where the others are told to dial it."""
        self.program = ("app",)
        """The module that is run as this gateway, and arguments of its own."""
        self.hosts: list[str] = []
        """That agents may register."""
        self.secret = folder / "peer.secret"
        self.secret.write_text(SECRET + "\n", encoding="utf-8")

    @property
    def is_started(self) -> bool:
        """It was, at least once."""
        return self._gateway is not None

    @override
    def write_config(self) -> Path:
        path = super().write_config()
        keys = {
            "node_name": self.name,
            "peer_bind": f"{LOOPBACK}:{self.peer_port}",
            "peer_url": self.peer_url,
            "peer_secret_file": str(self.secret),
            **self.cluster,
        }
        servers = ", ".join(toml_value(url) for url in self.servers)
        table = ["[cluster]", f"servers = [{servers}]", *(f"{key} = {toml_value(keys[key])}" for key in keys)]
        text = path.read_text(encoding="utf-8")
        if self.hosts:
            hosts = ", ".join(toml_value(host) for host in self.hosts)
            text = text.replace(f'"{TOKEN}"', f'"{TOKEN}"\nhosts = [{hosts}]')
        path.write_text("\n".join([text, *table, ""]), encoding="utf-8")
        return path

    @override
    def start_gateway(self) -> Process:
        """As of any stack, or with `program` in place of `app`."""
        if self.program == ("app",):
            self._gateway = super().start_gateway()
            self._gateway.name = f"gateway {self.name}"
            return self._gateway
        module, *arguments = self.program
        own = ("--config", str(self.write_config()), "--host", LOOPBACK, "--port", str(self.port))
        self._gateway = self.processes.python(f"gateway {self.name}", module, *arguments, *own)
        self._gateway.wait_line("ready")
        return self._gateway

    def __repr__(self) -> str:
        return f"<Node {self.name} at port {self.port}>"
