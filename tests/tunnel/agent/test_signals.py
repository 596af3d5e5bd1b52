"""A signal reaches the loop, whether the loop handles signals or not."""

import asyncio
import signal

import pytest

from tests.fakes.gateway import SECONDS
from tunnel.agent import signals


@pytest.fixture
def handler():
    """That of the process, which the test may replace."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("handled", [True, False], ids=["by the loop", "as on Windows"])
def test_each_signal_is_a_call(handler, handled, monkeypatch):
    async def main():
        loop = asyncio.get_running_loop()
        if not handled:
            monkeypatch.setattr(loop, "add_signal_handler", asyncio.AbstractEventLoop().add_signal_handler)
        came = asyncio.Event()
        signals.on(signal.SIGTERM, came.set)
        for _ in range(2):
            signal.raise_signal(signal.SIGTERM)
            async with asyncio.timeout(SECONDS):
                await came.wait()
            came.clear()

    asyncio.run(main())
    if not handled:
        signal.raise_signal(signal.SIGTERM)
