"""What the rest of the agent writes to: the gateway's socket, whichever that is at the moment (section 10).

Requests outlive the connection they came on and send what they produce on the next one. Between two connections the
first message still vanishes into the dead socket, as TCP lets it; every later one fails, and ends what produced it.
"""

import asyncio

from websockets.frames import Opcode

from tests.existing.envelope import Payload, encode, report
from tests.existing.wire import BINARY, TEXT, BrokenError, Wire

WRITE_SECONDS = 30.0


class GoneError(Exception):
    """Nothing can be sent: between two connections."""


class Link:
    """The way to the gateway."""

    def __init__(self) -> None:
        self.wire: Wire | None = None
        self.lost = False
        self._swallowed = False

    def attach(self, wire: Wire) -> None:
        """From now on everything goes here."""
        self.wire, self.lost, self._swallowed = wire, False, False

    def detach(self) -> None:
        """The connection is over; the next is not there yet."""
        self.lost = True

    async def send(self, kind: str, request_id: str, payload: Payload) -> bool:
        """One JSON message; whether it left. Raises GoneError."""
        return await self._send(TEXT, encode(kind, request_id, payload), f"{kind} {request_id}")

    async def send_binary(self, data: bytes, request_id: str) -> bool:
        """One binary message; whether it left. Raises GoneError."""
        return await self._send(BINARY, data, f"binary answer {request_id}")

    async def _send(self, opcode: Opcode, data: bytes, what: str) -> bool:
        wire = self.wire
        if wire is None or self.lost:
            report("10", f"lost between two connections: {what}")
            if wire is not None and not self._swallowed:
                self._swallowed = True
                return False
            raise GoneError
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await wire.send(opcode, data)
        except (BrokenError, TimeoutError) as error:
            report("10", f"lost with the connection: {what}")
            raise GoneError from error
        return True
