"""Gateways and a view for the publisher's tests: everything is a plain call, and time is the loop's."""

import json
from collections.abc import Sequence

import msgspec

from tests.tunnel.agent.publish.answers import answers
from tunnel.agent.publish.keeping import Keeping
from tunnel.agent.publish.place import Place
from tunnel.agent.publish.plan import Plan
from tunnel.agent.publish.targets import Target
from tunnel.agent.reasons import Reason
from tunnel.agent.standing import Dial
from tunnel.agent.view import Address
from tunnel.wire import messages
from tunnel.wire.publishing import Publish, RequestRow


def planned(*wanted: str) -> Plan:
    """Of `TARGET` or `TARGET=HOST`."""
    pairs = [text.partition("=") for text in wanted]
    return Plan.of([Target.parse(target) for target, _, _ in pairs], [Place.parse(host) for _, _, host in pairs])


GONE = Reason(Dial.READY, "connection lost")


class Gateway:
    """The far end of one keeping's links. `taken` are hosts that it refuses."""

    def __init__(self, keeping: Keeping) -> None:
        self.keeping = keeping
        self.asked: list[Publish] = []
        """The `publish` messages, in their order."""
        self.room = True
        self._ids: list[str | None] = []

    def _heard(self, kind: str, payload: msgspec.Struct, request_id: str | None = None, /) -> bool:
        assert kind == "publish"
        assert isinstance(payload, Publish)
        if self.room:
            self.asked.append(payload)
            self._ids.append(request_id)
        return self.room

    def connect(self) -> None:
        """A link serves."""
        self.keeping.registered(messages.RegisterSuccess("c1", publishes=True))
        self.keeping.ready(self._heard)

    def serve(self) -> None:
        """A link serves, and everything is in force."""
        self.connect()
        self.answer()

    def lose(self, reason: Reason = GONE) -> None:
        """The link ends, or a dial fails."""
        self.keeping.ended(reason)

    def hosts(self) -> list[list[str]]:
        """Of each `publish`, the hosts that it asks for."""
        return [[route.host for route in asked.routes] for asked in self.asked]

    def answer(self, *, taken: Sequence[str] = (), name: str = "given") -> None:
        """To the last `publish`: in force, but for the hosts in `taken`; names are `name` and the key."""
        wanted = msgspec.to_builtins(self.asked[-1].routes)
        self.say("published", {"routes": answers(wanted, taken, name)})

    def say(self, kind: str, payload: object) -> None:
        """A message with the id of the last `publish`."""
        text = json.dumps({"type": kind, "request_id": self._ids[-1], "payload": payload})
        assert self.keeping.received(messages.decode_envelope(text))


class Shown:
    """A view that keeps what it was told; states as (text, well), each once."""

    takes_log = False

    def __init__(self) -> None:
        self.addresses: list[str] = []
        self.states: list[tuple[str, bool]] = []
        self.notes: list[str] = []
        self.rows: list[RequestRow] = []
        self.closed = False

    def published(self, addresses: Sequence[Address]) -> None:
        self.addresses = [f"{each.service} at {each.url}" for each in addresses]

    def state(self, text: str, *, well: bool = False, round_trip: float | None = None) -> None:
        if self.states[-1:] != [(text, well)]:
            self.states.append((text, well))

    def requests(self, rows: Sequence[RequestRow], left_out: int = 0) -> None:
        self.rows += rows

    def note(self, text: str) -> None:
        self.notes.append(text)

    def close(self) -> None:
        self.closed = True
