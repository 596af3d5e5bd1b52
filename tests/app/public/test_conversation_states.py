"""Every state of a conversation meets everything that either side, and the gateway, can do."""

import asyncio
from collections.abc import Callable

import pytest

from app.observed.metrics import Metrics
from app.observed.record import Record
from app.public.conversation import Conversation
from app.rules.policy import Policy
from tests.fakes.exchange import FakeExchange
from tests.fakes.loop import dialogue, left_behind
from tests.fakes.sink import FakeSink
from tests.fakes.websocket_client import FakeWebSocketClient
from tunnel.account import Account
from tunnel.errors import LinkLostError, ServiceBrokeOffError
from tunnel.port import RequestHead
from tunnel.websocket import Closed, Connection, Event, Message, Role


class Talk:
    """A conversation between a client and a service, both played by hand."""

    def __init__(self) -> None:
        self.account = Account(1_000_000, 2_000_000)
        self.client = FakeWebSocketClient()
        now = asyncio.get_running_loop().time()
        self.record = Record("websocket", "id", "GET", b"a.test", b"/", None, now)
        self.overs = 0
        self.codec = Connection(Role.SERVER)
        self._read = 0
        self.exchange = FakeExchange(RequestHead(b"GET", b"/", [], upgrade=True), FakeSink(), fresh=False)
        self.conversation = Conversation(
            self.exchange, Policy(max_message_bytes=100), self.client, account=self.account, metrics=Metrics(),
            record=self.record, call=self,
        )  # fmt: skip

    def wake(self) -> None: ...

    def talked(self) -> None:
        self.overs += 1

    @property
    def state(self) -> str:
        return self.conversation.state.name

    def heard(self) -> list[str]:
        """What the service was sent since the last call."""
        data = b"".join(self.exchange.data[self._read :])
        self._read = len(self.exchange.data)
        return [name_of(event) for event in self.codec.receive_data(data)] if data else []

    def done(self) -> list[str]:
        """What became of the exchange."""
        return ["ended"] * bool(self.exchange.ended) + ["reset"] * bool(self.exchange.resets)


def name_of(event: Event) -> str:
    match event:
        case Message():
            return f"message {event.data!r}"
        case Closed():
            return f"close {event.code}"
        case _:
            return type(event).__name__.lower()


def opened(talk: Talk) -> None:
    talk.conversation.begin(b"")


def blocked(talk: Talk) -> None:
    """The client was given a message, and has not drained it."""
    opened(talk)
    talk.client.room = False
    talk.conversation.take(talk.codec.send_message("one"))


def closing(talk: Talk) -> None:
    """The service has closed, behind a message that the client has not drained."""
    blocked(talk)
    talk.conversation.take(talk.codec.send_message("two") + talk.codec.close(1000))


def closed(talk: Talk) -> None:
    """We close; the client was given the close, and has not drained it."""
    opened(talk)
    talk.client.room = False
    talk.conversation.stop(now=False)


def parted(talk: Talk) -> None:
    opened(talk)
    talk.conversation.client_left(1000, "")


def over(talk: Talk) -> None:
    parted(talk)
    talk.conversation.service_ended()


REACH: dict[str, tuple[str, Callable[[Talk], None]]] = {
    "OPEN": ("OPEN", opened), "OPEN, blocked": ("OPEN", blocked), "CLOSING": ("CLOSING", closing),
    "CLOSED": ("CLOSED", closed), "PARTED": ("PARTED", parted), "OVER": ("OVER", over),
}  # fmt: skip

FAR = 1_000_000.0

BAD_FRAME = b"\xff\x00"
"""Reserved bits and an unknown opcode."""

INPUTS: dict[str, Callable[[Talk], object]] = {
    "the service's message": lambda talk: talk.conversation.take(Connection(Role.SERVER).send_message("down")),
    "the service's close": lambda talk: talk.conversation.take(Connection(Role.SERVER).close(1000)),
    "the service's fault": lambda talk: talk.conversation.take(BAD_FRAME),
    "service ended": lambda talk: talk.conversation.service_ended(),
    "failed": lambda talk: talk.conversation.failed(ServiceBrokeOffError("gone")),
    "link lost": lambda talk: talk.conversation.failed(LinkLostError("gone")),
    "writable": lambda talk: talk.conversation.writable(),
    "the client's message": lambda talk: talk.conversation.message("up"),
    "too large a message": lambda talk: talk.conversation.message("x" * 101),
    "client holds": lambda talk: talk.conversation.client_holds(),
    "client writable": lambda talk: talk.conversation.client_writable(),
    "client left": lambda talk: talk.conversation.client_left(1001, "away"),
    "client vanished": lambda talk: talk.conversation.client_left(1006, ""),
    "stop": lambda talk: talk.conversation.stop(now=False),
    "stop now": lambda talk: talk.conversation.stop(now=True),
    "relieve": lambda talk: talk.conversation.relieve(),
    "tick": lambda talk: talk.conversation.tick(0.0),
    "tick, far too late": lambda talk: talk.conversation.tick(FAR),
    "drop": lambda talk: talk.conversation.drop(),
}

