"""What log and events say of a time above the high mark: who holds what, that new exchanges are refused, and its end.

One line of each, and for a minute after the first no others of the next times: these are counted. The exchanges that
were ended have their lines in the access log.
"""

import logging
from collections import Counter

from tunnel.account import Account

from ..observed.events import EventKind, Events, Level

logger = logging.getLogger("gateway")

QUIET_SECONDS = 60.0
OTHERS = "links, TLS and other buffers"


class Episode:
    """See the module. The same object serves one time after the other."""

    __slots__ = ("_began", "_clients", "_events", "_is_said", "_kinds", "_refused", "_said_at", "_unsaid", "ended")

    def __init__(self, events: Events) -> None:
        self._events = events
        self.ended = 0
        """Exchanges and connections."""
        self._kinds: Counter[str] = Counter()
        self._clients: Counter[str] = Counter()
        self._began: float | None = None  # the loop's time; None: there is none now
        self._is_said = False  # its first line was written
        self._refused = False  # new exchanges, at some time in it
        self._said_at: float | None = None
        self._unsaid = 0  # times since the last line

    def look_again(self) -> None:
        """Forget what was held: another look begins."""
        self._kinds.clear()
        self._clients.clear()

    def holds(self, kind: str, client: str, size_bytes: int) -> None:
        """So much is held of this kind, for this client."""
        self._kinds[kind] += size_bytes
        self._clients[client] += size_bytes

    def passed(self, account: Account, now: float) -> None:
        """After a look: the account is above its high mark."""
        if self._began is None:
            self._began = now
            self._is_said = self._said_at is None or now - self._said_at >= QUIET_SECONDS
            if self._is_said:
                self._said_at = now
                holders = self._holders(account)
                logger.warning(
                    "%d bytes are held, more than held_bytes_limit (%d): %s; those that stall are ended%s",
                    account.held_bytes, account.high_mark_bytes, holders, self._since_then(),
                )  # fmt: skip
                self._tell("began", f"{account.held_bytes} bytes are held: {holders}; those that stall are ended")
            else:
                self._unsaid += 1
        if account.is_full and not self._refused:
            self._refused = True
            if self._is_said:
                logger.warning(
                    "%d bytes are held, and nobody is left who stalls: new exchanges are refused", account.held_bytes
                )
                self._tell("full", f"{account.held_bytes} bytes are held: new exchanges are refused")

    def over(self, account: Account, now: float) -> None:
        """There is room again; idempotent."""
        began, self._began = self._began, None
        if began is not None and self._is_said:
            logger.info(
                "%d bytes are held, below held_bytes_limit again after %.1f s: %d were ended%s",
                account.held_bytes, now - began, self.ended, ", new exchanges were refused" if self._refused else "",
            )  # fmt: skip
            self._tell("over", f"there is room again after {now - began:.1f} s: {self.ended} were ended", "info")
        self.ended = 0
        self._refused = False
        self.look_again()

    def _tell(self, code: str, text: str, level: Level = "warning") -> None:
        self._events.emit(EventKind.RELIEVED, text, level=level, code=code)

    def _holders(self, account: Account) -> str:
        others = account.held_bytes - self._kinds.total()
        parts = [f"{size_bytes} of {kind}" for kind, size_bytes in self._kinds.most_common()]
        if others > 0:
            parts.append(f"{others} of {OTHERS}")
        most = self._clients.most_common(1)
        return ", ".join(parts) + (f"; most for {most[0][0]}, {most[0][1]}" if most else "")

    def _since_then(self) -> str:
        unsaid, self._unsaid = self._unsaid, 0
        return f" ({unsaid} times more since the last such line)" if unsaid else ""

    def __repr__(self) -> str:
        return f"<Episode {'none' if self._began is None else 'now'}, {self.ended} ended>"
