"""`python -m tunnel.agent` as a process of its own, which ends with the test."""

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

from tests.fakes.gateway import SECONDS

ROOT = Path(__file__).parents[3]


class AgentProcess:
    """Standard output and standard error are pipes. It gets no settings of whoever runs the tests, and no home."""

    def __init__(self, *arguments, **environment):
        self._arguments = arguments
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("AGENT_", "XDG_"))}
        self._environment = {**kept, "HOME": "", **environment}

    async def __aenter__(self):
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tunnel.agent", *self._arguments,
            cwd=ROOT, env=self._environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        return self

    async def __aexit__(self, *exception):
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.communicate()

    def signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    async def end(self):
        """Its exit status, the rest of its output, and of what it wrote to standard error."""
        async with asyncio.timeout(SECONDS):
            out, err = await self.process.communicate()
        return self.process.returncode, out.decode().splitlines(), err.decode().splitlines()
