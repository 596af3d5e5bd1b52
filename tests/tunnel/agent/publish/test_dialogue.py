"""The messages of one link, as a dialogue."""

import json

import msgspec
import pytest

from tests.tunnel.agent.view.rows import row
from tunnel.agent.control import DialogueError
from tunnel.agent.publish import dialogue
from tunnel.agent.publish.dialogue import Dialogue, Hearer
from tunnel.wire import messages
from tunnel.wire.publishing import Publish, WantedRoute

WANTED = Publish(routes=[WantedRoute(key="a", port=1), WantedRoute(key="b", port=2)], name_seed="seed")


class Link(Hearer):
    """A dialogue with what it said, and what it told."""

    def __init__(self):
        self.said = []
        self.room = True
        self.told = []
        self.dialogue = Dialogue(self._say, self)

    def _say(self, kind, payload, request_id=None, /):
        if self.room:
            self.said.append((kind, msgspec.to_builtins(payload), request_id))
        return self.room

    def answered(self, routes, /):
        self.told.append([(route.key, route.host, route.url, route.code, route.error) for route in routes])

    def not_understood(self, why, /):
        self.told.append(why)

    def unpublished(self):
        self.told.append("unpublished")

    def passed(self, rows, left_out, /):
        self.told.append(([row.path for row in rows], left_out))

    def publish(self):
        assert self.dialogue.publish(WANTED)
        return self.said[-1][2]

    def tell(self, kind, payload, request_id=None):
        text = json.dumps({"type": kind, "payload": payload, "request_id": request_id})
        return self.dialogue.received(messages.decode_envelope(text))


def answer(*keys, **more):
    return {"routes": [{"key": key, "host": "h", "path": "/", "url": "u"} | more for key in keys]}


ROW = msgspec.to_builtins(row())


def test_all_is_asked_for_and_each_route_is_answered():
    link = Link()
    request_id = link.publish()
    (kind, payload, _) = link.said[0]
    assert (kind, [route["key"] for route in payload["routes"]]) == ("publish", ["a", "b"])
    taken = {"key": "b", "host": "h", "path": "/", "url": "", "code": "host_taken", "error": "h is taken"}
    assert link.tell("published", {"routes": [*answer("a")["routes"], taken]}, request_id)
    assert link.told == [[("a", "h", "u", "", ""), ("b", "h", "", "host_taken", "h is taken")]]


def test_an_answer_counts_once_and_only_to_the_last_question():
    link = Link()
    first = link.publish()
    second = link.publish()
    assert first != second
    for request_id in (None, "", "other", first):
        assert link.tell("published", answer("a", "b"), request_id)
    assert link.told == []
    for _ in range(2):
        assert link.tell("published", answer("a", "b"), second)
    assert len(link.told) == 1


def test_an_answer_before_any_question_is_none():
    link = Link()
    assert link.tell("published", answer("a", "b"), "")
    assert link.told == []


@pytest.mark.parametrize(
    "payload",
    [
        {}, {"routes": None}, {"routes": {}}, {"routes": [1, 2]}, answer("a"), answer("a", "b", "c"),
        answer("a", "b", url=1), {"routes": [{"key": "a"}, {"key": "b"}]},
    ],
)  # fmt: skip
def test_a_bad_answer_is_none_and_a_good_one_still_counts(payload):
    link = Link()
    request_id = link.publish()
    with pytest.raises(messages.MessageError):
        link.tell("published", payload, request_id)
    assert link.told == []
    link.tell("published", answer("a", "b"), request_id)
    assert len(link.told) == 1


def test_a_gateway_that_could_not_read_the_question_says_so():
    link = Link()
    request_id = link.publish()
    assert not link.tell("error", {"error": "something else"}, "other")
    assert not link.tell("error", {"error": "something else"})
    assert link.tell("error", {"error": "bad publish payload:\n\x1b[1m key"}, request_id)
    assert not link.tell("error", {"error": "once more"}, request_id)
    assert link.told == ["bad publish payload: [1m key"]


def test_requests_are_passed_on():
    link = Link()
    assert link.tell("requests", {"requests": [ROW, ROW | {"path": "/y", "more": 1}], "left_out": 3})
    assert link.tell("requests", {"requests": [], "left_out": -1})
    assert link.told == [(["/x", "/y"], 3), ([], 0)]


@pytest.mark.parametrize("payload", [{}, {"requests": [{}]}, {"requests": [ROW | {"status": "ok"}]}, {"requests": 1}])
def test_bad_requests_are_none(payload):
    link = Link()
    with pytest.raises(messages.MessageError):
        link.tell("requests", payload)
    assert link.told == []


def test_other_messages_are_not_taken():
    assert not Link().tell("proxy_request", {})


def test_a_question_that_is_too_long_for_the_gateway():
    link = Link()
    link.room = False
    assert not link.dialogue.publish(WANTED)
    assert not link.tell("error", {"error": "x"}, "")
    assert repr(link.dialogue) == "<Dialogue at rest>"


def test_a_gateway_that_is_too_old():
    dialogue.check(messages.RegisterSuccess("c1", publishes=True), "wss://g/agent")
    with pytest.raises(DialogueError) as caught:
        dialogue.check(messages.RegisterSuccess("c1"), "wss://g/agent")
    assert caught.value.code == 1000
    assert str(caught.value) == (
        "the gateway at wss://g/agent is too old to publish ports; upgrade it, or add a [[routes]] entry there"
    )


def test_hosts_that_another_agent_has_after_all():
    link = Link()
    assert link.tell("unpublished", {"hosts": ["h"]})
    assert link.told == ["unpublished"]
    with pytest.raises(messages.MessageError):
        link.tell("unpublished", {"hosts": 1})
