"""A gateway that is one of several nodes: the parts of this room, wired together. Made where `[cluster]` is set.

It decides nothing: what the engine brings goes to presence, directory and routes; what the registry says goes to the
directory; what these want is put, dialled or closed. See `docs/cluster.md` for what an operator sees of it.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Final

from tunnel.errors import NotPassedOnError
from tunnel.port import Pool, Target, Upstream
from tunnel.version import VERSION

from ..node.asking import OtherNode
from ..node.elsewhere import Preference
from ..node.gateway import Gateway
from ..node.shared_counts import SharedCounts
from ..settings.cluster import ClusterSettings
from .announcer import Announcer
from .asking import AskNodes
from .beats import Beat, Load
from .bucket import Bucket, BucketError, Entry
from .choosing import Choosing
from .connection_watch import ConnectionWatch
from .diary import Diary
from .differences import Differences, files_hash
from .directory import Directory
from .ending import ended
from .engine import Engine
from .keys import announcements, new_node_id
from .leaving import Leaving
from .mirror import Mirror
from .owner import Door, Owner
from .peer.access_files import AccessFiles
from .peer.dialler import Dialler, Identity, LinkState, PeerState
from .peer.listener import PeerListener
from .peer.serving import Serving
from .presence import OwnState, Peer, Presence, Way
from .presence import PeerState as State
from .sharing import Sharing
from .telling import Beating, Putting
from .view import View
from .wall_clock import WallClock

logger = logging.getLogger("gateway.cluster")

TICK_SECONDS: Final = 0.25
KEEP_SECONDS: Final = 10.0
"""How often the keeper clears what gone nodes have left."""
PURGE_SECONDS: Final = 300.0
"""How often it drops old markers of deletes."""
LISTEN_AGAIN_SECONDS: Final = 5.0
LOOK_SECONDS: Final = 5.0
"""Between two looks at the files of peer links."""
GOODBYE_SECONDS: Final = 2.0
"""To tell the others that this node stops."""
BUCKETS: Final = ("nodes", "links", "routes")
_WAYS: Final = {
    LinkState.DIALLING: Way.UNKNOWN,
    LinkState.UP: Way.UP,
    LinkState.LOST: Way.LOST,
    LinkState.REFUSED: Way.REFUSED,
}


class Node:
    """See the module. A `Companion` of its gateway, and what that knows as `Elsewhere`."""

    def __init__(self, gateway: Gateway, settings: ClusterSettings, *, door: Callable[[], Door]) -> None:
        """`door` is made when the node starts, on its loop. Raises ExtraMissingError, OSError and ValueError."""
        self.id = new_node_id()
        self.name = settings.node_name
        self.settings = settings
        self.files = AccessFiles(settings)
        self.mirrors = {
            name: Mirror(f"{settings.bucket_prefix}_{name}", replicas=settings.replicas) for name in BUCKETS
        }
        self.engine = Engine(settings, name=f"tunnel-gateway {self.name} {self.id}")
        self.presence = Presence(self.id, time.monotonic())
        self.directory = Directory(self.presence)
        routes = f"{settings.bucket_prefix}_routes"
        self.counts = gateway.admission.shared = SharedCounts()
        self.wall_clock = WallClock(lambda: self.mirrors["nodes"].ahead_seconds)
        self.sharing = Sharing(
            gateway, self.mirrors["routes"], self.presence, name=routes, wall_clock=self.wall_clock
        )  # fmt: skip
        self.routes, self.published = self.sharing.routes, self.sharing.published
        self.diary = Diary(gateway.events, self.presence, self.engine)
        self.differences = Differences(self.presence, gateway.events)
        self._files_hash = ""
        self._gateway = gateway
        self._make_door = door
        self._parts: _Parts | None = None
        self._keeping: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._closed = False

    # --- Companion

    def start(self) -> None:
        """See `Companion`."""
        if self._parts is not None or self._closed:
            return
        gateway = self._gateway
        parts = self._parts = _Parts(self, gateway, self._make_door())
        gateway.nodes = View(
            self.presence, lambda: self._beat(parts.beating.seq), self.engine, self.mirrors, parts.dialler,
            parts.listener, parts.serving, self.differences, self.wall_clock,
        )  # fmt: skip
        gateway.relief.waiters.add(parts.door)
        gateway.ask = AskNodes(OtherNode(node=self.id, name=self.name), self.directory, parts.dialler)
        registry, directory = gateway.registry, self.directory
        directory.on_claim = registry.wake
        directory.on_unclaimed = parts.choosing.lost
        directory.on_peer_change = self._peer_changed
        directory.on_own_change = self._own_changed
        registry.watcher = parts.owner
        registry.lost_elsewhere = parts.choosing.lost_at
        self._watch("nodes", self._beat_came)
        self._watch("links", self._claim_came)
        self.mirrors["links"].on_anew = self._links_anew
        for mirror in self.mirrors.values():
            self.engine.attach(mirror)
        self.engine.attach(parts.announcer)
        self.engine.attach(ConnectionWatch(self.presence, time.monotonic, on_back=parts.putting.due))
        self.engine.start()
        parts.beating.start()
        parts.putting.start()
        gateway.drain.on_begin.append(parts.beating.soon)
        gateway.drain.leave = self.leave
        loop = asyncio.get_running_loop()
        for work in (self._listen, self._look_at_files, self.sharing.run, self._compare_files, self._keep):
            self._keeping.add(loop.create_task(work(), name=f"cluster {work.__name__}"))
        self._due = time.monotonic()
        self._tick()
        logger.info("node %s (%s): cluster %s", self.id, self.name, ", ".join(self.settings.servers))

    def stop(self) -> None:
        """See `Companion`: `aclose` is what stops it."""

    async def aclose(self) -> None:
        """See `Elsewhere`."""
        self._closed = True
        parts = self._parts
        if parts is None:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await ended(self._keeping)
        self._keeping.clear()
        await parts.beating.aclose()
        if self.engine.connection is not None:
            await self._say_goodbye(parts)
        await parts.putting.aclose()
        parts.door.close()
        await parts.dialler.close()
        if parts.listener is not None:
            await parts.listener.close()
        parts.choosing.close()
        await self.engine.aclose()

    async def _say_goodbye(self, parts: "_Parts") -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_SECONDS):
                await parts.putting.put_all(GOODBYE_SECONDS / 2)
                await parts.beating.goodbye(self._beat(parts.beating.seq + 1, bye=True))

    # --- Elsewhere

    def has(self, pool: Pool) -> bool:
        """See `Elsewhere`."""
        return self.directory.has(pool)

    def choose(self, target: Target, avoid: Upstream | None, preference: Preference | None) -> Upstream | None:
        """See `Elsewhere`."""
        parts = self._parts
        return parts.choosing.choose(target, avoid, preference) if parts is not None else None

    def not_taken(self, upstream: Upstream, error: NotPassedOnError) -> None:
        """See `Elsewhere`."""
        if self._parts is not None:
            self._parts.choosing.not_taken(upstream, error)

    def serves(self, pool: Pool) -> bool:
        """See `Elsewhere`."""
        return self.directory.serves(pool)

    def pools(self) -> set[Pool]:
        """See `Elsewhere`."""
        return self.directory.pools()

    async def leave(self, deadline: float) -> None:
        """See `Elsewhere`."""
        if self._parts is not None:
            try:
                await self._parts.leaving.run(deadline)
            except Exception:  # the drain goes on
                logger.exception("giving the links of this node away failed")

    # --- the parts, for the operator

    @property
    def parts(self) -> "_Parts | None":
        """What there is once the node has started."""
        return self._parts

    # --- the engine

    def _watch(self, name: str, change: Callable[[Entry], None]) -> None:
        self.mirrors[name].on_change = change

    def _beat_came(self, entry: Entry) -> None:
        self.presence.changed(entry, time.monotonic(), is_listed=not self.mirrors["nodes"].synced)
        peer = self.presence.peer(entry.key)
        if peer is not None and peer.beat is not None and peer.state is not State.GONE:
            self.counts.heard(peer.node, peer.beat.websockets)

    def _claim_came(self, entry: Entry) -> None:
        self.directory.changed(entry, time.monotonic())
        if self._parts is not None:
            self._parts.putting.due()

    def _links_anew(self) -> None:
        self.directory.anew()
        if self._parts is not None:
            self._parts.putting.due()

    def _beat(self, seq: int, *, bye: bool = False) -> Beat:
        gateway = self._gateway
        websockets = gateway.metrics.websockets_active
        counts = self.counts.to_tell(gateway.admission.count_of)
        return Beat(
            name=self.name[:255], peer_url=self.settings.peer_url or "", build=VERSION, started=gateway.started_at,
            seq=seq, draining=gateway.draining, bye=bye,
            load=Load(len(gateway.registry.links()), max(0, len(gateway.exchanges) - websockets), websockets),
            files=self._files_hash,
            routes_revision=self.mirrors["routes"].revision,
            per_cluster_websockets=counts.get("cluster", {}), per_route_websockets=counts.get("route", {}),
            per_client_websockets=counts.get("client", {}),
        )  # fmt: skip

    # --- what presence says

    def _peer_changed(self, peer: Peer) -> None:
        parts = self._parts
        if parts is None or self._closed:
            return
        self.diary.peer_changed(peer)
        if peer.state is State.GONE:
            self.counts.gone(peer.node)
            parts.dialler.forget(peer.node)
            parts.choosing.gone(peer.node)
        else:
            self._dial(parts, peer)

    def _dial(self, parts: "_Parts", peer: Peer) -> None:
        if peer.rank is not None and peer.beat is not None and peer.beat.peer_url:
            parts.dialler.heard(peer.node, peer.beat.peer_url)

    def _own_changed(self, state: OwnState) -> None:
        if self._closed:
            return
        connected = state is OwnState.CONNECTED
        for mirror in self.mirrors.values():
            if connected:
                mirror.thaw()
            else:
                mirror.freeze()
        self.diary.own_changed(state)

    def way_changed(self, node: str, way: PeerState) -> None:
        """The link to another node is up, lost or refused."""
        parts = self._parts
        if parts is None:
            return
        if way.state is LinkState.UP:
            parts.choosing.reached(node)
        else:
            parts.choosing.unreachable(node)
        self.presence.way(node, _WAYS[way.state])
        self.diary.link_changed(node, way)

    # --- time

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(TICK_SECONDS, self._tick)
        now, due = time.monotonic(), self._due
        self._due = now + TICK_SECONDS
        self.directory.tick(now, due)
        self.diary.tick()

    async def _listen(self) -> None:
        """Listen for other nodes; again and again where that fails."""
        parts, bind = self._parts, self.settings.peer_bind
        if parts is None or bind is None or parts.listener is None:
            return
        while True:
            try:
                await parts.listener.open()
                return
            except OSError as error:
                logger.warning("peer_bind %s:%d cannot be bound, so no other node reaches this one: %s", *bind, error)
                await asyncio.sleep(LISTEN_AGAIN_SECONDS)

    async def _look_at_files(self) -> None:
        """Take up secrets and certificates that have changed, whether this node listens or only dials."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                self.files.look()
            except Exception:
                logger.exception("the secrets and certificates of peer links could not be looked at")
            if self._parts is not None and self._parts.listener is not None:
                self._parts.listener.access = self.files.access

    async def _compare_files(self) -> None:
        """Say what the routes of this node's file are, and look whether the others have the same."""
        hashed = None
        while True:
            routes = self._gateway.settings.routes
            if routes is not hashed:
                self._files_hash, hashed = await asyncio.to_thread(files_hash, routes.routes), routes
            self.differences.look(self._beat(0), time.monotonic())
            await asyncio.sleep(1.0)

    async def _keep(self) -> None:
        """Dial who found no room before; and what one node does for all: clear what gone nodes have left."""
        purge_at = time.monotonic() + PURGE_SECONDS
        while True:
            await asyncio.sleep(KEEP_SECONDS)
            if self._parts is not None:
                for peer in self.presence:
                    self._dial(self._parts, peer)
            if not self.presence.is_keeper:
                continue
            try:
                for name, key, revision in list(self.directory.left_over()):
                    await self._drop(self.mirrors[name], key, revision)
                if time.monotonic() >= purge_at:
                    purge_at = time.monotonic() + PURGE_SECONDS
                    for mirror in self.mirrors.values():
                        await mirror.purge_markers()
            except BucketError as error:
                logger.debug("what gone nodes have left stays for now: %s", error)
            except Exception:
                logger.exception("clearing what gone nodes have left failed")

    async def _drop(self, bucket: Bucket, key: str, revision: int) -> None:
        try:
            await bucket.delete(key, revision)
        except BucketError as error:
            logger.debug("%s stays for now: %s", key, error)

    def __repr__(self) -> str:
        return f"<Node {self.id} ({self.name}), {self.engine!r}>"


