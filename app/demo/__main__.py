"""`python -m app.demo`: starts a gateway, an agent and applications behind it, and shows their output.

Everything listens on 127.0.0.1. After Ctrl-C nothing is left except Uptime Kuma, installed in the user's cache. The
applications' names end in `.localhost`, which browsers resolve to this machine.
"""

import asyncio
import contextlib
import secrets
import signal
import socket
import sys
import tempfile
from pathlib import Path

from . import kuma

_GATEWAY = (__package__ or "").rpartition(".")[0]
"""The parent package: `app` in a checkout, `tunnel_gateway` in an installed wheel."""
_COLOURS = {"gateway": 36, "agent": 35, "chat": 33, "kuma": 32}
_CONFIGURATION = """\
[[agents]]
token = "{token}"
clusters = ["demo"]

[[routes]]
host = "chat.localhost"
cluster = "demo"
namespace = "apps"
service = "chat"
port = 80

[[routes]]
host = "kuma.localhost"
cluster = "demo"
namespace = "apps"
service = "kuma"
port = 3001
"""


class Demo:
    """The processes of the demonstration."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: list[asyncio.subprocess.Process] = []
        self._readers: list[asyncio.Task[None]] = []
        self._tty = sys.stdout.isatty()

    def say(self, name: str, line: str) -> None:
        """Print one line with the name of the process that wrote it."""
        tag = f"{name:>8}"
        colour = _COLOURS.get(name)
        print(f"\x1b[{colour}m{tag}\x1b[0m  {line}" if self._tty and colour else f"{tag}  {line}", flush=True)

    async def start(self, name: str, command: list[str], ready: str | None = None, cwd: Path | None = None) -> None:
        """Start a process and show its output. Returns once a line contains `ready`. Raises RuntimeError."""
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=cwd,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches only us, and we stop the processes in order
        )
        self._processes.append(process)
        seen = asyncio.Event()
        self._readers.append(asyncio.create_task(self._read(name, process, ready, seen)))
        if ready is not None:
            waiter = asyncio.create_task(seen.wait())
            ended = asyncio.create_task(process.wait())
            await asyncio.wait((waiter, ended), return_when=asyncio.FIRST_COMPLETED, timeout=60)
            waiter.cancel()
            ended.cancel()
            if not seen.is_set():
                raise RuntimeError(f"{name} did not start; see its last lines above")

    async def _read(
        self, name: str, process: asyncio.subprocess.Process, ready: str | None, seen: asyncio.Event
    ) -> None:
        assert process.stdout is not None  # noqa: S101  (it is a pipe)
        async for raw in process.stdout:
            line = raw.decode("utf-8", "replace").rstrip()
            if ready is not None and ready in line:
                seen.set()
            if name != "kuma":  # it logs too much
                self.say(name, line)
        status = await process.wait()
        if status not in (0, -signal.SIGTERM):
            self.say(name, f"ended with status {status}")

    async def stop(self) -> None:
        """Stop all processes, the last one first."""
        for process in reversed(self._processes):
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()
                try:
                    async with asyncio.timeout(12):
                        await process.wait()
                except TimeoutError:
                    process.kill()
                    await process.wait()
        await asyncio.gather(*self._readers)

    async def uptime_kuma(self, port: int, url: str) -> None:
        """Install and start Uptime Kuma, if Node.js is installed."""
        if (reason := kuma.missing()) is not None:
            self.say("demo", f"Uptime Kuma is skipped: {reason}. The chat above works without it.")
            return
        self.say("demo", "Uptime Kuma: installing from npm (a minute or two the first time) ...")
        try:
            program = await asyncio.to_thread(kuma.install)
            command = kuma.command(program, port, self._folder / "kuma")
            await self.start("kuma", command, ready="Listening on", cwd=program)
        except (kuma.KumaError, RuntimeError) as error:
            self.say("demo", f"Uptime Kuma is skipped: {error}")
            return
        self.say("demo", f"Uptime Kuma is ready:  {url}")


def _free_port(wanted: int = 0) -> int:
    """`wanted` if it is free, else another free port."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                free: int = probe.getsockname()[1]
                return free
    raise RuntimeError("no free port on 127.0.0.1")


async def run() -> int:
    """Run the demonstration until Ctrl-C. Returns the exit status."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with tempfile.TemporaryDirectory(prefix="tunnel-demo-") as name:
        folder = Path(name)
        demo = Demo(folder)
        kuma_task: asyncio.Task[None] | None = None
        token = secrets.token_urlsafe(24)
        (folder / "gateway.toml").write_text(_CONFIGURATION.format(token=token))
        (folder / "token").write_text(token)
        port, chat_port, kuma_port = _free_port(8080), _free_port(), _free_port()
        python = sys.executable
        try:
            await demo.start("chat", [python, "-m", f"{__package__}.chat", str(chat_port)])
            gateway = [python, "-m", _GATEWAY, "--config", str(folder / "gateway.toml"), "--port", str(port)]
            await demo.start("gateway", gateway, ready="ready")
            agent = [python, "-m", "tunnel.agent", "--gateway", f"ws://127.0.0.1:{port}/agent"]
            agent += ["--token-file", str(folder / "token"), "--cluster", "demo"]
            agent += ["--service", f"chat.apps:80=127.0.0.1:{chat_port}"]
            agent += ["--service", f"kuma.apps:3001=127.0.0.1:{kuma_port}"]
            await demo.start("agent", agent, ready="ready")
            demo.say("demo", "")
            demo.say("demo", f"Chat (Socket.IO):      http://chat.localhost:{port}/")
            demo.say("demo", "Open it in a browser. The traffic is shown below. Press Ctrl-C to stop.")
            demo.say("demo", "")
            kuma_task = asyncio.create_task(demo.uptime_kuma(kuma_port, f"http://kuma.localhost:{port}/"))
            await stop.wait()
        except RuntimeError as error:
            demo.say("demo", str(error))
            return 1
        finally:
            if kuma_task is not None:
                kuma_task.cancel()
                await asyncio.gather(kuma_task, return_exceptions=True)
            await demo.stop()
    return 0


if __name__ == "__main__":
    raise SystemExit(asyncio.run(run()))
