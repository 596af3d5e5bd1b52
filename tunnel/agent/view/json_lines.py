"""The view for programs: one JSON object per line, with its `type` first.

`published` (everything, each time it changes), `state` (each time it changes), `request` (one for each), `left_out`
(requests that are not shown) and `note`; `lines_lost` when the output was too slow. All in ASCII, so that texts of
strangers cannot affect a terminal.
"""

import json
from collections.abc import Mapping, Sequence

import msgspec

from tunnel.agent.view.output import LineOutput, Output
from tunnel.agent.view.view import Address
from tunnel.wire.publishing import RequestRow


class JsonView:
    """Lines to an output."""

    takes_log = False

    def __init__(self, output: Output) -> None:
        self._lines = LineOutput(output, lambda number: _encoded("lines_lost", {"lines": number}))
        self._published: list[Address] = []
        self._state: tuple[str, bool] | None = None

    def __repr__(self) -> str:
        return f"<JsonView {self._lines!r}>"

    def published(self, addresses: Sequence[Address]) -> None:
        """All of them, if they are others than before."""
        if list(addresses) != self._published:
            self._published = list(addresses)
            self._line("published", addresses=[{"service": each.service, "url": each.url} for each in addresses])

    def state(self, text: str, *, well: bool = False, round_trip: float | None = None) -> None:  # noqa: ARG002 (it changes all the time)
        """Only changes."""
        if self._state != (text, well):
            self._state = text, well
            self._line("state", text=text, well=well)

    def requests(self, rows: Sequence[RequestRow], left_out: int = 0) -> None:
        """One line for each."""
        for row in rows:
            self._line("request", **msgspec.structs.asdict(row))
        if left_out:
            self._line("left_out", requests=left_out)

    def note(self, text: str) -> None:
        """A line."""
        self._line("note", text=text)

    def close(self) -> None:
        """Wait a moment for what was written."""
        self._lines.close()

    def _line(self, kind: str, /, **fields: object) -> None:
        self._lines.write(_encoded(kind, fields))


def _encoded(kind: str, fields: Mapping[str, object]) -> str:
    return json.dumps({"type": kind, **fields}) + "\n"
