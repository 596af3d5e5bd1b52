"""One gateway over many links: what is asked for, when, and with which names."""

import asyncio

import pytest

from tests.fakes.loop import dialogue
from tests.tunnel.agent.publish.world import Gateway, planned
from tunnel.agent.publish.keeping import AGAIN_SECONDS, ANSWER_SECONDS, Keeping, Owner, Standing


class Told(Owner):
    """What the owner was told, as words."""

    def __init__(self):
        self.words = []

    def connected(self, keeping, /):
        self.words.append("connected")

    def answered(self, keeping, /):
        self.words.append(keeping.standing)

    def passed(self, keeping, rows, left_out, /):
        self.words.append((len(rows), left_out))

    def lost(self, keeping, reason, /):
        self.words.append(reason.text)


def published(*wanted):
    told = Told()
    return Gateway(Keeping("wss://g/agent", planned(*wanted), "seed", told)), told


@dialogue
async def test_everything_is_published_and_then_nothing_more_is_said():
    gateway, told = published("80=a.example.com", "81")
    gateway.serve()
    assert told.words == ["connected", Standing(("https://a.example.com/", "https://given-81.example.com/"), ("", ""))]
    await asyncio.sleep(600)
    assert gateway.hosts() == [["a.example.com", ""]]


@dialogue
async def test_a_new_link_publishes_the_same_names():
    gateway, told = published("80=a.example.com", "81", "82=*.x.example.com")
    gateway.serve()
    gateway.lose()
    assert not gateway.keeping.has_link
    await asyncio.sleep(600)
    gateway.connect()
    assert gateway.hosts()[1] == ["a.example.com", "given-81.example.com", "*.x.example.com"]
    assert told.words[2:] == ["connection lost", "connected"]
    gateway.answer()
    assert {asked.name_seed for asked in gateway.asked} == {"seed"}


@dialogue
async def test_what_is_refused_is_asked_for_again_until_it_is_in_force():
    gateway, told = published("80=a.example.com", "81")
    gateway.serve()
    gateway.lose()
    gateway.connect()
    for _ in range(3):
        gateway.answer(taken=["a.example.com"])
        assert told.words[-1].refusals == ("a.example.com is taken", "")
        assert told.words[-1].urls == ("", "https://given-81.example.com/")
        number = len(gateway.asked)
        await asyncio.sleep(AGAIN_SECONDS - 0.1)
        assert len(gateway.asked) == number
        await asyncio.sleep(0.2)
        assert len(gateway.asked) == number + 1
    gateway.answer()
    assert told.words[-1].whole
    await asyncio.sleep(600)
    assert len(gateway.asked) == number + 1


@dialogue
async def test_a_refusal_without_words_has_its_code():
    gateway, told = published("80=a.example.com")
    gateway.connect()
    routes = [{"key": "80", "host": "a.example.com", "path": "/", "url": "", "code": "of the\n\x1bfuture"}]
    gateway.say("published", {"routes": routes})
    assert told.words[-1].refusals == ("of the future",)
    gateway.keeping.leave()


@dialogue
async def test_what_gets_no_answer_is_asked_for_again():
    gateway, _ = published("80")
    gateway.connect()
    await asyncio.sleep(2.5 * ANSWER_SECONDS)
    assert len(gateway.asked) == 3
    gateway.answer()
    await asyncio.sleep(600)
    assert len(gateway.asked) == 3


@dialogue
async def test_what_the_gateway_cannot_read_is_a_refusal_of_everything():
    gateway, told = published("80", "81")
    gateway.connect()
    gateway.say("error", {"error": "bad publish payload"})
    why = "the gateway could not read the request: bad publish payload"
    assert told.words[-1] == Standing(("", ""), (why, why))
    await asyncio.sleep(AGAIN_SECONDS + 0.1)
    assert len(gateway.asked) == 2
    gateway.keeping.leave()


@dialogue
async def test_a_message_that_is_too_long_is_a_refusal_of_everything():
    gateway, told = published("80")
    gateway.room = False
    gateway.connect()
    assert told.words[0].refusals == ("the message is too long for the gateway: publish fewer ports at once",)
    gateway.room = True
    await asyncio.sleep(AGAIN_SECONDS + 0.1)
    gateway.answer()
    assert told.words[-1].whole


@dialogue
async def test_nothing_is_said_without_a_link():
    gateway, _ = published("80=a.example.com")
    gateway.connect()
    gateway.answer(taken=["a.example.com"])
    gateway.lose()
    await asyncio.sleep(600)
    assert len(gateway.asked) == 1


@pytest.mark.parametrize("answered", [True, False])
@dialogue
async def test_the_timer_ends_with_the_link(answered: bool):
    """The loop of the tests finds one that is left behind."""
    gateway, _ = published("80=a.example.com")
    gateway.connect()
    if answered:
        gateway.answer(taken=["a.example.com"])
    gateway.lose()


@pytest.mark.parametrize("answered", [True, False])
@dialogue
async def test_leaving_takes_everything_back_and_is_the_end(answered: bool):
    gateway, told = published("80=a.example.com")
    gateway.connect()
    if answered:
        gateway.answer(taken=["a.example.com"])
    words = len(told.words)
    for _ in range(2):
        gateway.keeping.leave()
    assert gateway.asked[-1].routes == []
    gateway.answer()
    assert len(told.words) == words
    gateway.lose()
    gateway.connect()
    await asyncio.sleep(600)
    assert len(gateway.asked) == 2


@dialogue
async def test_leaving_without_a_link():
    gateway, _ = published("80")
    gateway.keeping.leave()
    assert gateway.asked == []


@dialogue
async def test_requests_are_passed_on():
    gateway, told = published("80")
    gateway.connect()
    gateway.say("requests", {"requests": [], "left_out": 7})
    assert told.words == ["connected", (0, 7)]
    gateway.keeping.leave()


@dialogue
async def test_what_the_gateway_gave_to_another_agent_is_asked_for_again():
    gateway, told = published("80=a.example.com", "81")
    gateway.serve()
    gateway.keeping.unpublished()
    assert len(gateway.asked) == 2
    gateway.answer(taken=["a.example.com"])
    assert told.words[-1].refusals == ("a.example.com is taken", "")
    await asyncio.sleep(AGAIN_SECONDS + 0.1)
    assert len(gateway.asked) == 3
    gateway.keeping.leave()
    gateway.keeping.unpublished()
    assert gateway.hosts()[3:] == [[]]