MOVES: dict[tuple[str, str], tuple[str, list[str], list[str], list[str]]] = {
    ("OPEN", "the service's message"): ("OPEN", ["send 'down'"], [], []),
    ("OPEN", "the service's close"): ("PARTED", ["close 1000"], ["close 1000"], []),
    ("OPEN", "the service's fault"): ("PARTED", ["close 1011"], ["close 1002"], []),
    ("OPEN", "service ended"): ("OVER", ["close 1011", "leave"], [], ["ended"]),
    ("OPEN", "failed"): ("OVER", ["close 1011", "leave"], [], ["reset"]),
    ("OPEN", "link lost"): ("OVER", ["close 1012", "leave"], [], ["reset"]),
    ("OPEN", "writable"): ("OPEN", ["resume"], [], []),
    ("OPEN", "the client's message"): ("OPEN", [], ["message 'up'"], []),
    ("OPEN", "too large a message"): ("PARTED", ["close 1009"], ["close 1009"], []),
    ("OPEN", "client left"): ("PARTED", [], ["close 1001"], []),
    ("OPEN", "client vanished"): ("PARTED", [], ["close 1011"], []),
    ("OPEN", "stop"): ("PARTED", ["close 1012"], ["close 1001"], []),
    ("OPEN", "stop now"): ("OVER", ["close 1012", "leave"], ["close 1001"], ["reset"]),
    ("OPEN", "relieve"): ("OVER", ["close 1013", "leave"], ["close 1001"], ["reset"]),
    ("OPEN", "tick, far too late"): ("PARTED", ["close 1001"], ["close 1001"], []),
    ("OPEN", "drop"): ("OVER", ["leave"], [], ["reset"]),
    ("OPEN, blocked", "the service's close"): ("CLOSING", [], ["close 1000"], []),
    ("OPEN, blocked", "the service's fault"): ("CLOSING", [], ["close 1002"], []),
    ("OPEN, blocked", "service ended"): ("CLOSING", [], [], []),
    ("OPEN, blocked", "failed"): ("CLOSING", [], [], []),
    ("OPEN, blocked", "link lost"): ("CLOSING", [], [], []),
    ("OPEN, blocked", "writable"): ("OPEN", ["resume"], [], []),
    ("OPEN, blocked", "the client's message"): ("OPEN", [], ["message 'up'"], []),
    ("OPEN, blocked", "too large a message"): ("CLOSING", [], ["close 1009"], []),
    ("OPEN, blocked", "client left"): ("PARTED", [], ["close 1001"], []),
    ("OPEN, blocked", "client vanished"): ("PARTED", [], ["close 1011"], []),
    ("OPEN, blocked", "stop"): ("CLOSING", [], ["close 1001"], []),
    ("OPEN, blocked", "stop now"): ("CLOSED", ["close 1012"], ["close 1001"], ["reset"]),
    ("OPEN, blocked", "relieve"): ("CLOSED", ["close 1013", "abort"], ["close 1001"], ["reset"]),
    ("OPEN, blocked", "tick, far too late"): ("PARTED", ["abort"], ["close 1011"], []),
    ("OPEN, blocked", "drop"): ("OVER", ["leave"], [], ["reset"]),
    ("CLOSING", "writable"): ("CLOSING", ["resume"], [], []),
    ("CLOSING", "client writable"): ("CLOSING", ["send 'two'"], [], []),
    ("CLOSING", "client left"): ("PARTED", [], [], []),
    ("CLOSING", "client vanished"): ("PARTED", [], [], []),
    ("CLOSING", "stop now"): ("CLOSED", ["close 1000"], [], ["reset"]),
    ("CLOSING", "relieve"): ("CLOSED", ["close 1000", "abort"], [], ["reset"]),
    ("CLOSING", "tick, far too late"): ("PARTED", ["abort"], [], []),
    ("CLOSING", "drop"): ("OVER", ["leave"], [], ["reset"]),
    ("CLOSED", "writable"): ("CLOSED", ["resume"], [], []),
    ("CLOSED", "client writable"): ("PARTED", [], [], []),
    ("CLOSED", "client left"): ("PARTED", [], [], []),
    ("CLOSED", "client vanished"): ("PARTED", [], [], []),
    ("CLOSED", "stop now"): ("CLOSED", [], [], ["reset"]),
    ("CLOSED", "relieve"): ("CLOSED", ["abort"], [], ["reset"]),
    ("CLOSED", "tick, far too late"): ("PARTED", ["abort"], [], []),
    ("CLOSED", "drop"): ("OVER", ["leave"], [], ["reset"]),
    ("PARTED", "service ended"): ("OVER", ["leave"], [], ["ended"]),
    ("PARTED", "failed"): ("OVER", ["leave"], [], ["reset"]),
    ("PARTED", "link lost"): ("OVER", ["leave"], [], ["reset"]),
    ("PARTED", "writable"): ("PARTED", ["resume"], [], []),
    ("PARTED", "stop now"): ("OVER", ["leave"], [], ["reset"]),
    ("PARTED", "relieve"): ("OVER", ["leave"], [], ["reset"]),
    ("PARTED", "drop"): ("OVER", ["leave"], [], ["reset"]),
    ("OVER", "writable"): ("OVER", ["resume"], [], []),
}
"""The next state, what the client is told, what the service hears, and what becomes of the exchange. Whatever is not
here changes nothing."""


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize("state", REACH)
@dialogue
async def test_every_state_meets_everything(state: str, name: str):
    talk = Talk()
    expected, reach = REACH[state]
    reach(talk)
    assert talk.state == expected
    talk.heard()
    told, done = len(talk.client.log), talk.done()
    INPUTS[name](talk)
    became = [fate for fate in talk.done() if fate not in done]
    found = (talk.state, talk.client.log[told:], talk.heard(), became)
    assert found == MOVES.get((state, name), (expected, [], [], []))
    assert talk.record.messages_up == (expected == "OPEN" and name == "the client's message")
    assert talk.overs == (talk.state == "OVER" and (state == "OVER" or name != "drop"))
    talk.conversation.drop()
    talk.conversation.drop()
    assert (talk.state, talk.client.log.count("leave")) == ("OVER", 1)
    assert talk.account.held_bytes == 0
    assert left_behind() == []


