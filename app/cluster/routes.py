"""Learned routes of all nodes: registered on any of them, decided in the bucket `routes`, served by each from its copy.

A host is one key, since it belongs to one cluster: the engine's compare-and-set decides between two nodes that give it
to two clusters. Who may have it is what `LearnedRoutes.check` says, on the node that is asked. The bounds of routes per
cluster and in all are checked there, too, so nodes that are asked at once may pass them by what is under way.

Each node's `LearnedRoutes` is the copy: whatever the mirror shows is taken into it, and so into its SQLite file, from
which the node starts when the engine is away. Expiry is in the value. Readers check it; `expire` deletes the keys of
which nothing is left, by their revision, on nodes whose clock is right (`wall_clock.py`).

| what happens | what is done |
|---|---|
| somebody else writes the host meanwhile | read and decide again; three times, then NotSharedError |
| no answer | NotSharedError: the agent is to ask again |
| the engine is away | the copy takes it, and the host is owed: put once the engine is back |
| a host that is owed is another cluster's by then | the copy takes what the bucket has, and a refusal is told |
| the first start with this bucket, or it was made anew | all of the copy is put, as if it was owed |
| a later start | what the bucket does not have is removed from the copy |

What is owed is not kept over a restart. Agents register again then, since they have lost their links.

Where `[cluster]` is set, it is `Gateway.registering` in place of `LearnedRoutes`. The node calls `catch_up` about once
a second. What `on_copied` tells is kept in `state_dir` (`copy_mark.py`), and given back as `copy_of` at the next start.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import chain
from typing import Final

from ..learned import Claim, ClaimError, Fault, Learned, NotSharedError
from ..learned.lifetimes import LIFETIME_SECONDS
from ..rules.hosts import covers
from .awaited import Awaited
from .bucket import AwayError, Bucket, BucketError, ConflictError, Entry, UncertainError
from .copy import Copy
from .host_routes import HostRoutes
from .keys import NotAKeyError, host_key, host_of
from .turns import Turns, in_batches
from .values import Complaints, ValueIgnoredError

logger = logging.getLogger("gateway.routes")

TRIES: Final = 3
EXPIRE_SECONDS: Final = 60.0
_AT_ONCE: Final = 20
"""Hosts of one call that are written at the same time."""
_HOSTS_PER_TURN: Final = 200
"""Looked at in one turn of the loop: 2 ms."""
_ELSEWHERE: Final = "another node"
_WHILE_AWAY: Final = "an agent that registered while NATS was away"


_Removed = dict[str, str]
"""Paths of a host that were removed while the engine was away, and whose they were."""

_Edit = Callable[[HostRoutes | None], HostRoutes | None]
"""What becomes of a host's routes; None: there are none. The same object: nothing is to be changed."""


