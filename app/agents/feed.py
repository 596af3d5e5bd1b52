"""Shows a publisher the exchanges on its routes: `requests` (tunnel/PROTOCOL.md, "Publishing").

A row is made when an exchange has ended. Rows are sent together, at most every `ROWS_SECONDS`, at most `MOST_ROWS` of
them, within the size that the agent accepts, and only while nothing else waits on the link; the others are only
counted. The account has what is kept. A row holds no secret: no header but Host, and the path without its query.
"""

import asyncio
from collections.abc import Callable

import msgspec

from tunnel.account import Account, Holding
from tunnel.gateway.link import Link
from tunnel.wire import message_limits
from tunnel.wire.publishing import MOST_ROWS, ROWS_SECONDS, RequestRow, Requests

from ..observed.events import moment
from ..observed.record import Record, path_of, printable
from ..published import Publication


class Feed:
    """The feed of one link. `in_wall_clock`: turns a moment of the loop's clock into wall-clock time."""

    __slots__ = ("_held", "_in_wall_clock", "_left_out", "_link", "_most_bytes", "_rows", "_timer")

    def __init__(self, link: Link, in_wall_clock: Callable[[float], float], account: Account) -> None:
        self._link = link
        self._in_wall_clock = in_wall_clock
        self._rows: list[RequestRow] = []
        self._held = Holding(account)  # what they have in JSON
        self._most_bytes = link.agent_limit_bytes - message_limits.ENVELOPE_BYTES
        self._left_out = 0
        self._timer: asyncio.TimerHandle | None = None

    def seen(self, publication: Publication, record: Record) -> None:
        """An exchange on this route has ended."""
        if len(self._rows) >= MOST_ROWS:
            self._left_out += 1
            return
        row = self._row(publication.key, record)
        size_bytes = len(msgspec.json.encode(row)) + 1
        if self._held.size_bytes + size_bytes > self._most_bytes:
            self._left_out += 1
        else:
            self._rows.append(row)
            self._held.add(size_bytes)
        if self._timer is None:
            self._wait()

    def close(self) -> None:
        """Send nothing more, and forget what was not sent; idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._rows, self._left_out = [], 0
        self._held.close()

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(ROWS_SECONDS, self._send)

    def _send(self) -> None:
        self._timer = None
        rows, self._rows = self._rows, []
        self._held.set(0)
        if self._link.is_backed_up:
            self._left_out += len(rows)
            self._wait()  # until it can say at least how many there were
            return
        left_out, self._left_out = self._left_out, 0
        self._link.send_text("requests", Requests(requests=rows, left_out=left_out))

    def _row(self, key: str, record: Record) -> RequestRow:
        return RequestRow(
            id=record.request_id,
            at=moment(self._in_wall_clock(record.began)),
            kind=record.kind,
            method=printable(record.method),
            host=printable(record.host),
            path=path_of(record.path),
            status=record.status,
            outcome=record.outcome,
            seconds=round(record.seconds, 6),
            bytes_up=record.bytes_up,
            bytes_down=record.bytes_down,
            client=printable(record.client),
            key=key,
        )

    def __repr__(self) -> str:
        return f"<Feed of {self._link.name}, {len(self._rows)} rows, {self._left_out} left out>"
