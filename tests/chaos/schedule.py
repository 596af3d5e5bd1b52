"""What goes wrong, when, and for how long: a pure function of a seed and the length of the run.

Three lanes run at once: one of gateways, one of agents, their links and services, one of NATS and of the ways between
gateways. Within a lane faults follow each other, so that at most one gateway, one thing behind it and one between are
in trouble at any moment: what is promised holds for that. Each lane deals its kinds from a shuffled deck, so that all
of them come up once before any comes up again.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

NODES = ("a", "b")
AGENTS = {"a1": "c1", "a2": "c1", "a3": "c2"}
"""The agents, and the cluster of each. c1 has two, c2 only one."""
LINKED = {"a1": NODES, "a2": NODES, "a3": NODES[:1]}
"""The gateways that each agent dials: requests for c2 that come to the other one take a hop."""
CLUSTERS = ("c1", "c2")


class Kind(StrEnum):
    GATEWAY_KILL = "gateway killed"
    GATEWAY_FREEZE = "gateway frozen"
    GATEWAY_DRAIN = "gateway drained and restarted"
    GATEWAY_RELOAD = "configuration reloaded"
    GATEWAY_DISK = "disk of a gateway full"
    AGENT_KILL = "agent killed"
    AGENT_FREEZE = "agent frozen"
    AGENT_DRAIN = "agent stopped and restarted"
    LINK_CUT = "links reset"
    LINK_HALF_OPEN = "links half-open"
    LINK_ROAM = "agent roams"
    SERVICE_KILL = "service killed"
    SERVICE_FREEZE = "service frozen"
    WAY_NATS_KILL = "NATS killed"
    WAY_NATS_CUT = "gateway cut off from NATS"
    WAY_PEERS_CUT = "gateways cut off from each other"


_LANES: tuple[dict[Kind, Sequence[str]], ...] = (
    dict.fromkeys((kind for kind in Kind if kind.name.startswith("GATEWAY")), NODES),
    dict.fromkeys((kind for kind in Kind if kind.name.startswith(("AGENT", "LINK"))), tuple(AGENTS))
    | dict.fromkeys((kind for kind in Kind if kind.name.startswith("SERVICE")), CLUSTERS),
    dict.fromkeys((kind for kind in Kind if kind.name.startswith("WAY")), NODES),
)
_PAUSE_SECONDS = (2.0, 5.0)
"""From the end of a fault to the next of its lane."""
_LONGEST_SECONDS = {Kind.GATEWAY_FREEZE: 4.0, Kind.GATEWAY_RELOAD: 0.0, Kind.LINK_HALF_OPEN: 12.0}
_SHORTEST_SECONDS = 0.2
_USUAL_SECONDS = 6.0
"""How long a process is away or frozen, at most."""


@dataclass(frozen=True, slots=True)
class Fault:
    """`at`: seconds after the start, at the earliest; a lane that is late is late. `seconds`: how long it lasts."""

    at: float
    kind: Kind
    subject: str
    """A node, an agent, or the cluster of a service."""
    seconds: float


def draw(seed: int, seconds: float) -> tuple[tuple[Fault, ...], ...]:
    """The faults of each lane, in order; none ends after `seconds`."""
    return tuple(_lane(random.Random(f"{seed} {number}"), kinds, seconds) for number, kinds in enumerate(_LANES))


def _lane(chance: random.Random, kinds: dict[Kind, Sequence[str]], seconds: float) -> tuple[Fault, ...]:
    faults: list[Fault] = []
    deck: list[Kind] = []
    at = 0.0
    while True:
        deck = deck or chance.sample(list(kinds), len(kinds))
        kind = deck.pop()
        at += chance.uniform(*_PAUSE_SECONDS)
        longest = _LONGEST_SECONDS.get(kind, _USUAL_SECONDS)
        lasts = chance.uniform(min(_SHORTEST_SECONDS, longest), longest)
        if at + lasts > seconds:
            return tuple(faults)
        faults.append(Fault(round(at, 2), kind, chance.choice(kinds[kind]), round(lasts, 2)))
        at += lasts
