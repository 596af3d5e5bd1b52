"""Published hosts of all nodes: an agent publishes on one of them, and every node serves its hosts.

A host is one key of the bucket `routes`, and the engine's compare-and-set decides between two nodes. Each node's
`Publications` is the copy: what other nodes have put is taken into it, so whether a host is free, the bounds of a token
and of the gateway, and what is served are decided there as on one node. What agents of this node publish is in force
here at once, and `settle` puts it; the loser of a race has it for that moment.

| what happens | what is done |
|---|---|
| an agent of this node publishes, or its link ends | its hosts are put, with `away` for the latter |
| its routes go, `LINGER_SECONDS` after its link | their keys are deleted by their revisions |
| an agent publishes over another node | that one takes the key; here its routes go if they have no link any more |
| it has links with two nodes | the one that it used last has the key; once that is away or gone, the other puts it |
| another agent of the same machine and token publishes what is away | it takes the key |
| another agent has the key | this node's agent loses the host, and is told |
| the engine is away | all of this waits, until `catch_up` finds it back |
| a node is gone | its hosts count as away; after `LINGER_SECONDS` the keeper deletes its keys |
| this node's key is gone (it was taken for gone; the bucket was made anew) | it is put again |
| another node's key is gone without a word | its routes stay for `KEEP_SECONDS`, as links do |
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Final

from ..published import LINGER_SECONDS, Publications
from ..published.publication import HeldRoutes, Told
from . import published_host
from .awaited import Awaited
from .bucket import Bucket, BucketError, ConflictError, Entry, UncertainError
from .directory import KEEP_SECONDS
from .keys import NotAKeyError, key_of_published, published_host_of
from .presence import PeerState, Presence
from .turns import Turns, in_batches
from .values import Complaints, ValueIgnoredError

logger = logging.getLogger("gateway.routes")

TRIES: Final = 3
MOVED_SECONDS: Final = 2.0
"""After an agent has published over another node, for all that it publishes there to be known here."""
_AT_ONCE: Final = 20
_HOSTS_PER_TURN: Final = 50
"""Taken in one turn of the loop: 2 ms."""


class SharedPublications:
    """The published hosts of all nodes, as one of them puts and copies them. `clock`: monotonic seconds."""

    def __init__(self, bucket: Bucket, copy: Publications, presence: Presence, *, clock: Callable[[], float]) -> None:
        self.on_due: Callable[[], object] = lambda: None
        """There is something to put: call `catch_up`."""
        self._bucket = bucket
        self._copy = copy
        self._presence = presence
        self._node = presence.node
        self._clock = clock
        self._complaints = Complaints("routes")
        self._turns = Turns()  # of hosts
        self._awaited = Awaited(bucket)
        self._due: dict[str, bool] = {}  # hosts, and whether an agent of this node has just published them
        self._node_of: dict[str, str] = {}  # by host: the other node that has put it
        self._hosts_of: dict[str, set[str]] = {}  # the same by node
        self._gone: dict[str, float] = {}  # those of these nodes that are gone, and since when
        self._adrift: dict[str, float] = {}  # keys that are gone without a word, and since when
        self._moved: dict[HeldRoutes, float] = {}  # of agents that have published over another node, and since when
        bucket.on_change = self._changed
        copy.on_own_change = self._own_changed

    # --- for agents

    async def settle(self, hosts: Collection[str]) -> bool:
        """An agent of this node has just published these: have the nodes decide. Returns whether it has them all.

        While the engine is away, it has what nobody else is known to have.
        """
        self._due.update(dict.fromkeys(hosts, True))
        await in_batches(list(hosts), _AT_ONCE, self._settle)
        return all(self._copy.own(host) is not None for host in hosts)

    # --- one host

    async def _settle(self, host: str) -> None:
        async with self._turns.of(host):
            if host not in self._due:
                return
            is_fresh, is_done = self._due.pop(host), False
            try:
                await self._write(host, is_fresh=is_fresh)
                is_done = True
            except BucketError as error:
                logger.debug("%s is not shared yet: %s", host, error)
            finally:
                if not is_done:
                    self._due[host] = is_fresh or self._due.get(host, False)

    async def _write(self, host: str, *, is_fresh: bool) -> None:
        """Raises BucketError."""
        key = key_of_published(host)
        for _ in range(TRIES):
            entry, mine = self._bucket.get(key), self._copy.own(host)
            told = self._read(host, entry)
            is_ours = told is not None and told.holder.node == self._node
            if told is not None and not is_ours and (mine is None or not self._may_take(told, mine, is_fresh)):
                self._show(host, told)
                return
            value = published_host.encoded(self._node, mine, host) if mine is not None else None
            if (mine is None and not is_ours) or (entry is not None and entry.value == value):
                return
            try:
                if value is None:
                    await self._bucket.delete(key, entry.revision if entry is not None else None)
                elif entry is None:
                    await self._bucket.create(key, value)
                else:
                    await self._bucket.update(key, value, entry.revision)
            except ConflictError:
                await self._awaited.other_than(entry, key)
            else:
                return
        raise UncertainError("other nodes change it all the time")

    def _may_take(self, told: Told, mine: HeldRoutes, is_fresh: bool) -> bool:
        """Whether an agent of this node may have a host that another node has put."""
        holder = mine.holder
        is_away = told.is_away or self._is_over(told.holder.node)
        if holder.is_same_agent(told.holder):
            return is_fresh or is_away
        theirs = told.holder
        return is_away and (theirs.cluster, theirs.token_hash, told.machine) == (
            holder.cluster, holder.token_hash, mine.machine,
        )  # fmt: skip

    def _read(self, host: str, entry: Entry | None) -> Told | None:
        """What an entry says: nothing, if a stranger wrote it. Raises UncertainError: another release wrote it."""
        if entry is None or entry.value is None:
            return None
        try:
            return published_host.read(host, entry.value)
        except ValueIgnoredError as error:
            if error.version is not None:
                raise UncertainError(f"{host}: a gateway of another release has it") from None
            return None

    # --- the mirror

    def _changed(self, entry: Entry) -> None:
        self._awaited.changed(entry.key)
        try:
            host = published_host_of(entry.key)
            told = published_host.read(host, entry.value) if entry.value is not None else None
        except (NotAKeyError, ValueIgnoredError) as error:
            self._complaints.tell(entry.key, error)
            return
        if told is None and entry.revision == 0:
            self._adrift[entry.key] = self._clock()
            if self._copy.own(host) is not None:
                self._own_changed(host)
            return
        self._adrift.pop(entry.key, None)
        if told is not None and told.holder.node != self._node:
            self._presence.met(told.holder.node, self._clock())
        self._show(host, told)

    def _show(self, host: str, told: Told | None) -> None:
        """The copy has what the bucket says."""
        mine = self._copy.own(host)
        self._note(host, told.holder.node if told is not None else self._node)
        if told is None:
            self._copy.take(host, None)
            if mine is not None:
                self._own_changed(host)
            return
        if told.holder.node == self._node:
            self._own_changed(host)  # it may be old: the bucket has lost writes
            return
        if self._is_over(told.holder.node):
            told = replace(told, is_away=True)
        if mine is not None and mine.holder.is_same_agent(told.holder):
            if mine.gone_at is None:
                if told.is_away:
                    self._own_changed(host)
                return
            self._moved.setdefault(mine, self._clock())
        self._copy.take(host, told)

    def _note(self, host: str, node: str) -> None:
        """Which other node has put a host; this one: no other."""
        before = self._node_of.pop(host, None)
        if before is not None:
            hosts = self._hosts_of[before]
            hosts.discard(host)
            if not hosts and before != node:
                del self._hosts_of[before]
                self._gone.pop(before, None)
        if node != self._node:
            self._node_of[host] = node
            self._hosts_of.setdefault(node, set()).add(host)

    def _own_changed(self, host: str) -> None:
        self._due.setdefault(host, False)
        self.on_due()

    # --- time

    async def catch_up(self) -> None:
        """Put what is due. About once a second, and when `on_due` says so; one call after the other."""
        now = self._clock()
        for holding, since in list(self._moved.items()):
            if now >= since + MOVED_SECONDS:
                del self._moved[holding]
                if holding.gone_at is not None and holding.hosts:
                    self._copy.drop(holding, "its agent published over another node")
        if self._presence.is_cut or not self._bucket.synced:
            self._adrift = dict.fromkeys(self._adrift, now)
            return
        await in_batches(list(self._due), _AT_ONCE, self._settle)
        for key in [key for key, since in self._adrift.items() if now >= since + KEEP_SECONDS]:
            del self._adrift[key]
            self._show(published_host_of(key), None)
        await self._look_for_gone(now)
        if self._presence.is_keeper:
            for node, since in list(self._gone.items()):
                if now >= since + LINGER_SECONDS:
                    await in_batches(list(self._hosts_of.get(node, ())), _AT_ONCE, self._clear)

    async def _look_for_gone(self, now: float) -> None:
        """Hosts of nodes that are gone count as away; those of a node that is back after all do not."""
        for node, hosts in list(self._hosts_of.items()):
            if self._is_over(node) == (node in self._gone):
                continue
            if node in self._gone:
                del self._gone[node]
            else:
                self._gone[node] = now
            for number, host in enumerate(list(hosts), 1):
                with contextlib.suppress(UncertainError):
                    told = self._read(host, self._bucket.get(key_of_published(host)))
                    if told is not None:  # else it is adrift
                        self._show(host, told)
                if number % _HOSTS_PER_TURN == 0:
                    await asyncio.sleep(0)

    def _is_over(self, node: str) -> bool:
        if node == self._node:
            return False
        peer = self._presence.peer(node)
        return peer is None or peer.state is PeerState.GONE

    async def _clear(self, host: str) -> None:
        """Delete the key of a node that is gone."""
        entry = self._bucket.get(key_of_published(host))
        if entry is None:
            return
        try:
            await self._bucket.delete(entry.key, entry.revision)
        except BucketError as error:
            logger.debug("%s stays for now: %s", entry.key, error)

    def __repr__(self) -> str:
        return f"<SharedPublications of {self._node}: {len(self._due)} hosts due>"
