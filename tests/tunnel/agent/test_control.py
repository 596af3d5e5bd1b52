"""The JSON dialogue, as a dialogue."""

import json
import logging

import pytest

from tunnel.agent.control import Control, DialogueError, Identity
from tunnel.wire import messages
from tunnel.wire.message_limits import NO_LIMIT_BYTES


class Dialogue:
    """A control with what it said and agreed to."""

    def __init__(self, **more):
        self.said = []
        self.configs = []
        defaults = {"dialect": "yamux", "on_message": lambda envelope, text: False, "on_ping": lambda answer: answer()}
        identity = Identity("agent-1", "c1", "host-1", "1.2")
        self.control = Control(identity, self._heard, self.configs.append, **{**defaults, **more})
        self.control.register()
        self.request_id = self.said[0]["request_id"]

    def _heard(self, text):
        self.said.append(json.loads(text))

    def tell(self, kind, payload=None, request_id=None):
        message = {"type": kind, "payload": payload}
        if request_id is not None:
            message["request_id"] = request_id
        self.control.receive(json.dumps(message).encode(), last=True)

    def register(self):
        self.tell("register_success", {"cluster_id": "uuid-1"}, self.request_id)


def test_register_says_who_we_are():
    register = Dialogue().said[0]
    assert register["type"] == "register"
    assert register["payload"] == {
        "agent_id": "agent-1",
        "name": "c1",
        "cluster_id": "c1",
        "agent_version": "1.2",
        "hostname": "host-1",
        "features": {"supports_yamux": True, "supports_websocket": True, "supports_stream_refused": True},
        "message_limit_bytes": 1_048_576,
    }
    assert register["timestamp"].endswith("Z")


def test_request_ids_are_unique():
    assert Dialogue().request_id != Dialogue().request_id


def test_the_way_to_a_serving_link():
    dialogue = Dialogue()
    assert dialogue.control.missing == "register_success"
    dialogue.tell("register_in_progress", {"message": "wait"}, dialogue.request_id)
    dialogue.tell("register_success", {"cluster_id": "x"}, "another id")
    assert dialogue.control.missing == "register_success"
    dialogue.register()
    assert dialogue.control.missing == "gateway_hello"
    dialogue.tell("gateway_hello", {"use_yamux": True, "yamux_config": {"max_stream_window_size": 1_048_576}})
    assert dialogue.control.missing == ""
    assert [config.max_stream_window_size for config in dialogue.configs] == [1_048_576]
    assert dialogue.said[1]["type"] == "gateway_hello_ack"
    assert dialogue.said[1]["payload"] == {"use_yamux": True}
    dialogue.control.heartbeat()
    assert dialogue.said[2]["type"] == "heartbeat"
    assert dialogue.said[2]["payload"] == {"agent_id": "agent-1", "cluster_id": "uuid-1", "status": "healthy"}


def test_hello_may_come_first_and_counts_once():
    dialogue = Dialogue()
    dialogue.tell("gateway_hello", {"use_yamux": True})
    dialogue.tell("gateway_hello", {"use_yamux": True})
    dialogue.register()
    assert dialogue.control.missing == ""
    assert len(dialogue.configs) == 1
    assert [said["type"] for said in dialogue.said] == ["register", "gateway_hello_ack"]


def test_without_yamux_the_link_is_of_no_use():
    with pytest.raises(DialogueError, match="does not offer yamux") as caught:
        Dialogue().tell("gateway_hello", {"use_yamux": False})
    assert caught.value.code == 1000


@pytest.mark.parametrize(
    ("dialect", "more"),
    [
        ("json", {"supports_message_order": True, "supports_websocket_ping": True}),
        ("chunk", {"supports_stream_chunks": True}),
    ],
)
def test_the_other_dialects_are_ready_once_registered(dialect, more):
    dialogue = Dialogue(dialect=dialect)
    features = {
        "supports_yamux": False,
        "supports_response_streaming": True,
        "supports_websocket": True,
        "ends_exchanges_with_link": True,
    }
    assert dialogue.said[0]["payload"]["features"] == features | more
    assert dialogue.control.missing == "register_success"
    dialogue.register()
    assert dialogue.control.missing == ""
    dialogue.tell("gateway_hello", {"use_yamux": True})
    assert dialogue.said[1]["payload"] == {"use_yamux": False}
    dialogue.tell("gateway_hello", {"use_yamux": False})
    assert dialogue.configs == []
    assert not dialogue.control.agreed