RECORDS: dict[tuple[str, str], tuple[str, int | None, str]] = {
    ("OPEN", "the service's close"): ("service", 1000, ""),
    ("OPEN", "the service's fault"): ("gateway", 1011, ""),
    ("OPEN", "service ended"): ("service", 1011, ""),
    ("OPEN", "failed"): ("service", 1011, ""),
    ("OPEN", "link lost"): ("gateway", 1012, ""),
    ("OPEN", "too large a message"): ("gateway", 1009, "message_size"),
    ("OPEN", "client left"): ("client", 1001, ""),
    ("OPEN", "client vanished"): ("client", 1006, ""),
    ("OPEN", "stop"): ("gateway", 1012, ""),
    ("OPEN", "relieve"): ("gateway", 1013, "held_hard"),
    ("OPEN", "tick, far too late"): ("gateway", 1001, "timeout_idle"),
    ("OPEN, blocked", "tick, far too late"): ("gateway", 1006, "timeout_write"),
    ("CLOSING", "client left"): ("service", None, ""),
    ("CLOSING", "tick, far too late"): ("gateway", 1006, "timeout_write"),
    ("CLOSED", "client vanished"): ("gateway", 1012, ""),
    ("PARTED", "link lost"): ("client", 1000, ""),
}


@pytest.mark.parametrize(("state", "name"), RECORDS)
@dialogue
async def test_what_the_record_says(state: str, name: str):
    talk = Talk()
    REACH[state][1](talk)
    INPUTS[name](talk)
    assert (talk.record.closed_by, talk.record.close_code, talk.record.limit) == RECORDS[state, name]
    talk.conversation.drop()


@dialogue
async def test_a_service_that_does_not_end_has_five_seconds():
    talk = Talk()
    parted(talk)
    await asyncio.sleep(4.9)
    assert talk.state == "PARTED"
    await asyncio.sleep(0.2)
    assert (talk.state, talk.overs, talk.done()) == ("OVER", 1, ["reset"])


@dialogue
async def test_what_waits_is_passed_on_before_the_close():
    talk = Talk()
    closing(talk)
    talk.client.room = True
    talk.conversation.client_writable()
    assert talk.client.log == ["start", "send 'one'", "send 'two'", "close 1000"]
    assert (talk.state, talk.record.messages_down) == ("PARTED", 2)
    talk.conversation.drop()


@dialogue
async def test_the_client_drains_message_by_message_and_then_its_close():
    talk = Talk()
    closing(talk)
    for expected in ("CLOSING", "CLOSED", "PARTED"):
        talk.conversation.client_writable()
        assert talk.state == expected
    talk.conversation.service_ended()
    assert (talk.state, talk.overs, talk.done()) == ("OVER", 1, ["ended"])


@pytest.mark.parametrize(("error", "ended"), [(LinkLostError("gone"), False), (None, True)])
@dialogue
async def test_an_exchange_that_is_over_before_the_beginning(error: LinkLostError | None, ended: bool):
    talk = Talk()
    talk.conversation.begin(talk.codec.send_message("early"), error, ended=ended)
    assert talk.client.log == ["start", "send 'early'", f"close {1012 if error else 1011}", "leave"]
    assert (talk.state, talk.overs) == ("OVER", 1)
