"""What the user is told, and when the command gives up: one publisher with one gateway or two."""

import asyncio

import msgspec
import pytest

from tests.fakes.loop import dialogue
from tests.tunnel.agent.publish.world import GONE, Gateway, Shown, planned
from tests.tunnel.agent.view.rows import row
from tunnel.agent.control import DialogueError
from tunnel.agent.publish.keeping import AGAIN_SECONDS
from tunnel.agent.publish.publisher import REFRESH_SECONDS, Publisher
from tunnel.agent.reasons import Reason, of_close, of_registration
from tunnel.agent.standing import Dial
from tunnel.wire.messages import REPLACED, RegisterSuccess

UNREACHABLE = Reason(Dial.UNREACHABLE, "cannot connect: refused")
UNKNOWN = Reason(Dial.REFUSED, "the gateway answered 503 (agent_refused): unknown token.", "compare them.", 503)
REVOKED = Reason(Dial.REVOKED, "the gateway answered 401", "the token is revoked", 401)


class Command:
    """A publisher with its gateways; `stopped` once it gave up."""

    def __init__(self, *wanted, gateways=1, ends_at_once=True):
        self.shown = Shown()
        self.ends_at_once = ends_at_once
        self.stopped = False
        names = [f"wss://g{number}/agent" for number in range(gateways)]
        self.publisher = Publisher(planned(*wanted), "seed", names, self.shown)
        self.gateways = [Gateway(keeping) for keeping in self.publisher.each]
        self.publisher.begin(self._stop, lambda: 0.02)

    def in_force(self):
        """All of it; the first gateway."""
        self.gateways[0].serve()
        return self.gateways[0]

    def _stop(self):
        self.stopped = True
        if self.ends_at_once:
            self.publisher.leave()

    def faults(self):
        assert self.stopped == bool(self.publisher.faults)
        self.publisher.leave()
        return self.publisher.faults


@dialogue
async def test_the_usual_case():
    command = Command("80=a.example.com", "81")
    command.in_force()
    assert command.shown.addresses == [
        "http://localhost:80 at https://a.example.com/",
        "http://localhost:81 at https://given-81.example.com/",
    ]
    assert command.shown.states == [("wss://g0/agent: connecting", False), ("connected to wss://g0/agent", True)]
    assert command.shown.notes == []
    assert command.faults() == []


@dialogue
async def test_one_refused_route_at_the_start_takes_all_back():
    command = Command("80=a.example.com", "81=b.example.com", "82=c.example.com")
    (gateway,) = command.gateways
    gateway.connect()
    gateway.answer(taken=["a.example.com", "c.example.com"])
    assert gateway.asked[-1].routes == []
    assert command.shown.addresses == []
    assert command.faults() == [
        "http://localhost:80 is not published: a.example.com is taken",
        "http://localhost:82 is not published: c.example.com is taken",
    ]


@dialogue
async def test_what_is_refused_later_is_told_once_and_comes_back():
    command = Command("80=a.example.com", "81")
    gateway = command.in_force()
    gateway.lose()
    gateway.connect()
    for _ in range(3):
        gateway.answer(taken=["a.example.com"])
        await asyncio.sleep(AGAIN_SECONDS + 0.1)
    assert command.shown.notes == ["http://localhost:80 is not published: a.example.com is taken; trying again"]
    assert command.shown.addresses == ["http://localhost:81 at https://given-81.example.com/"]
    gateway.answer()
    assert len(command.shown.addresses) == 2
    assert command.faults() == []


@dialogue
async def test_a_lost_link_takes_no_address_away():
    command = Command("80")
    gateway = command.in_force()
    gateway.lose()
    for _ in range(10):
        gateway.lose(UNREACHABLE)
    assert len(command.shown.addresses) == 1
    assert command.shown.states[2:] == [
        ("wss://g0/agent: connection lost; trying again", False),
        ("wss://g0/agent: cannot connect: refused; trying again", False),
    ]  # fmt: skip
    assert command.shown.notes == ["wss://g0/agent: cannot connect: refused; trying again"]
    gateway.connect()
    assert command.shown.states[-1] == ("connected to wss://g0/agent", True)
    gateway.answer()
    for _ in range(3):
        gateway.lose(UNREACHABLE)
    assert len(command.shown.notes) == 2, "another outage is told again"
    assert command.faults() == []


@dialogue
async def test_requests_are_shown():
    command = Command("80")
    gateway = command.in_force()
    gateway.say("requests", {"requests": [msgspec.to_builtins(row("/1")), msgspec.to_builtins(row("/2"))]})
    assert [each.path for each in command.shown.rows] == ["/1", "/2"]
    assert command.faults() == []


@pytest.mark.parametrize("reason", [UNREACHABLE, UNKNOWN, Reason(Dial.TLS, "cannot connect: expired"), GONE])
@dialogue
async def test_a_gateway_that_does_not_take_the_agent_yet_is_told_once_and_tried_again(reason: Reason):
    command = Command("80")
    (gateway,) = command.gateways
    for _ in range(100):
        gateway.lose(reason)
    assert command.shown.notes == [f"wss://g0/agent: {reason.text.removesuffix('.')}; trying again"]
    gateway.serve()
    assert len(command.shown.addresses) == 1
    assert command.faults() == []


