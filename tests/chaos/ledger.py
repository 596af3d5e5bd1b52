"""The books of a chaos run: what clients sent and were told, what services saw, and when something was broken.

Never does I/O and knows no clock: whoever keeps it passes ids, times and words in. `violations()` compares the sides
and names every broken promise; an empty list is a good run. What it holds is what docs/reliability.md promises:

- every request has an outcome at its client, and every arrival at a service was sent by a client, to that cluster
- what may not be repeated arrives once at most, and whoever is told to try again has not been carried out
- a failure is a status of the gateway's own with a page, or an answer broken off after its head; without a word only
  while a gateway's process was dead
- every failure has a fault that explains it
- a WebSocket gets back what it sent, in order, until its end, and its end has a close code
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tests.chaos.entries import Request, Talk, Trouble

MOST_TRIES = 2
"""A request that may be repeated: once more."""
REFUSALS = frozenset({502, 503, 504})
PARTINGS = frozenset({1011, 1012, 1013})
"""Close codes that tell a client why: a failure, a restart, too much load."""
AFTERMATH_SECONDS = 20.0
"""After a fault: the times in which both ends notice, the grace of requests, and the agent's next dial."""
NOBODY_SECONDS = 2.0
"""After a killed gateway answers again: until its balancer has seen it."""


@dataclass(slots=True)
class Consequence:
    """All that one kind of fault did."""

    faults: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    longest_seconds: float = 0.0
    """From a fault's begin to the end of the last request that it failed."""


