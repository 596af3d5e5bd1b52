"""Whether something listens at a target: people start the tunnel before the server, and then wonder about a 502."""

import asyncio
from collections.abc import Callable, Sequence

from tunnel.agent.publish.targets import Target
from tunnel.agent.service import dial
from tunnel.agent.service.services import NotReachableError, Services
from tunnel.wire.refusals import REFUSED

PATIENCE_SECONDS = 5.0
"""For a target elsewhere. One of this machine answers at once, or gets the second of a restart (`outages`)."""


async def look(targets: Sequence[Target], services: Services, note: Callable[[str], None]) -> None:
    """Connect to each target once, all at the same time; `note` is told which ones do not answer."""
    await asyncio.gather(*[_look_at(target, services, note) for target in dict.fromkeys(targets)])


async def _look_at(target: Target, services: Services, note: Callable[[str], None]) -> None:
    where = target.entry.destination
    try:
        await dial.connect(_Visitor(), where, services, PATIENCE_SECONDS)
    except dial.DialError as error:
        if error.kind == REFUSED:
            note(f"nothing listens on {where} yet")
        else:
            note(f"{where} does not answer: {error}")
    except NotReachableError as error:
        note(f"cannot reach {where}: {error}")


class _Visitor(asyncio.Protocol):
    """Closes the connection as soon as it is open."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()
