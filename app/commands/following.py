"""`follow`: what a gateway sends to those that watch, over as many connections as it takes.

A reader of server-sent events without I/O, and a loop around it. The loop goes on after the last event that it has seen
(`Last-Event-ID`), unless the gateway was started anew: then the numbers begin again, and so does the loop.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from .gateway import Query, RunningGateway
from .statuses import CommandError, Status
from .terminal import complain

SILENCE_SECONDS: Final = 45.0
"""The gateway sends a comment every 15 s."""
AGAIN_SECONDS: Final = 1.0
_MOST_BYTES: Final = 1024 * 1024
"""Of one event: the gateway's have at most 128 KiB and a row."""


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event. `identity`: its own, or that of the last one that had one."""

    name: str
    data: str
    identity: str = ""


class TooLongError(ValueError):
    """An event has no end. No gateway sends such."""


class EventReader:
    """Bytes in, events out."""

    def __init__(self) -> None:
        self._rest = b""
        self._identity = ""

    def feed(self, data: bytes) -> list[ServerEvent]:
        """The events that these bytes complete. Raises TooLongError."""
        *blocks, self._rest = (self._rest + data).replace(b"\r\n", b"\n").split(b"\n\n")
        if len(self._rest) > _MOST_BYTES:
            raise TooLongError
        return [event for block in blocks if (event := self._event(block)) is not None]

    def _event(self, block: bytes) -> ServerEvent | None:
        """The event of these lines. None: they have no data, such as comments."""
        name, lines = "message", []
        for line in block.decode("utf-8", "replace").split("\n"):
            key, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if key == "event":
                name = value
            elif key == "data":
                lines.append(value)
            elif key == "id":
                self._identity = value
        return ServerEvent(name, "\n".join(lines), self._identity) if lines else None


def follow(
    gateway: RunningGateway, path: str, query: Query, *, sleep: Callable[[float], None] | None = None
) -> Iterator[ServerEvent]:
    """The events of a path that can be watched, without end. `sleep`: in place of `time.sleep`.

    Raises CommandError where the gateway cannot be asked in the first place, or does not take our token any more.
    """
    last, process, has_begun = "", started_at(gateway), False
    asked = {**query, "watch": True}
    while True:
        headers = {"last-event-id": last} if last else {}
        reader, why = EventReader(), "the connection ended"
        try:
            with gateway.stream(path, asked, headers, seconds=SILENCE_SECONDS) as chunks:
                has_begun = True
                for chunk in chunks:
                    for event in reader.feed(chunk):
                        last = event.identity
                        yield event
        except TooLongError:
            raise gateway.not_a_gateway() from None
        except CommandError as error:
            if not has_begun or error.status is Status.UNAUTHORISED:
                raise
            why = str(error).removeprefix(f"{gateway.command}: {gateway.url}: ")
        complain(f"{gateway.command}: {gateway.url}: {why}; trying again")
        found = _found_again(gateway, sleep or time.sleep)
        if found != process:
            process, last = found, last if ":" in last else ""  # of several nodes: each has a number of its own
            asked.pop("after", None)  # a number of the process before


def _found_again(gateway: RunningGateway, sleep: Callable[[float], None]) -> str:
    """Which process answers, once one does."""
    while True:
        sleep(AGAIN_SECONDS)
        try:
            return started_at(gateway)
        except CommandError as error:
            if error.status is Status.UNAUTHORISED:
                raise


def started_at(gateway: RunningGateway) -> str:
    """Which process answers. Raises CommandError."""
    return str(gateway.ask("GET", "/-/status").get("started_at"))
