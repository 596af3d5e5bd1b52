"""Other tunnels, each with its server and its client as it comes: what carries one service, and the port that it has.

Each is left out, with the reason, where its programs are not on PATH or do not start.
"""

import shutil
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.bench import rathole as built
from tests.system.harness import LOOPBACK, Service, free_port
from tests.system.process import START_SECONDS, Process, Processes, wait_until


@dataclass(frozen=True)
class Tunnel:
    """One that runs."""

    port: int
    server: Process
    client: Process


class LeftOutError(Exception):
    """Why one cannot be measured here, and how to get it."""


Start = Callable[[Processes, Path, Service], Tunnel]


def program(name: str, source: str) -> str:
    """Its path. Raises LeftOutError."""
    if (found := shutil.which(name)) is None:
        raise LeftOutError(f"{name} is not on PATH ({source})")
    return found


def answers(port: int, host: str) -> bool:
    """Whether the service can be reached there: a WebSocket's handshake, which the HTTP service answers with 200."""
    lines = (
        "GET /echo HTTP/1.1",
        f"Host: {host}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1) as client:
            client.sendall("\r\n".join((*lines, "", "")).encode())
            return client.recv(12) in (b"HTTP/1.1 101", b"HTTP/1.1 200")
    except OSError:
        return False


def wait_carried(tunnel: Tunnel, service: Service) -> Tunnel:
    def carried() -> bool:
        for process in (tunnel.server, tunnel.client):
            if process.popen.poll() is not None:
                raise LeftOutError(f"{process!r}: {' '.join(process.output()[-1:])}")
        return answers(tunnel.port, service.host)

    wait_until(carried, START_SECONDS, f"{tunnel.server.name} carries {service.name}")
    return tunnel


def rathole(processes: Processes, folder: Path, service: Service) -> Tunnel:
    path = built.binary()
    if isinstance(path, str):
        raise LeftOutError(path)
    control, port = free_port(), free_port()
    (folder / "server.toml").write_text(
        f'[server]\nbind_addr = "{LOOPBACK}:{control}"\ndefault_token = "bench"\n'
        f'[server.services.bench]\nbind_addr = "{LOOPBACK}:{port}"\n'
    )
    (folder / "client.toml").write_text(
        f'[client]\nremote_addr = "{LOOPBACK}:{control}"\ndefault_token = "bench"\n'
        f'[client.services.bench]\nlocal_addr = "{LOOPBACK}:{service.port}"\n'
    )
    server = processes.start("rathole server", [str(path), "--server", str(folder / "server.toml")])
    server.wait_port(control)
    return Tunnel(port, server, processes.start("rathole client", [str(path), "--client", str(folder / "client.toml")]))


def chisel(processes: Processes, _: Path, service: Service) -> Tunnel:
    path = program("chisel", "go install github.com/jpillora/chisel@latest")
    control, port = free_port(), free_port()
    server = processes.start("chisel server", [path, "server", "--host", LOOPBACK, "--port", str(control), "--reverse"])
    server.wait_port(control)
    remote = f"R:{LOOPBACK}:{port}:{LOOPBACK}:{service.port}"
    return Tunnel(
        port, server, processes.start("chisel client", [path, "client", f"http://{LOOPBACK}:{control}", remote])
    )


def frp(processes: Processes, folder: Path, service: Service) -> Tunnel:
    source = "a release of fatedier/frp on GitHub"
    server_path, client_path = program("frps", source), program("frpc", source)
    control, port = free_port(), free_port()
    (folder / "frps.toml").write_text(
        f'bindAddr = "{LOOPBACK}"\nbindPort = {control}\nproxyBindAddr = "{LOOPBACK}"\nvhostHTTPPort = {port}\n'
    )
    (folder / "frpc.toml").write_text(
        f'serverAddr = "{LOOPBACK}"\nserverPort = {control}\n[[proxies]]\nname = "bench"\ntype = "http"\n'
        f'localIP = "{LOOPBACK}"\nlocalPort = {service.port}\ncustomDomains = ["{service.host}"]\n'
    )
    server = processes.start("frps", [server_path, "-c", str(folder / "frps.toml")])
    server.wait_port(control)
    return Tunnel(port, server, processes.start("frpc", [client_path, "-c", str(folder / "frpc.toml")]))


def piko(processes: Processes, _: Path, service: Service) -> Tunnel:
    path = program("piko", "a release of andydunstall/piko on GitHub")
    port, upstream = free_port(), free_port()
    others = {"proxy": port, "upstream": upstream, "admin": free_port(), "gossip": free_port()}
    options = [f"--{name}.bind-addr={LOOPBACK}:{number}" for name, number in others.items()]
    server = processes.start("piko server", [path, "server", *options])
    server.wait_port(upstream)
    endpoint = service.host.partition(".")[0]  # piko takes the first label of the Host for it
    connect = [f"--connect.url=http://{LOOPBACK}:{upstream}", f"--server.bind-addr={LOOPBACK}:{free_port()}"]
    client = [path, "agent", "http", endpoint, f"{LOOPBACK}:{service.port}", *connect]
    return Tunnel(port, server, processes.start("piko agent", client))


ALL: dict[str, Start] = {"rathole": rathole, "chisel": chisel, "frp": frp, "piko": piko}
