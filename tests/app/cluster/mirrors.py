"""A mirror over a JetStream in memory, and what a test does with it."""

from app.cluster.bucket import Entry
from app.cluster.mirror import Mirror
from tests.fakes.jetstream import Connection, Server
from tests.fakes.loop import quiet

FIRST = "2026-01-01T00:00:01.000000000Z"
SECOND = "2026-01-01T00:00:02.000000000Z"


class Told:
    """What a mirror said, in order; an Entry for each change, "anew" for a bucket made anew."""

    def __init__(self, mirror: Mirror) -> None:
        self.all: list[Entry | str] = []
        mirror.on_change = self.all.append
        mirror.on_anew = lambda: self.all.append("anew")


async def connected(server: Server, mirror: Mirror | None = None) -> tuple[Mirror, Connection]:
    mirror = mirror or Mirror(server.name)
    connection = server.connect()
    mirror.connected(connection)
    await quiet()
    return mirror, connection


async def lose(mirror: Mirror, connection: Connection) -> None:
    connection.ended.set()
    connection.server.consumers.clear()
    mirror.lost()
    await quiet()


def held(mirror: Mirror) -> dict[str, bytes | None]:
    return {entry.key: entry.value for entry in mirror.items()}
