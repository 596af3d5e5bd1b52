"""The way of a probe, hop by hop: choosing a link, the link itself, the service, and the whole.

The link's own round trip is measured by a ping that leaves when the probe is over: what a slow service takes, and what
a long path takes, can be told apart.
"""

import asyncio
from collections.abc import Iterator
from typing import Final

from tunnel.gateway.link import Link, LinkState

from ...observed.record import Record, node_of, printable
from .answer import Hop, Probed

PING_SECONDS: Final = 2.0
"""How long to wait for the answer to a ping."""


async def probed(record: Record, link: Link | None, *, was_sent: bool) -> Probed:
    """What the probe with this record met. `link`: the one it took, None where that is gone."""
    round_trip = await _round_trip(link) if link is not None and record.link else None
    return Probed(
        sent=was_sent and bool(record.link),
        request_id=record.request_id,
        status=record.status or None,
        outcome=record.outcome,
        detail=printable(record.detail) or None,
        hops=list(_hops(record, link, round_trip)),
    )


def _hops(record: Record, link: Link | None, round_trip: float | None) -> Iterator[Hop]:
    link_at, head_at = record.link_at, record.head_at
    by = f"{record.link} of agent {printable(record.agent) or '-'} ({record.dialect})"
    chosen = f"until {by} was chosen" if record.link else "no link was chosen"
    yield Hop(hop="choose", seconds=_rounded(record.link_seconds), text=chosen)
    yield Hop(hop="link", seconds=_rounded(round_trip), text=_of_link(record, link, round_trip))
    seconds = head_at - link_at if head_at is not None and link_at is not None else None
    yield Hop(hop="service", seconds=_rounded(seconds), text=_of_service(record))
    whole = f"the whole: {record.status or 'no answer'}, {record.bytes_down} bytes"
    yield Hop(hop="answer", seconds=_rounded(record.seconds), text=whole)


def _of_link(record: Record, link: Link | None, round_trip: float | None) -> str:
    if not record.link:
        return "nothing was sent"
    if node := node_of(record.link):
        return f"over node {node}: the round trip of its agent's link is not measured from here"
    if link is None or (round_trip is None and link.state is LinkState.CLOSED):
        return f"{record.link} is gone"
    if round_trip is None:
        return f"no answer to a ping on {record.link} within {PING_SECONDS:g} s"
    return f"the round trip of a ping on {record.link}"


def _of_service(record: Record) -> str:
    target = record.target
    if target is None or not record.link:
        return "no service was asked"
    service = f"{target}, over TLS" if target.scheme == "https" else str(target)
    if record.head_at is None:
        return f"no answer of {service}"
    return f"from the request's head to the head of the answer of {service}"


async def _round_trip(link: Link) -> float | None:
    """Of a ping that is sent now. None: no answer came in time."""
    answered: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    def told(seconds: float) -> None:
        if not answered.done():
            answered.set_result(seconds)

    link.round_trips.tell_next(told)
    try:
        link.probe()
        await asyncio.wait((answered,), timeout=PING_SECONDS)
    finally:
        link.round_trips.forget(told)
    return answered.result() if answered.done() else None


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)