class _Parts:
    """What needs a running loop."""

    def __init__(self, node: Node, gateway: Gateway, door: Door) -> None:
        self.door = door
        self.putting = Putting(node.mirrors["links"], node.directory.own)
        self.beating = Beating(node.mirrors["nodes"], node.presence, node._beat)  # noqa: SLF001  (a part of it)
        self.announcer = Announcer(announcements(node.settings.bucket_prefix), node.directory)
        self.owner = Owner(gateway.registry, node.directory, door, on_due=self.links_due)
        self.serving = Serving(self.owner.links, gateway.operator)
        self.dialler = Dialler(
            Identity(node.id, VERSION, lambda: node.files.secret, lambda: node.files.client),
            account=gateway.account, on_change=node.way_changed, beats=node.presence.beats,
        )  # fmt: skip
        self.choosing = Choosing(node.directory, self.dialler, gateway.registry, clock=time.monotonic)
        self.listener: PeerListener | None = None
        """None: no other node reaches this one."""
        if node.settings.peer_bind is not None:
            host, port = node.settings.peer_bind
            self.listener = PeerListener(
                self.serving, node=node.id, build=VERSION, host=host, port=port, access=node.files.access,
                account=gateway.account, tls=node.files.server,
            )  # fmt: skip
        self.leaving = Leaving(
            gateway.registry, self.owner, self.serving,
            lambda: self.listener.links.values() if self.listener is not None else (),
        )  # fmt: skip

    def links_due(self) -> None:
        """There may be links to put and to announce."""
        self.announcer.due()
        self.putting.due()