def test_messages_of_exchanges_are_passed_on_whole():
    taken = []

    def take(envelope, text):
        taken.append((envelope.type, envelope.request_id, json.loads(text)["data"]))
        return envelope.type == "proxy_stream_chunk"

    dialogue = Dialogue(dialect="chunk", on_message=take)
    text = json.dumps({"type": "proxy_stream_chunk", "request_id": "r-1", "data": "AQ=="}).encode()
    dialogue.control.receive(text[:20], last=False)
    dialogue.control.receive(text[20:], last=True)
    dialogue.tell("ping")
    assert taken == [("proxy_stream_chunk", "r-1", "AQ==")]


def test_pings_may_be_answered_later():
    answers = []
    dialogue = Dialogue(dialect="json", on_ping=answers.append)
    dialogue.tell("ping", {}, "p-1")
    assert len(dialogue.said) == 1
    answers[0]()
    assert dialogue.said[1]["request_id"] == "p-1"


def test_an_error_ends_a_registration_and_later_ones_do_not(caplog):
    with pytest.raises(DialogueError, match="unknown cluster"):
        Dialogue().tell("error", {"error": "unknown cluster"})
    dialogue = Dialogue()
    dialogue.register()
    dialogue.tell("error", {"error": "too many routes"})
    assert "too many routes" in caplog.text


def test_ping_is_answered_with_its_id():
    dialogue = Dialogue()
    dialogue.tell("ping", {"timestamp": "now"}, "p-1")
    dialogue.tell("ping")
    assert [(said["type"], said.get("request_id")) for said in dialogue.said[1:]] == [("pong", "p-1"), ("pong", None)]


def test_refusals_are_told():
    dialogue = Dialogue()
    dialogue.control.stream_refused(4, "no route", "refused")
    assert dialogue.said[1]["type"] == "stream_refused"
    assert dialogue.said[1]["payload"] == {"stream_id": 4, "reason": "no route", "kind": "refused"}


def test_unknown_types_are_noted_once(caplog):
    caplog.set_level(logging.DEBUG, "tunnel.agent")
    dialogue = Dialogue()
    for _ in range(3):
        dialogue.tell("proxy_request", {"path": "/"}, "r-1")
    assert caplog.text.count("proxy_request") == 1
    assert len(dialogue.said) == 1


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"hello",
        b"[]",
        b"\xff\xfe",
        b'{"type":1}',
        b'{"type":"gateway_hello","payload":[]}',
        b'{"type":"register_success"}',
    ],
)
def test_what_is_not_understood_is_dropped(text, caplog):
    dialogue = Dialogue()
    request_id = dialogue.request_id.encode()
    dialogue.control.receive(text.replace(b'success"', b'success","request_id":"' + request_id + b'"'), last=True)
    assert len(dialogue.said) == 1
    assert "message of the gateway dropped" in caplog.text
    assert dialogue.control.missing == "register_success"


def test_fragments_are_joined():
    dialogue = Dialogue()
    text = json.dumps({"type": "ping", "request_id": "p-1", "payload": {}}).encode()
    for i in range(len(text)):
        assert dialogue.control.in_message == (i > 0)
        dialogue.control.receive(text[i : i + 1], last=i == len(text) - 1)
    assert not dialogue.control.in_message
    assert dialogue.said[1]["request_id"] == "p-1"