class Ledger:
    """Filled during the run by its clients, and after it from the services' journals."""

    def __init__(self) -> None:
        self.requests: dict[str, Request] = {}
        self.talks: list[Talk] = []
        self.troubles: list[Trouble] = []
        self.unhealed: list[str] = []
        """What did not come back after a fault, in words."""
        self._arrivals: dict[str, list[str]] = defaultdict(list)

    def begin(self, request: Request) -> Request:
        assert request.key not in self.requests, f"id used twice: {request.key}"
        self.requests[request.key] = request
        return request

    def arrived(self, key: str, cluster: str) -> None:
        """A service of that cluster saw the request or the WebSocket."""
        self._arrivals[key].append(cluster)

    def violations(self) -> list[str]:
        found = [*self.unhealed, *self._strangers()]
        for request in self.requests.values():
            found += (f"{request.key}: {what}" for what in self._of_request(request))
        for talk in self.talks:
            found += (f"{talk.key}: {what}" for what in self._of_talk(talk))
        return found

    def _strangers(self) -> Iterator[str]:
        known = {**self.requests, **{talk.key: talk for talk in self.talks}}
        for key, clusters in self._arrivals.items():
            if key not in known:
                yield f"{key}: a service saw it, and no client sent it"
            elif wrong := set(clusters) - {known[key].cluster}:
                yield f"{key}: meant for {known[key].cluster}, arrived in {', '.join(sorted(wrong))}"

    def _of_request(self, request: Request) -> Iterator[str]:
        arrivals = len(self._arrivals.get(request.key, ()))
        if arrivals > (MOST_TRIES if request.is_repeatable else 1):
            yield f"arrived {arrivals} times"
        if request.ended is None:
            yield "no outcome"
            return
        if request.status == 200:
            yield from _of_answer(request, arrivals)
        if not request.is_good:
            yield from self._of_failure(request, arrivals)

    def _of_failure(self, request: Request, arrivals: int) -> Iterator[str]:
        if request.told_to_retry and arrivals and not request.is_repeatable:
            yield f"told {request.status} with Retry-After, but it was carried out"
        if not any(self._met(request)):
            yield f"failed without a fault: {request.outcome}"
        if wrong := self._silence(request):
            yield wrong

    def _silence(self, request: Request) -> str:
        """What a client whose request failed was not told; empty: it was told all."""
        if request.is_hung:
            return "left hanging"
        if request.status == 200:
            return ""  # broken off, which is all that can be told after the head
        if request.status is None:
            return "" if self._dead(request) else f"not told why: {request.outcome}"
        if request.status not in REFUSALS:
            return f"told {request.status}"
        if not request.node and not self._dead(request):
            return f"told {request.status} by the balancer, with both gateways alive"
        return "" if request.has_page else f"told {request.status} without a page"

    def _of_talk(self, talk: Talk) -> Iterator[str]:
        if talk.answered_by != talk.cluster:
            yield f"meant for {talk.cluster}, answered by {talk.answered_by or 'nobody'}"
        if not self._arrivals.get(talk.key):
            yield "accepted, and no service saw it"
        if talk.received > talk.sent:
            yield f"sent {talk.sent} messages, got {talk.received}"
        if talk.ending == "closed":
            if talk.received != talk.sent:
                yield f"lost {talk.sent - talk.received} messages of a WebSocket that survived"
            if talk.code != 1000:
                yield f"closed in order with 1000, told {talk.code}"
        elif talk.ending != "lost":
            yield talk.ending
        elif not any(self._met(talk)):
            yield f"lost without a fault: {talk.code}"
        elif talk.code not in PARTINGS and not self._dead(talk):
            yield f"not told why: close code {talk.code}"

    def _met(self, one: Request | Talk) -> Iterator[Trouble]:
        """The faults that can have failed it: those that concern it, within its time, or just before."""
        began, ended = one.fateful
        for trouble in self.troubles:
            if trouble.began <= ended and began <= trouble.ended + AFTERMATH_SECONDS and trouble.concerns(one):
                yield trouble

    def _dead(self, one: Request | Talk) -> bool:
        """Whether it met a gateway whose process was killed. A client learns of that at once."""
        return any(
            trouble.dead_until is not None and one.fateful[0] <= trouble.dead_until + NOBODY_SECONDS
            for trouble in self._met(one)
        )

    # --- what it came to

    def consequences(self) -> dict[str, Consequence]:
        """By kind of fault. What failed is ascribed, first of all, to a fault that had not ended, then to a
        killed gateway, one of its cluster, and then to the latest."""
        found: dict[str, Consequence] = defaultdict(Consequence)
        for trouble in self.troubles:
            found[trouble.kind].faults += 1
        for one in self._failures():
            began, ended = one.fateful
            met = self._met(one)
            cause = max(met, key=lambda it: (began <= it.ended, *it.rank), default=None)
            if cause is not None:
                consequence = found[cause.kind]
                consequence.outcomes[one.outcome] += 1
                consequence.longest_seconds = max(consequence.longest_seconds, ended - cause.began)
        return dict(found)

    def _failures(self) -> Iterator[Request | Talk]:
        yield from (one for one in self.requests.values() if one.ended is not None and not one.is_good)
        yield from (one for one in self.talks if one.ending != "closed")

    @property
    def good(self) -> int:
        return sum(request.is_good for request in self.requests.values())


def _of_answer(request: Request, arrivals: int) -> Iterator[str]:
    if not arrivals:
        yield "answered, and no service saw it"
    if not request.is_right:
        yield "a wrong answer"
    if request.answered_by != request.cluster:
        yield f"meant for {request.cluster}, answered by {request.answered_by or 'nobody'}"


def table(kinds: Iterable[str], consequences: dict[str, Consequence]) -> str:
    """What each kind of fault came to, in Markdown; docs/reliability.md says what the kinds are."""
    lines = ["| fault | times | what clients were told | service back after, at most |", "|---|---|---|---|"]
    for kind in kinds:
        if (one := consequences.get(kind)) is not None:
            told = ", ".join(f"{count} x {outcome}" for outcome, count in sorted(one.outcomes.items()))
            back = f"{one.longest_seconds:.1f} s" if told else "-"
            lines.append(f"| {kind} | {one.faults} | {told or 'nothing failed'} | {back} |")
    return "\n".join(lines)
