"""A whole gateway whose door has room for a few connections, without sockets."""

import asyncio
from types import TracebackType
from typing import Any, Self

from app.observed.metrics import Shed
from app.server.connection import Connection
from app.server.crowd import Crowd
from app.server.descriptors import Room
from app.server.http import reception_of
from tests.app.server.door_stage import Front, Visitor
from tests.app.stage import HOST, Stage
from tests.fakes.loop import quiet
from tests.fakes.transport import FakeTransport


class Crowded:
    """Its stage and its crowd. `come`: another client."""

    def __init__(self, most: int, reserve: int, **settings: Any) -> None:
        self.stage = Stage(**settings)
        front = Front(self.stage, timeout_keep_alive=75)
        self.loop = asyncio.get_running_loop()
        self.reception = reception_of(front.config, front.state, {}, self.loop)
        self.metrics = self.stage.gateway.metrics
        self.crowd = Crowd(self.reception, Room(most, reserve), self.metrics)
        self.clients: list[Client] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in self.clients:
            client.wire.lose()
        await quiet()
        self.crowd.stop()
        await self.stage.__aexit__(kind, error, trace)
        if kind is None:
            assert self.reception.connections == set()
            assert len(self.reception.deadlines) == 0

    def come(self, *, stuck: bool = False) -> "Client":
        self.clients.append(Client(self, stuck=stuck))
        return self.clients[-1]

    async def answered(self) -> "Client":
        """A client that got an answer and keeps its connection."""
        client = self.come()
        await client.served()
        return client

    def shed(self) -> dict[str, int]:
        """Connections that were ended so far, by the reason."""
        return {reason.value: count for reason, count in self.metrics.connections_shed.items() if count}


class Client(Visitor):
    """One client's connection."""

    def __init__(self, crowded: Crowded, *, stuck: bool = False) -> None:
        self.crowded = crowded
        self.wire = FakeTransport()
        self.wire.stuck = stuck
        self.connection = Connection(crowded.reception, crowded.loop)
        self.protocol = self.connection  # type: ignore[assignment]
        self.wire.protocol = self.connection
        self.wire.can_write_eof = lambda: True  # type: ignore[method-assign]
        self.connection.connection_made(self.wire)

    def send(self, data: bytes) -> None:
        self.connection.data_received(data)

    async def served(self) -> None:
        """Ask for something of the routed service, and get it."""
        self.ask(host=HOST)
        self.crowded.stage.link.exchanges[-1].whole(b"served")
        await quiet()

    @property
    def is_there(self) -> bool:
        return not self.wire.closed


NOBODY: dict[str, int] = {}
IDLE, TURNED_AWAY, CUT_OFF = (reason.value for reason in Shed)
