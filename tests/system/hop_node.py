"""A gateway that is one of two nodes, wired by hand: `python -m tests.system.hop_node --config FILE --port N ...`

With `--listen PORT` it owns its links: streams of the other node go to them, raw or through the bare door. With
`--owner URL` it has no agents: what is routed to c1 goes to the node there, whose agent speaks `--dialect`. All else is
the gateway's own, as it is served.
"""

import argparse
import asyncio
import contextlib
import sys

from app import serve
from app.cluster.peer.dialler import Dialler, Identity, LinkState, PeerState
from app.cluster.peer.handshake import Access
from app.cluster.peer.listener import PeerListener
from app.cluster.peer.preamble import Preamble
from app.cluster.peer.serving import Answer, Bare, BreakOff, Serving
from app.cluster.peer.splice import Raw
from app.main import create_app
from app.node.gateway import Gateway
from app.server.bare.door import BareDoor
from app.settings import load
from tests.fakes.link import FakeLink
from tunnel.errors import LinkLostError, NoAgentError, NotHereError
from tunnel.gateway.yamux import YamuxCarrier
from tunnel.port import Target, Upstream
from tunnel.streams import ByteStream

SECRET = b"of the nodes in the tests"


class Owner:
    """A companion of the gateway whose links other nodes use."""

    def __init__(self, gateway: Gateway, port: int) -> None:
        self.gateway = gateway
        self.port = port
        self.listener: PeerListener | None = None
        self.door: BareDoor | None = None

    def start(self) -> None:
        if self.listener is None:
            loop = asyncio.get_running_loop()
            self.door = BareDoor(self.gateway.account, loop)
            self.gateway.relief.waiters.add(self.door)
            self.listener = PeerListener(
                Serving(self.own_links), node="owner", build="test", host="127.0.0.1", port=self.port,
                access=Access((SECRET,), certificates=False), account=self.gateway.account,
            )  # fmt: skip
            self.opening = loop.create_task(self.listener.open())

    def stop(self) -> None:
        if self.listener is not None:
            self.closing = asyncio.get_running_loop().create_task(self.listener.close())

    def own_links(self, wanted: Preamble) -> Raw | Bare:
        try:
            link = self.gateway.registry.select(wanted.cluster)
        except NoAgentError as error:
            raise NotHereError(str(error)) from None
        carrier = link.carrier  # type: ignore[attr-defined]
        if isinstance(carrier, YamuxCarrier):
            return Raw(carrier, link.agent_id or "")
        scheme = "https" if wanted.agent_tls else "http"
        target = Target(wanted.cluster, wanted.namespace, wanted.service, wanted.port, scheme, verify=False)

        def attach(stream: ByteStream, early: bytes, answer: Answer, break_off: BreakOff) -> None:
            assert self.door is not None
            self.door.attach(
                stream, link.upstream(target), answer,
                peer="asker", early=early, fresh=wanted.fresh, break_off=break_off,
            )  # fmt: skip

        return Bare(attach, link.agent_id or "", link.dialect)


class Hop(FakeLink):
    """The other node, in place of a link of our own."""

    def __init__(self, dialler: Dialler, dialect: str) -> None:
        super().__init__(agent_id=None)
        self.dialler = dialler
        self.dialect = dialect

    def upstream(self, target: Target) -> Upstream:  # type: ignore[override]
        asking = self.dialler.asking("owner")
        if asking is None:
            raise LinkLostError("there is no way to the other node")
        return asking.upstream(target, dialect=self.dialect)


class Asker:
    """A companion of the gateway that has no agents."""

    def __init__(self, gateway: Gateway, url: str, dialect: str) -> None:
        self.gateway = gateway
        self.url = url
        identity = Identity("asker", "test", lambda: SECRET)
        self.dialler = Dialler(identity, account=gateway.account, on_change=self._changed)
        self.hop = Hop(self.dialler, dialect)
        self.is_known = False

    def start(self) -> None:
        self.dialler.heard("owner", self.url)

    def stop(self) -> None:
        self.closing = asyncio.get_running_loop().create_task(self.dialler.close())

    def _changed(self, _node: str, state: PeerState) -> None:
        registry = self.gateway.registry
        if state.state is LinkState.UP and not self.is_known:
            self.is_known = True
            registry.add(self.hop)  # type: ignore[arg-type]
        elif state.state is not LinkState.UP and self.is_known:
            self.is_known = False
            registry.remove(self.hop)  # type: ignore[arg-type]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--config")
    parser.add_argument("--port", type=int)
    parser.add_argument("--listen", type=int)
    parser.add_argument("--owner")
    parser.add_argument("--dialect", default="yamux")
    options = parser.parse_args()

    def create(settings):
        app = create_app(settings)
        gateway: Gateway = app.state.gateway
        companion = (
            Asker(gateway, options.owner, options.dialect) if options.owner else Owner(gateway, options.listen)
        )  # fmt: skip
        gateway.companions.append(companion)
        return app

    serve.create_app = create
    with contextlib.suppress(KeyboardInterrupt):
        return serve.serve(load(options.config), "127.0.0.1", options.port, made=[])
    return 0


if __name__ == "__main__":
    sys.exit(main())