class SharedRoutes:
    """The routes of all nodes, as one of them changes and copies them."""

    def __init__(
        self, bucket: Bucket, copy: Copy, *, clock: Callable[[], float], copy_of: str | None = None,
        may_expire: Callable[[], bool] = lambda: True,
    ) -> None:  # fmt: skip
        """`clock`: seconds of the wall clock. `copy_of`: the `created` of the bucket that the copy was last one of.

        `may_expire`: whether the clock is right enough to delete what has expired.
        """
        self.copy_of = copy_of
        self.on_copied: Callable[[str], object] = lambda _: None
        """The copy is one of this bucket from now on."""
        self._bucket = bucket
        self._copy = copy
        self._clock = clock
        self._complaints = Complaints("routes")
        self._owed: dict[str, _Removed] = {}
        self._turns = Turns()  # of hosts
        self._asking: dict[str, str] = {}  # whose change of a host is under way
        self._awaited = Awaited(bucket)
        self._is_anew = False
        self._is_followed = False
        self._told = copy_of
        self._may_expire = may_expire
        self._looked_at = 0.0  # for what has expired, by the wall clock
        bucket.on_change = self._changed
        bucket.on_anew = self._anew

    # --- for agents

    async def register(self, claim: Claim, who: str) -> Learned:
        """Learn one route, or renew it. Raises ClaimError, NotSharedError, and StoreError while the engine is away."""
        learned: list[Learned] = []

        def edit(before: HostRoutes | None) -> HostRoutes | None:
            learned[:] = [self._copy.check(claim)]
            return self._with(before, learned)

        await self._change(claim.host, edit, who)
        return learned[0]

    async def sync(
        self, cluster: str, claims: Iterable[Claim], patterns: Iterable[str], who: str
    ) -> list[tuple[Claim, ClaimError]]:
        """Learn these routes, and remove the cluster's other routes, as far as the patterns cover their hosts.

        Returns the refused claims. Raises NotSharedError; then a part may be done.
        """
        newest = self._clock() + LIFETIME_SECONDS  # what expires later was learned while this call ran
        wanted: dict[str, dict[str, Claim]] = {}
        for claim in claims:
            wanted.setdefault(claim.host, {})[claim.path] = claim
        patterns = tuple(patterns)
        mine: dict[str, None] = {}
        for number, host in enumerate(self._copy.hosts(), 1):
            known = self._copy.registered(host) if covers(patterns, host) else []
            if any(one.claim.target.cluster == cluster for one in known):
                mine[host] = None
            if number % _HOSTS_PER_TURN == 0:
                await asyncio.sleep(0)
        refused: list[tuple[Claim, ClaimError]] = []

        async def one_host(host: str) -> None:
            until = newest if host in mine else 0.0
            refused.extend(await self._sync_host(cluster, host, wanted.get(host, {}), until, who))

        await in_batches(list({**mine, **dict.fromkeys(wanted)}), _AT_ONCE, one_host)
        return refused

    async def _sync_host(
        self, cluster: str, host: str, wanted: Mapping[str, Claim], until: float, who: str
    ) -> list[tuple[Claim, ClaimError]]:
        """Learn what is wanted, and remove what is not and expires by `until`."""
        refused: list[tuple[Claim, ClaimError]] = []

        def edit(before: HostRoutes | None) -> HostRoutes | None:
            refused.clear()
            after = before
            if before is not None and before.cluster == cluster:
                others = [one for one in before.learned(0) if one.claim.path not in wanted]
                gone = [one.claim.path for one in others if one.expires_at <= until]
                after = before.without(gone, self._clock()) if gone else before
            for claim in wanted.values():
                try:
                    after = self._with(after, [self._copy.check(claim)])
                except ClaimError as error:
                    refused.append((claim, error))
            return after

        await self._change(host, edit, who)
        return refused

    async def unregister(self, name: str, clusters: Collection[str], who: str, *, path: str | None = None) -> int:
        """Remove a host that one of these clusters holds, or one path of it. Returns how many routes were removed.

        Raises ClaimError if another cluster holds the host, and NotSharedError.
        """
        removed = 0

        def edit(before: HostRoutes | None) -> HostRoutes | None:
            nonlocal removed
            removed = 0
            if before is None:
                return None
            if before.cluster not in clusters:
                if self._copy.holder_of(name) == before.cluster:
                    raise ClaimError(Fault.TAKEN, f"{name} belongs to another cluster")
                return before
            gone = [one.claim.path for one in before.learned(0) if path in (None, one.claim.path)]
            removed = len(gone)
            return before.without(gone, self._clock()) if gone else before

        await self._change(name, edit, who)
        return removed

    def _with(self, before: HostRoutes | None, routes: Sequence[Learned]) -> HostRoutes | None:
        """These routes of one cluster, beside those that it has there already."""
        for learned in routes:
            cluster = learned.claim.target.cluster
            if before is None or before.cluster != cluster:
                before = HostRoutes(learned.claim.host, cluster)
            before = before.with_route(learned)
        return before

    # --- one host

    async def _change(self, host: str, edit: _Edit, who: str) -> None:
        """Change a host: in the bucket, or the copy while the engine is away. Raises as `register` and `edit` do."""
        try:
            async with self._turns.of(host):
                if self._is_to_settle and self._bucket.synced:
                    self._settle()
                if host in self._owed and self._bucket.synced:
                    await self._put_owed(host)
                self._asking[host] = who
                try:
                    await self._write(host, edit)
                finally:
                    del self._asking[host]
        except UncertainError as error:
            raise NotSharedError(str(error)) from None
        except AwayError:
            if (written := self._change_copy(host, edit, who)) is not None:
                await asyncio.shield(written)  # others share it

    def _change_copy(self, host: str, edit: _Edit, who: str) -> "asyncio.Future[None] | None":
        had = self._copy.registered(host)
        before = HostRoutes.of(host, had)
        after = edit(before)
        if after is before:
            return None
        routes = after.learned(self._clock()) if after is not None else []
        removed = self._owed.setdefault(host, {})
        removed.update({one.claim.path: one.claim.target.cluster for one in had})
        for one in routes:
            removed.pop(one.claim.path, None)
        return self._copy.take(host, routes, who)

    async def _write(self, host: str, edit: _Edit) -> None:
        """Raises BucketError, and what `edit` does."""
        key = host_key(host)
        for _ in range(TRIES):
            entry = self._bucket.get(key)
            before = self._read(host, entry)
            after = edit(before)
            if after is before:
                return
            try:
                if after is None:
                    await self._bucket.delete(key, entry.revision if entry is not None else None)
                elif entry is None:
                    await self._bucket.create(key, after.encoded())
                else:
                    await self._bucket.update(key, after.encoded(), entry.revision)
            except ConflictError:
                await self._awaited.other_than(entry, key)
            else:
                return
        raise UncertainError(f"{host}: other nodes change it all the time")

    def _read(self, host: str, entry: Entry | None) -> HostRoutes | None:
        """What an entry says: nothing, if a stranger wrote it. Raises UncertainError: another release wrote it."""
        if entry is None or entry.value is None:
            return None
        try:
            return HostRoutes.read(host, entry.value)
        except ValueIgnoredError as error:
            if error.version is not None:
                raise UncertainError(f"{host}: a gateway of another release has it") from None
            return None

    # --- the mirror

    def _changed(self, entry: Entry) -> None:
        self._awaited.changed(entry.key)
        try:
            host = host_of(entry.key)
            if self._is_to_settle and self._copy.registered(host):
                self._owed.setdefault(host, {})
            if host not in self._owed:
                self._take(host, entry)
        except (NotAKeyError, ValueIgnoredError) as error:
            self._complaints.tell(entry.key, error)

    def _take(self, host: str, entry: Entry | None) -> None:
        """The copy has what this entry says. Raises ValueIgnoredError."""
        who = self._asking.get(host, _ELSEWHERE)
        if entry is None or entry.value is None:
            self._copy.take(host, (), who)
        else:
            self._copy.take(host, HostRoutes.read(host, entry.value).learned(self._clock()), who)

    def _anew(self) -> None:
        self._is_anew = True

    # --- time

    async def catch_up(self) -> None:
        """Put what the bucket must get, and delete what has expired. About once a second, one call after the other.

        Whatever fails is tried again by a later call.
        """
        if not self._bucket.synced or self._bucket.created is None:
            return
        if self._is_to_settle:
            self._settle()
        elif not self._is_followed:
            await self._follow()
        self._is_followed = True
        await in_batches(list(self._owed), _AT_ONCE, self._put_owed_in_turn)
        if not self._owed and self._told != self.copy_of and self.copy_of is not None:
            self._told = self.copy_of
            self.on_copied(self.copy_of)
        if abs(self._clock() - self._looked_at) >= EXPIRE_SECONDS and self._may_expire():
            self._looked_at = self._clock()
            await self.expire()

    @property
    def _is_to_settle(self) -> bool:
        """Whether the bucket must get all that the copy has: it has not been told yet, or has lost it."""
        return self._is_anew or self.copy_of != self._bucket.created

    def _settle(self) -> None:
        for host in self._copy.hosts():
            self._owed.setdefault(host, {})
        self._is_anew, self.copy_of = False, self._bucket.created

    async def _follow(self) -> None:
        """The copy is one of this bucket, and may be old: take what is there, and remove what is not."""
        keys = [entry.key for entry in self._bucket.items()]
        for number, key in enumerate(chain(keys, map(host_key, self._copy.hosts())), 1):
            entry = self._bucket.get(key)
            if entry is None or number <= len(keys):
                self._changed(entry or Entry(key, None, 0, ""))
            if number % _HOSTS_PER_TURN == 0:
                await asyncio.sleep(0)

    async def _put_owed_in_turn(self, host: str) -> None:
        try:
            await self._change(host, lambda before: before, _ELSEWHERE)
        except NotSharedError as error:
            logger.info("routes of %s are not shared yet: %s", host, error)

    async def _put_owed(self, host: str) -> None:
        """Put what the copy has of a host. Raises BucketError; then it is owed still."""
        removed = self._owed[host]
        lost: list[Learned] = []

        def edit(before: HostRoutes | None) -> HostRoutes | None:
            lost.clear()
            now, mine = self._clock(), self._copy.registered(host)
            kept = before if before is not None and before.is_held(now) else None
            if kept is not None:
                if mine and kept.cluster != mine[0].claim.target.cluster:
                    lost.extend(mine)
                    return before
                gone = [path for path, cluster in removed.items() if cluster == kept.cluster]
                kept = kept.without(gone, now) if gone else kept
            ends = {one.claim.path: one.expires_at for one in kept.learned(now)} if kept is not None else {}
            later = [
                one for one in mine if one.expires_at > ends.get(one.claim.path, now) and self._may_have(one.claim)
            ]
            return self._with(kept, later)

        await self._write(host, edit)
        self._owed.pop(host, None)
        for one in lost:
            error = ClaimError(Fault.TAKEN, f"{host} belongs to another cluster")
            self._copy.refuse(one.claim.target.cluster, host, one.claim.path, error, _WHILE_AWAY)
        with contextlib.suppress(ValueIgnoredError):
            self._take(host, self._bucket.get(host_key(host)))

    def _may_have(self, claim: Claim) -> bool:
        try:
            self._copy.check(claim)
        except ClaimError:
            return False
        return True

    async def expire(self) -> None:
        """Delete the hosts of which nothing is left. Each node does; the first one wins."""
        now = self._clock()
        over = []
        for number, entry in enumerate(list(self._bucket.items()), 1):
            if number % _HOSTS_PER_TURN == 0:
                await asyncio.sleep(0)
            try:
                if not HostRoutes.read(host_of(entry.key), entry.value or b"").is_held(now):
                    over.append(entry)
            except (NotAKeyError, ValueIgnoredError):
                continue  # of a stranger, or of a newer release

        async def delete(entry: Entry) -> None:
            try:
                await self._bucket.delete(entry.key, entry.revision)
            except BucketError as error:
                logger.debug("%s has expired, and stays for now: %s", entry.key, error)

        await in_batches(over, _AT_ONCE, delete)

    def __repr__(self) -> str:
        return f"<SharedRoutes {self._bucket.revision}, {len(self._owed)} hosts owed>"
