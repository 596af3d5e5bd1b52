"""What all links of the `json` and `chunk` dialects share in one process: the disk, the pending exchanges by id, and
what agents must still be told about exchanges that ended with their last link.

An agent carries on when its link breaks, and answers on its next one (tunnel/PROTOCOL.md section 5, "After a lost
link"). So exchanges are found by id across links, and an agent's next link first cleans up what was left over.

Invariants: an id is a UUID and never used again. What an agent must be told is bounded in number and in time.
"""

from collections.abc import Callable
from pathlib import Path

from tunnel.account import Account
from tunnel.gateway.proxied.carrying import ExchangeCarrier
from tunnel.gateway.proxied.disk import Disk
from tunnel.gateway.proxied.exchange import ProxiedExchange
from tunnel.gateway.proxied.inbox import Inbox

_MEMORY_BYTES = 256 * 1024
"""Of one inbox: the first window of a yamux stream."""
_OWED_MESSAGES = 10_000
"""Per cluster: one for each WebSocket that an agent may have had open."""
_OWED_SECONDS = 60.0


class Proxied:
    """Shared by all carriers of one process. `clock` may differ from the event loop's time."""

    def __init__(
        self,
        *,
        account: Account,
        clock: Callable[[], float],
        disk_bytes: int = 1024 * 1024 * 1024,
        max_message_bytes: int = 10 * 1024 * 1024,
        grace_seconds: float = 3.0,
        file_bytes: int = 64 * 1024 * 1024,
        folder: Path | None = None,
    ) -> None:
        self.account = account
        self.clock = clock
        self.max_message_bytes = max_message_bytes
        """The largest WebSocket message that any route allows."""
        self.grace_seconds = grace_seconds
        """How long an exchange whose link was lost waits for its agent's next one."""
        self.disk = Disk(disk_bytes, folder)
        self.exchanges: dict[str, ProxiedExchange] = {}
        """All exchanges whose answer is not complete yet, by id."""
        self._file_bytes = file_bytes
        self._owed: dict[tuple[str, str], list[tuple[float, str]]] = {}
        self._came: dict[tuple[str, str], float] = {}
        self._links: dict[tuple[str, str], list[ExchangeCarrier]] = {}

    def inbox(self, request_id: str, whole_bytes: int) -> Inbox:
        """An exchange's inbox. Where there is no disk, its memory has room for one message of `whole_bytes`."""
        memory = _MEMORY_BYTES if self.disk.usable else max(_MEMORY_BYTES, whole_bytes + 1024)
        return Inbox(request_id, account=self.account, disk=self.disk, memory_bytes=memory, file_bytes=self._file_bytes)

    def link_came(self, carrier: ExchangeCarrier) -> list[str]:
        """A link came. Returns what its agent must be told, oldest first."""
        now = self.clock()
        key = carrier.cluster, carrier.dialect
        self._came[key] = now
        self._links.setdefault(key, []).append(carrier)
        owed = self._owed.pop(key, [])
        return [text for since, text in owed if now - since <= _OWED_SECONDS]

    def link_went(self, carrier: ExchangeCarrier) -> list[ExchangeCarrier]:
        """A link is lost. Returns the newer links of its cluster; one of them may already be the same agent's."""
        links = self._links[carrier.cluster, carrier.dialect]
        at = links.index(carrier)
        newer = links[at + 1 :]
        del links[at]
        return newer

    def came_since(self, cluster: str, dialect: str, moment: float) -> bool:
        """Whether a link of this cluster came after `moment`."""
        return self._came.get((cluster, dialect), float("-inf")) > moment

    def owe(self, cluster: str, dialect: str, text: str) -> None:
        """Keep a message for the agent's next link, if that comes soon."""
        now = self.clock()
        owed = self._owed.setdefault((cluster, dialect), [])
        if owed and now - owed[-1][0] > _OWED_SECONDS:
            owed.clear()
        if len(owed) < _OWED_MESSAGES:
            owed.append((now, text))

    async def aclose(self) -> None:
        """Stop using the disk. To be called after the last link ended."""
        await self.disk.aclose()

    def __repr__(self) -> str:
        return f"<Proxied {len(self.exchanges)} pending, {self.disk!r}>"
