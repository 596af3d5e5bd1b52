"""How each kind of fault is done to a world, and when what it broke is in place again.

Each `act` blocks until what it broke is in place again: a gateway with all agents but one, which the other lane may
have, or an agent with a link to each gateway. The trouble that it enters in the ledger lasts as long; what does not
come back at all is a violation. A fault's length is a part of the fault, not a wait for something.
"""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import msgspec

from tests.chaos.entries import Trouble
from tests.chaos.ledger import Ledger
from tests.chaos.schedule import AGENTS, LINKED, NODES, Fault, Kind
from tests.chaos.world import BACK_SECONDS, World, full_disk
from tests.system.harness import LOOPBACK, NAMESPACE, TOKEN, free_port
from tests.system.process import Process, wait_until
from tests.system.test_reload import REFUSED, RELOADED

DRAINED_SECONDS = 30.0
NOBODY = "no cluster"
HOPPING = frozenset(AGENTS[agent] for agent, dialled in LINKED.items() if len(dialled) < len(NODES))
"""Clusters that one gateway reaches through the other."""
HOMES = frozenset(name for dialled in LINKED.values() if len(dialled) < len(NODES) for name in dialled)
REGISTER_SECONDS = 10.0


class Faults:
    """Acts on one world, and writes down what it did."""

    def __init__(self, world: World, ledger: Ledger) -> None:
        self._world = world
        self._ledger = ledger
        self._registered = 0
        self._acts: dict[Kind, Callable[[Fault, Trouble], None]] = {
            Kind.GATEWAY_KILL: self._kill_gateway,
            Kind.GATEWAY_FREEZE: lambda fault, _: freeze(self._world.nodes[fault.subject].gateway, fault.seconds),
            Kind.GATEWAY_DRAIN: self._drain_gateway,
            Kind.GATEWAY_RELOAD: self._reload,
            Kind.GATEWAY_DISK: self._fill_disk,
            Kind.AGENT_KILL: self._kill_agent,
            Kind.AGENT_FREEZE: lambda fault, _: freeze(self._world.agents[fault.subject], fault.seconds),
            Kind.AGENT_DRAIN: self._drain_agent,
            Kind.LINK_CUT: self._reset_links,
            Kind.LINK_HALF_OPEN: self._half_open,
            Kind.LINK_ROAM: self._roam,
            Kind.SERVICE_KILL: self._kill_service,
            Kind.SERVICE_FREEZE: lambda fault, _: freeze(self._world.services[fault.subject], fault.seconds),
            Kind.WAY_NATS_KILL: self._kill_nats,
            Kind.WAY_NATS_CUT: self._cut_nats,
            Kind.WAY_PEERS_CUT: self._cut_peers,
        }

    def act(self, fault: Fault) -> None:
        is_way = fault.kind.name.startswith("WAY")
        node = None if is_way else self._world.nodes.get(fault.subject)
        trouble = Trouble(fault.kind, time.monotonic(), float("inf"))
        if is_way:
            # Nothing may fail for want of NATS; between gateways, only what takes a hop.
            trouble.cluster = NOBODY
            trouble.beyond = HOPPING if fault.kind is Kind.WAY_PEERS_CUT else frozenset()
        elif node is not None:
            trouble.node = node.name
            trouble.beyond = HOPPING if node.name in HOMES else frozenset()
        else:
            trouble.cluster = AGENTS.get(fault.subject, fault.subject)
        self._ledger.troubles.append(trouble)
        try:
            self._acts[fault.kind](fault, trouble)
            if is_way:
                self._world.wait_reached()
            elif node is not None:
                self._world.wait_serving(node)
            else:
                self._world.wait_whole()
        except (AssertionError, OSError) as error:
            self._ledger.unhealed.append(f"{fault.kind}, {fault.subject}: {error}")
        trouble.ended = time.monotonic()

    def _kill_gateway(self, fault: Fault, trouble: Trouble) -> None:
        trouble.dead_until = float("inf")
        node = self._world.nodes[fault.subject]
        node.gateway.kill()
        time.sleep(fault.seconds)  # the fault itself
        node.start_gateway()
        trouble.dead_until = time.monotonic()

    def _drain_gateway(self, fault: Fault, _: Trouble) -> None:
        node = self._world.nodes[fault.subject]
        node.gateway.signal(signal.SIGTERM)
        assert node.gateway.wait_end(DRAINED_SECONDS) == 0
        time.sleep(fault.seconds)  # the fault itself
        node.start_gateway()

    def _reload(self, fault: Fault, _: Trouble) -> None:
        """A bad file, which is refused, then a good one with one more route."""
        node = self._world.nodes[fault.subject]
        good = node.write_config()
        more = (
            f'\n[[routes]]\nhost = "more{free_port()}.test"\ncluster = "c1"\nnamespace = "{NAMESPACE}"\nservice = "x"'
        )
        for addition, line in ((f"{more}\nport = 0\n", REFUSED), (f"{more}\nport = 80\n", RELOADED)):
            before = said(node.gateway, line)
            good.write_text(node.write_config().read_text(encoding="utf-8") + addition, encoding="utf-8")
            node.gateway.signal(signal.SIGHUP)
            wait_until(lambda line=line, before=before: said(node.gateway, line) > before, BACK_SECONDS, line)

    def _fill_disk(self, fault: Fault, _: Trouble) -> None:
        """Routes are registered meanwhile: that is what the gateway writes. They get an answer, whichever."""
        node = self._world.nodes[fault.subject]
        until = time.monotonic() + fault.seconds
        with full_disk(node.gateway):
            while time.monotonic() < until:
                self._register(node.port)
                time.sleep(0.2)  # the pace of agents that register
        # At once, but for the other lane: without NATS's answer an agent is told to try again.
        wait_until(lambda: self._register(node.port) == 200, BACK_SECONDS, "a route is registered again")

    def _register(self, port: int) -> int:
        self._registered += 1
        target = {"namespace": NAMESPACE, "service_name": "x", "service_port": 80, "path": "/", "path_type": "Prefix"}
        body = {"hostname": f"h{self._registered}.learned.test", "cluster_uuid": "c1", "tls": True, **target}
        url = f"http://{LOOPBACK}:{port}/api/v1/gateway/routes/register"
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        try:
            with urlopen(Request(url, msgspec.json.encode(body), headers), timeout=REGISTER_SECONDS) as answer:
                return int(answer.status)
        except HTTPError as error:
            with error:
                return error.code

    def _kill_agent(self, fault: Fault, _: Trouble) -> None:
        self._world.agents[fault.subject].kill()
        self._bring_back_agent(fault)

    def _drain_agent(self, fault: Fault, _: Trouble) -> None:
        assert self._world.agents[fault.subject].stop() == 0
        self._bring_back_agent(fault)

    def _bring_back_agent(self, fault: Fault) -> None:
        time.sleep(fault.seconds)  # the fault itself
        self._world.agents[fault.subject] = self._world.start_agent(fault.subject)

    def _reset_links(self, fault: Fault, _: Trouble) -> None:
        for relay in self._world.relays[fault.subject]:
            relay.drop()

    def _half_open(self, fault: Fault, _: Trouble) -> None:
        """Nothing passes, and nobody is told; then all is gone, and new links can be made."""
        relays = self._world.relays[fault.subject]
        for relay in relays:
            relay.cut()
        time.sleep(fault.seconds)  # the fault itself
        for relay in relays:
            relay.drop()
            relay.heal()

    def _roam(self, fault: Fault, _: Trouble) -> None:
        """The old connections lead nowhere, for good; new ones work at once. Both ends have to notice."""
        with self._links_renewed(fault.subject):
            for relay in self._world.relays[fault.subject]:
                relay.strand()

    @contextmanager
    def _links_renewed(self, agent: str) -> Iterator[None]:
        relays = self._world.relays[agent]
        before = [relay.connections for relay in relays]
        yield
        wait_until(
            lambda: all(relay.connections > count for relay, count in zip(relays, before, strict=True)),
            BACK_SECONDS,
            f"agent {agent} ({AGENTS[agent]}) dials both gateways anew",
        )

    def _kill_nats(self, fault: Fault, _: Trouble) -> None:
        self._world.nats.kill()
        time.sleep(fault.seconds)  # the fault itself
        self._world.nats.start()

    def _cut_nats(self, fault: Fault, _: Trouble) -> None:
        relay = self._world.nats_relays[fault.subject]
        relay.cut()
        time.sleep(fault.seconds)  # the fault itself
        relay.heal()

    def _cut_peers(self, fault: Fault, _: Trouble) -> None:
        for relay in self._world.peer_relays.values():
            relay.cut_from(NODES)
        time.sleep(fault.seconds)  # the fault itself
        for relay in self._world.peer_relays.values():
            relay.heal_for(NODES)

    def _kill_service(self, fault: Fault, _: Trouble) -> None:
        self._world.services[fault.subject].kill()
        time.sleep(fault.seconds)  # the fault itself
        self._world.services[fault.subject] = self._world.start_service(fault.subject)


def freeze(process: Process, seconds: float) -> None:
    process.signal(signal.SIGSTOP)
    try:
        time.sleep(seconds)  # the fault itself
    finally:
        process.signal(signal.SIGCONT)


def said(process: Process, text: str) -> int:
    return sum(text in line for line in process.output())
