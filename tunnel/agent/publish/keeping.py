"""Keeps one set of routes published at one gateway, over all its links, and reports how that goes.

Each link publishes the whole set again, with the names that the gateway gave before, so that addresses stay the same.
It asks again every `AGAIN_SECONDS` for what was refused (somebody else has the host now, or the token lost it), and for
what got no answer; at once when the gateway gave a host to another agent after all. Never ends a link. Invariants:
there is one timer, and none between two links; after `leave` nothing is asked for.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tunnel.agent.extension import Say
from tunnel.agent.publish import dialogue
from tunnel.agent.publish.dialogue import Dialogue
from tunnel.agent.publish.plan import Plan
from tunnel.agent.reasons import Reason
from tunnel.agent.standing import one_line
from tunnel.override import override
from tunnel.wire.messages import Envelope, RegisterSuccess
from tunnel.wire.publishing import FEATURE, Publish, PublishedRoute, RequestRow

AGAIN_SECONDS = 5.0
"""Between two attempts for what was refused: the gateway works off one `publish` per second and link."""
ANSWER_SECONDS = 10.0
"""For an answer to `publish`. After that the message counts as lost: sending it again has the same effect."""


@dataclass(slots=True, frozen=True)
class Standing:
    """What is in force at one gateway: by route of the plan, its address, or why it has none."""

    urls: tuple[str, ...]
    """Empty for a route that is not in force."""
    refusals: tuple[str, ...]
    """Why; empty for a route that is in force."""

    @property
    def whole(self) -> bool:
        """Whether everything is in force."""
        return not any(self.refusals)


class Owner(Protocol):
    """Who is told what happens at each gateway."""

    def connected(self, keeping: "Keeping", /) -> None:
        """A link serves, and has asked for everything."""

    def answered(self, keeping: "Keeping", /) -> None:
        """The gateway has answered: see `Keeping.standing`."""

    def passed(self, keeping: "Keeping", rows: Sequence[RequestRow], left_out: int, /) -> None:
        """These exchanges have ended, and `left_out` more."""

    def lost(self, keeping: "Keeping", reason: Reason, /) -> None:
        """The link is gone, or a dial led to none; there will be another one."""


class Keeping(dialogue.Hearer):
    """What one gateway publishes for this command; the `Extension` of its links."""

    feature = FEATURE

    def __init__(self, gateway: str, plan: Plan, seed: str, owner: Owner) -> None:
        self.gateway = gateway
        """Its URL, as the user wrote it."""
        self._plan = plan
        self._seed = seed
        self._owner = owner
        self._given = [""] * len(plan.routes)
        self._dialogue: Dialogue | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._leaving = False
        self.standing: Standing | None = None
        """The last answer, even if its link is gone; None: there was none yet."""

    def __repr__(self) -> str:
        return f"<Keeping at {self.gateway} {self._dialogue!r}>"

    @property
    def has_link(self) -> bool:
        """Whether a link serves now."""
        return self._dialogue is not None

    def leave(self) -> None:
        """Take everything back; idempotent."""
        if self._leaving:
            return
        self._leaving = True
        self._cancel()
        if self._dialogue is not None:
            self._dialogue.publish(Publish(routes=[], name_seed=self._seed))

    # --- told by the link

    def registered(self, success: RegisterSuccess) -> None:
        """Raises DialogueError: the gateway is too old."""
        dialogue.check(success, self.gateway)

    def ready(self, say: Say) -> None:
        """A new link serves: publish everything."""
        self._dialogue = Dialogue(say, self)
        if not self._leaving:
            self._publish()
            self._owner.connected(self)

    def received(self, envelope: Envelope) -> bool:
        """Take a message. Raises MessageError."""
        return self._dialogue is not None and self._dialogue.received(envelope)

    def ended(self, reason: Reason) -> None:
        """The link is gone, or there was none."""
        self._cancel()
        self._dialogue = None
        self._owner.lost(self, reason)

    # --- told by the dialogue

    @override
    def answered(self, routes: Sequence[PublishedRoute], /) -> None:
        for number, route in enumerate(routes):
            if not route.code and self._plan.places[number].asks_for_name:
                self._given[number] = route.host
        self._take([("", one_line(route.error or route.code)) if route.code else (route.url, "") for route in routes])

    @override
    def not_understood(self, why: str, /) -> None:
        self._take([("", f"the gateway could not read the request: {why}")] * len(self._plan.routes))

    @override
    def unpublished(self) -> None:
        if not self._leaving:
            self._cancel()
            self._publish()

    @override
    def passed(self, rows: Sequence[RequestRow], left_out: int, /) -> None:
        self._owner.passed(self, rows, left_out)

    # --- inside

    def _publish(self) -> None:
        assert self._dialogue is not None  # noqa: S101 (the timer ends with its link)
        if self._dialogue.publish(self._plan.message(self._seed, self._given)):
            self._later(ANSWER_SECONDS)
        else:
            self._take([("", "the message is too long for the gateway: publish fewer ports at once")])

    def _take(self, outcomes: Sequence[tuple[str, str]]) -> None:
        if self._leaving:
            return
        self._cancel()
        self.standing = Standing(tuple(url for url, _ in outcomes), tuple(why for _, why in outcomes))
        if not self.standing.whole:
            self._later(AGAIN_SECONDS)
        self._owner.answered(self)

    def _later(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._publish)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