def test_endless_messages_end_the_link():
    dialogue = Dialogue()
    piece = b" " * (messages.ENVELOPE_LIMIT_BYTES // 2)
    dialogue.control.receive(piece, last=False)
    dialogue.control.receive(piece, last=False)
    with pytest.raises(DialogueError, match="longer than") as caught:
        dialogue.control.receive(b" ", last=True)
    assert caught.value.code == 1009


# --- message limits


@pytest.mark.parametrize("dialect", ["yamux", "json"])
def test_the_gateway_tells_its_limit(dialect):
    dialogue = Dialogue(dialect=dialect)
    assert dialogue.control.gateway_limit_bytes == NO_LIMIT_BYTES
    dialogue.tell("register_success", {"cluster_id": "x", "message_limit_bytes": 20_000}, dialogue.request_id)
    assert dialogue.control.gateway_limit_bytes == 20_000
    dialogue.tell("gateway_hello", {"use_yamux": True, "message_limit_bytes": 30_000})
    assert dialogue.control.gateway_limit_bytes == (30_000 if dialect == "yamux" else 20_000)


@pytest.mark.parametrize("value", [-1, 0, 16_383, 1.5, True, "20000", "many", [], {}, 10**30, None])
def test_a_limit_that_cannot_be_one_ends_nothing(value, caplog):
    dialogue = Dialogue()
    dialogue.tell("register_success", {"cluster_id": "x", "message_limit_bytes": value}, dialogue.request_id)
    dialogue.tell("gateway_hello", {"use_yamux": True, "message_limit_bytes": value})
    assert dialogue.control.missing == ""
    assert dialogue.control.gateway_limit_bytes == NO_LIMIT_BYTES
    warned = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    why = f"{json.dumps(value)!r} is not a whole number from 16384 to 2^63 - 1"
    assert warned == ([] if value is None else [f"message_limit_bytes of the gateway ignored: {why}"] * 2)


def test_what_is_wrong_later_changes_nothing():
    dialogue = Dialogue()
    dialogue.tell("register_success", {"cluster_id": "x", "message_limit_bytes": 20_000}, dialogue.request_id)
    dialogue.tell("gateway_hello", {"use_yamux": True, "message_limit_bytes": -1})
    assert dialogue.control.gateway_limit_bytes == 20_000


def test_nothing_above_the_limit_is_said():
    dialogue = Dialogue()
    dialogue.tell("register_success", {"cluster_id": "x", "message_limit_bytes": 20_000}, dialogue.request_id)
    said = len(dialogue.said)
    dialogue.tell("ping", {}, "p" * 20_000)
    assert len(dialogue.said) == said
    dialogue.tell("ping", {}, "p" * 19_000)
    assert dialogue.said[said]["request_id"] == "p" * 19_000


# --- an extension


class Extension:
    """One that takes `more`, and only gateways that publish."""

    feature = "publishes"

    def __init__(self):
        self.taken = []

    def registered(self, success):
        if not success.publishes:
            raise DialogueError(1000, "too old")

    def received(self, envelope):
        self.taken.append((envelope.type, envelope.request_id))
        return envelope.type == "more" or envelope.request_id == "mine"


def test_an_extension_is_a_feature_and_changes_no_other():
    features = Dialogue(extension=Extension()).said[0]["payload"]["features"]
    assert features == {**Dialogue().said[0]["payload"]["features"], "publishes": True}
    assert "publishes" not in Dialogue().said[0]["payload"]["features"]


@pytest.mark.parametrize("hello_first", [False, True])
def test_nothing_is_acknowledged_to_a_gateway_that_lacks_the_extension(hello_first):
    dialogue = Dialogue(extension=Extension())
    if hello_first:
        dialogue.tell("gateway_hello", {"use_yamux": True})
    with pytest.raises(DialogueError, match="too old"):
        dialogue.register()
    assert [said["type"] for said in dialogue.said] == ["register"]
    assert dialogue.control.missing == "register_success"


@pytest.mark.parametrize("hello_first", [False, True])
def test_a_gateway_that_has_the_extension(hello_first):
    dialogue = Dialogue(extension=Extension())
    if hello_first:
        dialogue.tell("gateway_hello", {"use_yamux": True})
        assert len(dialogue.said) == 1
    dialogue.tell("register_success", {"cluster_id": "c1", "publishes": True}, dialogue.request_id)
    if not hello_first:
        dialogue.tell("gateway_hello", {"use_yamux": True})
    assert dialogue.control.missing == ""
    assert [said["type"] for said in dialogue.said] == ["register", "gateway_hello_ack"]


def test_an_extension_sees_what_nobody_else_takes(caplog):
    extension = Extension()
    dialogue = Dialogue(extension=extension, on_message=lambda envelope, text: envelope.type == "carried")
    dialogue.tell("register_success", {"cluster_id": "c1", "publishes": True}, dialogue.request_id)
    kinds = [("more", None), ("carried", None), ("other", None), ("ping", None), ("error", "mine"), ("error", "theirs")]
    for kind, request_id in kinds:
        dialogue.tell(kind, {"error": f"about {request_id}"}, request_id)
    assert extension.taken == [("more", None), ("other", None), ("error", "mine"), ("error", "theirs")]
    assert "about theirs" in caplog.text
    assert "about mine" not in caplog.text


def test_what_an_extension_says_is_bounded_too():
    dialogue = Dialogue()
    dialogue.tell("register_success", {"cluster_id": "x", "message_limit_bytes": 20_000}, dialogue.request_id)
    assert dialogue.control.say("publish", messages.Notice(error="x" * 19_000), "p-1")
    assert not dialogue.control.say("publish", messages.Notice(error="x" * 20_000), "p-2")
    assert [said["request_id"] for said in dialogue.said[1:]] == ["p-1"]