@dialogue
async def test_a_first_answer_that_comes_late_is_still_the_start():
    command = Command("80=a.example.com")
    (gateway,) = command.gateways
    gateway.lose(UNREACHABLE)
    gateway.connect()
    gateway.answer(taken=["a.example.com"])
    assert command.faults() == ["http://localhost:80 is not published: a.example.com is taken"]


FINAL = [
    (REVOKED, "the gateway answered 401: the token is revoked"),
    (of_registration("this token does not serve cluster 'c2'"), "the gateway refused the registration: "),
]


@pytest.mark.parametrize(("reason", "said"), FINAL, ids=["revoked", "registration"])
@dialogue
async def test_a_final_reason_ends_the_start_and_nothing_later(reason: Reason, said: str):
    early, late = Command("80"), Command("80")
    early.gateways[0].lose(reason)
    (fault,) = early.faults()
    assert fault.startswith(f"wss://g0/agent: {said}")
    late.in_force().lose(reason)
    assert late.shown.states[-1][0].endswith("; trying again")
    assert late.faults() == []


@dialogue
async def test_a_gateway_that_is_too_old():
    command = Command("80")
    (gateway,) = command.gateways
    with pytest.raises(DialogueError) as caught:
        gateway.keeping.registered(RegisterSuccess("c1"))
    gateway.lose(caught.value.reason)
    (fault,) = command.faults()
    assert fault.startswith("the gateway at wss://g0/agent is too old to publish ports")
    assert gateway.asked == []


@pytest.mark.parametrize("answered", [True, False])
@dialogue
async def test_another_process_that_took_this_ones_place_ends_it(answered: bool):
    command = Command("80")
    (gateway,) = command.gateways
    gateway.connect()
    if answered:
        gateway.answer()
    gateway.lose(of_close(1012, REPLACED))
    (fault,) = command.faults()
    assert fault == "another tunnel-agent of this user has taken over: it publishes the same"


@dialogue
async def test_a_gateway_that_stops_is_not_another_process():
    command = Command("80")
    gateway = command.in_force()
    gateway.lose(of_close(1012, "gateway is stopping"))
    assert command.faults() == []


@dialogue
async def test_two_gateways_are_told_apart():
    command = Command("80", gateways=2)
    first, second = command.gateways
    first.connect()
    first.answer(name="one")
    second.lose(UNREACHABLE)
    assert command.shown.addresses == ["http://localhost:80 at https://one-80.example.com/"]
    assert command.shown.notes == ["wss://g1/agent: cannot connect: refused; trying again"]
    said = "wss://g0/agent: connected, wss://g1/agent: cannot connect: refused; trying again"
    assert command.shown.states[-1] == (said, False)
    second.connect()
    second.answer(name="two")
    assert command.shown.states[-1] == ("wss://g0/agent: connected, wss://g1/agent: connected", True)
    assert command.shown.addresses == [
        "http://localhost:80 at https://one-80.example.com/", "http://localhost:80 at https://two-80.example.com/",
    ]  # fmt: skip
    assert command.faults() == []


@dialogue
async def test_one_address_at_two_gateways_is_one():
    command = Command("80=a.example.com", gateways=2)
    for gateway in command.gateways:
        gateway.serve()
    assert command.shown.addresses == ["http://localhost:80 at https://a.example.com/"]
    assert command.faults() == []


@pytest.mark.parametrize("refusing", [0, 1])
@dialogue
async def test_a_refusal_of_either_gateway_at_the_start_takes_all_back(refusing: int):
    command = Command("80=a.example.com", gateways=2)
    for gateway in command.gateways:
        gateway.connect()
    command.gateways[1 - refusing].answer()
    command.gateways[refusing].answer(taken=["a.example.com"])
    assert [gateway.asked[-1].routes for gateway in command.gateways] == [[], []]
    assert command.faults() == [
        f"wss://g{refusing}/agent: http://localhost:80 is not published: a.example.com is taken"
    ]


@dialogue
async def test_what_comes_between_giving_up_and_the_end_is_no_second_reason():
    command = Command("80=a.example.com", gateways=2, ends_at_once=False)
    for gateway in command.gateways:
        gateway.connect()
        gateway.answer(taken=["a.example.com"])
    (fault,) = command.faults()
    assert fault.startswith("wss://g0/agent: ")


@dialogue
async def test_a_gateway_that_comes_later_and_refuses_ends_nothing():
    """The other one has served for hours, perhaps."""
    command = Command("80=a.example.com", gateways=2)
    first, second = command.gateways
    second.lose(UNREACHABLE)
    first.serve()
    second.connect()
    second.answer(taken=["a.example.com"])
    assert command.shown.notes[-1] == (
        "wss://g1/agent: http://localhost:80 is not published: a.example.com is taken; trying again"
    )
    assert command.faults() == []


@dialogue
async def test_nothing_is_told_of_a_command_that_ends():
    command = Command("80")
    gateway = command.in_force()
    command.publisher.leave()
    states, notes = list(command.shown.states), list(command.shown.notes)
    for _ in range(2):
        gateway.lose(Reason(Dial.READY, "stopping"))
    await asyncio.sleep(10 * REFRESH_SECONDS)
    assert (command.shown.states, command.shown.notes) == (states, notes)
