"""This node as the owner of its links: what the directory is told of them, and which of them carries a peer's stream.

A link of which a newer one is known elsewhere is doubted (`Link.doubt`): it takes nothing until something is received
over it, and is closed by its own clock if nothing is.
"""

from collections.abc import Callable, Collection
from typing import Protocol

from tunnel.errors import LinkBusyError, NodeDrainingError, NotHereError, TunnelError
from tunnel.gateway.link import Link
from tunnel.gateway.registry import Registry
from tunnel.gateway.yamux import YamuxCarrier
from tunnel.port import Pool, Target, Upstream
from tunnel.streams import ByteStream

from ..node.relief import Waiters
from .directory import Directory
from .links import UNNAMED
from .own_links import OwnLink
from .peer.preamble import Preamble
from .peer.serving import Answer, Bare, BreakOff
from .peer.splice import Raw


class Door(Waiters, Protocol):
    """The door for links that carry no bytes: `app/server/bare/door.py`."""

    def attach(
        self, stream: ByteStream, upstream: Upstream, answer: Answer, *,
        peer: str, early: bytes, fresh: bool, break_off: BreakOff,
    ) -> None:  # fmt: skip
        """Answer the requests on `stream` over `upstream`."""

    def link_left(self, label: str) -> None:
        """The link of this name takes no more requests."""

    def finish(self) -> None:
        """The node drains."""

    def close(self) -> None:
        """Reset all streams."""

    @property
    def connections(self) -> "Collection[DoorStream]":
        """The open streams."""


class DoorStream(Protocol):
    """A stream at the door."""

    @property
    def is_websocket(self) -> bool:
        """Whether it is an open WebSocket by now."""

    def end_with(self, error: TunnelError) -> None:
        """End it, for this reason; idempotent."""


class Owner:
    """See the module. It is the registry's `Watcher`."""

    def __init__(self, registry: Registry, directory: Directory, door: Door, *, on_due: Callable[[], None]) -> None:
        """`on_due`: there may be something to write for the directory."""
        self._registry = registry
        self._directory = directory
        self._door = door
        self._on_due = on_due
        self._links: dict[str, Link] = {}
        self.declines = False
        """The node leaves, and so do its agents: new streams are declined."""
        directory.on_outranked = self._outranked

    # --- the registry's links

    def ready(self, link: Link) -> None:
        """It takes exchanges, now or again."""
        own = self._directory.own
        if own.link(link.name) is not None:
            self._directory.proved(link.name)
            return
        self._links[link.name] = link
        own.came(link.name, link.cluster, link.agent_id, link.dialect, publisher=link.publisher)
        self._on_due()

    def named(self, link: Link) -> None:
        """Its agent has said who it is."""
        if link.agent_id is not None and self._directory.own.link(link.name) is not None:
            self._directory.named(link.name, link.agent_id)
            self._on_due()

    def gone(self, link: Link) -> None:
        """It is over."""
        self._door.link_left(link.name)
        self._links.pop(link.name, None)
        if self._directory.own.link(link.name) is not None:
            self._directory.own.went(link.name)
            self._on_due()

    def has_moved(self, name: str) -> bool:
        """Whether the agent of this link has a link to another node, or this one is over."""
        link = self._directory.own.link(name)
        return link is None or self._directory.is_elsewhere(link)

    def leave(self) -> None:
        """The node leaves, and so do its agents: decline what still comes."""
        self.declines = True
        self._door.finish()

    def websockets(self) -> "list[Callable[[TunnelError], object]]":
        """What ends each open WebSocket of a peer over a link that carries no bytes."""
        return [connection.end_with for connection in self._door.connections if connection.is_websocket]

    def _outranked(self, own: OwnLink) -> None:
        link = self._links.get(own.name)
        if link is not None and not link.suspect:
            link.doubt()

    # --- streams of other nodes

    def links(self, wanted: Preamble) -> Raw | Bare:
        """The way of a stream over a link of this node. Raises NotHereError, LinkBusyError, NodeDrainingError."""
        pool: Pool = (wanted.cluster, wanted.publisher) if wanted.publisher else wanted.cluster
        link = self._link(pool, wanted.agent_id)
        carrier = link.carrier
        if isinstance(carrier, YamuxCarrier):
            return Raw(carrier, link.agent_id or "")
        scheme = "https" if wanted.agent_tls else "http"
        target = Target(
            wanted.cluster, wanted.namespace, wanted.service, wanted.port, scheme, verify=False,
            publisher=wanted.publisher,
        )  # fmt: skip

        def attach(stream: ByteStream, early: bytes, answer: Answer, break_off: BreakOff) -> None:
            self._door.attach(
                stream, link.upstream(target), answer,
                peer=wanted.request_id or "a peer", early=early, fresh=wanted.fresh, break_off=break_off,
            )  # fmt: skip

        return Bare(attach, link.agent_id or "", link.dialect)

    def _link(self, pool: Pool, agent_id: str) -> Link:
        """The newest link of an agent; of any, if the asking node does not know its id."""
        links = [link for link in self._registry.links(pool) if agent_id in (UNNAMED, link.agent_id)]
        if links and self.declines:
            raise NodeDrainingError("the node leaves, and so do its agents")
        for link in reversed(links):
            if link.available:
                return link
        if any(link.suspect for link in links):
            raise LinkBusyError("the link is being asked whether it lives")
        raise NotHereError("no link of this agent takes exchanges here")

    def __repr__(self) -> str:
        return f"<Owner of {self._directory.own!r}>"
