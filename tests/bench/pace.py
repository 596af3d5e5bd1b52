"""WebSockets that each send a message at a fixed interval, evenly spread over time."""

import asyncio
from collections.abc import Sequence

from tests.bench.ws_client import TEXT, Client


class Pace:
    """Goes on until `stop`, and counts what comes back."""

    def __init__(self, clients: Sequence[Client], message: bytes, interval_seconds: float) -> None:
        self._message = message
        self._interval = interval_seconds
        self._loop = asyncio.get_running_loop()
        self._going_on = True
        self.received = 0
        began = self._loop.time() + 0.1
        for number, client in enumerate(clients):
            client.on_message = self._count
            at = began + number * interval_seconds / len(clients)
            self._loop.call_at(at, self._send, client, at)

    def _count(self, _: bytes) -> None:
        self.received += 1

    def _send(self, client: Client, turn_at: float) -> None:
        if self._going_on:
            client.send(TEXT, self._message)
            turn_at += self._interval
            self._loop.call_at(turn_at, self._send, client, turn_at)

    def stop(self) -> None:
        self._going_on = False
