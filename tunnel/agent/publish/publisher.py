"""The publisher as a whole: what the user is told about all its gateways, and when it gives up.

Tells each thing once. Nothing stays half published at the start: until everything is in force at one gateway and every
gateway was tried, a refused route or a final reason ends the command, and everything is taken back. Later, only another
process that has taken this one's place ends it: otherwise the two would replace each other for ever.
"""

import asyncio
from collections.abc import Callable, Sequence

from tunnel.agent.publish.dialogue import TOO_OLD_CODE
from tunnel.agent.publish.keeping import Keeping, Owner
from tunnel.agent.publish.plan import Plan, in_options
from tunnel.agent.reasons import REGISTRATION_CODE, REPLACED_CODE, Reason
from tunnel.agent.standing import Dial
from tunnel.agent.view import Address, View
from tunnel.override import override
from tunnel.wire.publishing import RequestRow

REFRESH_SECONDS = 5.0
"""Between two looks at the round trip of the link."""
_FINAL_CODES = frozenset({TOO_OLD_CODE, REGISTRATION_CODE})
"""At the start trying again would not help."""
_CONNECTED = "connected"
_REPLACED = "another tunnel-agent of this user has taken over: it publishes the same"


class Publisher(Owner):
    """All that one command publishes, at all its gateways. `gateways` are their URLs, as the user wrote them."""

    def __init__(self, plan: Plan, seed: str, gateways: Sequence[str], view: View) -> None:
        self._plan = plan
        self._view = view
        self.each = [Keeping(gateway, plan, seed, self) for gateway in gateways]
        """The extensions of the links, by gateway."""
        self._stop: Callable[[], None] = _nothing
        self._refreshing: asyncio.TimerHandle | None = None
        self._in_force = False
        self._untried = set(self.each)
        self._states: dict[Keeping, str] = dict.fromkeys(self.each, "connecting")
        self._noted: dict[Keeping, str] = {}  # what was last said of its failing dials, until it answers
        self._refusals: dict[Keeping, tuple[str, ...]] = {}
        self._round_trip: Callable[[], float | None] = _unknown
        self._leaving = False
        self.faults: list[str] = []
        """Why it gave up, line by line; empty while there is no reason to."""

    def __repr__(self) -> str:
        return f"<Publisher of {len(self._plan.routes)} routes at {self.each!r}>"

    @property
    def starting(self) -> bool:
        """Whether a refusal would end the command."""
        return bool(self._untried) or not self._in_force

    def begin(self, stop: Callable[[], None], round_trip: Callable[[], float | None]) -> None:
        """The links are about to be dialled. `stop` ends the command; `round_trip` is that of a link, in seconds."""
        self._stop, self._round_trip = stop, round_trip
        self._refresh()

    def leave(self) -> None:
        """The command ends: take everything back; idempotent."""
        self._leaving = True
        if self._refreshing is not None:
            self._refreshing.cancel()
        for keeping in self.each:
            keeping.leave()

    # --- told by the keepings

    @override
    def connected(self, keeping: Keeping, /) -> None:
        self._states[keeping] = _CONNECTED
        self._show()

    @override
    def answered(self, keeping: Keeping, /) -> None:
        refusals = self._refused_at(keeping)
        if refusals and self.starting:
            self._give_up(refusals)
            return
        self._untried.discard(keeping)
        self._in_force = self._in_force or not refusals
        self._noted.pop(keeping, None)
        before = self._refusals.get(keeping, ())
        for text in refusals:
            if text not in before:
                self._view.note(f"{text}; trying again")
        self._refusals[keeping] = refusals
        self._view.published(list(dict.fromkeys(self._addresses())))

    @override
    def passed(self, keeping: Keeping, rows: Sequence[RequestRow], left_out: int, /) -> None:
        self._view.requests(rows, left_out)

    @override
    def lost(self, keeping: Keeping, reason: Reason, /) -> None:
        if self._leaving:
            return
        if reason.code == REPLACED_CODE:
            also = "" if len(self.each) == 1 else "; or two --gateway lead to the same gateway"
            self._give_up((self._told(keeping, _REPLACED + also),))
            return
        if self.starting and (reason.code in _FINAL_CODES or reason.dial is Dial.REVOKED):
            self._give_up((reason.text if reason.code == TOO_OLD_CODE else f"{keeping.gateway}: {reason.text}",))
            return
        self._untried.discard(keeping)
        served = self._states[keeping] == _CONNECTED
        self._states[keeping] = f"{reason.text.removesuffix('.')}; trying again"
        self._show()
        text = f"{keeping.gateway}: {self._states[keeping]}"
        if not served and self._noted.get(keeping) != text:
            self._noted[keeping] = text
            self._view.note(text)

    # --- inside

    def _addresses(self) -> list[Address]:
        return [
            Address(str(target), url)
            for keeping in self.each
            if keeping.standing is not None
            for target, url in zip(self._plan.targets, keeping.standing.urls, strict=True)
            if url
        ]

    def _refused_at(self, keeping: Keeping) -> tuple[str, ...]:
        if keeping.standing is None:
            return ()
        return tuple(
            self._told(keeping, f"{target} is not published: {in_options(why)}")
            for target, why in zip(self._plan.targets, keeping.standing.refusals, strict=True)
            if why
        )

    def _give_up(self, faults: Sequence[str]) -> None:
        if not self._leaving:
            self.faults.extend(faults)
            self._leaving = True
            self._stop()

    def _refresh(self) -> None:
        """The round trip changes without anybody being told."""
        self._show()
        self._refreshing = asyncio.get_running_loop().call_later(REFRESH_SECONDS, self._refresh)

    def _show(self) -> None:
        well = all(keeping.has_link for keeping in self.each)
        if well and len(self.each) == 1:
            text = f"connected to {self.each[0].gateway}"
        else:
            text = ", ".join(f"{keeping.gateway}: {state}" for keeping, state in self._states.items())
        self._view.state(text, well=well, round_trip=self._round_trip())

    def _told(self, keeping: Keeping, text: str) -> str:
        """With the gateway where there are several."""
        return text if len(self.each) == 1 else f"{keeping.gateway}: {text}"


def _nothing() -> None: ...


def _unknown() -> float | None:
    return None
