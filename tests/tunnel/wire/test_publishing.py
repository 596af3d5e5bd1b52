"""The messages of `publish`: what can be read, and what costs the whole message."""

from typing import Any

import msgspec
import pytest

from tunnel.wire import publishing
from tunnel.wire.messages import MessageError, decode_envelope, decode_payload, encode
from tunnel.wire.publishing import Publish, Published, PublishedRoute, RequestRow, Requests, WantedRoute

ROUTE: dict[str, Any] = {"key": "5173", "host": "me.dev.example.com", "port": 5173}


def read(payload: dict[str, Any]) -> Publish:
    envelope = decode_envelope(msgspec.json.encode({"type": "publish", "request_id": "1", "payload": payload}))
    return decode_payload(envelope, Publish)


def test_absent_fields_have_their_defaults():
    (route,) = read({"routes": [ROUTE], "name_seed": "seed"}).routes
    assert route == WantedRoute(key="5173", host="me.dev.example.com", port=5173)
    assert (route.path, route.namespace, route.service, route.scheme, route.verify) == (
        "/", "published", "localhost", "http", True,
    )  # fmt: skip


def test_nothing_to_publish_is_a_message():
    assert read({"routes": [], "name_seed": "seed", "later": 1}) == Publish(routes=[], name_seed="seed")


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param({"name_seed": "seed"}, id="no routes"),
        pytest.param({"routes": {}, "name_seed": "seed"}, id="routes that are no list"),
        pytest.param({"routes": [ROUTE] * (publishing.MOST_ROUTES + 1), "name_seed": "seed"}, id="too many routes"),
        pytest.param({"routes": ["x"], "name_seed": "seed"}, id="a route that is no object"),
        pytest.param({"routes": [ROUTE]}, id="no name_seed"),
        pytest.param({"routes": [ROUTE], "name_seed": ""}, id="empty name_seed"),
        pytest.param({"routes": [ROUTE], "name_seed": "é"}, id="name_seed beyond ASCII"),
        pytest.param({"routes": [ROUTE], "name_seed": "x" * 129}, id="long name_seed"),
        pytest.param({"routes": [{"host": "", "port": 1}], "name_seed": "seed"}, id="no key"),
        pytest.param({"routes": [{**ROUTE, "key": "a\n"}], "name_seed": "seed"}, id="key with a line end"),
        pytest.param({"routes": [{**ROUTE, "key": "x" * 129}], "name_seed": "seed"}, id="long key"),
        pytest.param({"routes": [{"key": "a"}], "name_seed": "seed"}, id="no port"),
        pytest.param({"routes": [{**ROUTE, "port": "80"}], "name_seed": "seed"}, id="port in quotes"),
        pytest.param({"routes": [{**ROUTE, "host": None}], "name_seed": "seed"}, id="host null"),
        pytest.param({"routes": [{**ROUTE, "verify": 1}], "name_seed": "seed"}, id="verify that is a number"),
    ],
)
def test_what_cannot_be_read(payload: dict[str, Any]):
    with pytest.raises(MessageError, match="bad publish payload"):
        read(payload)


def test_what_we_write_is_what_we_read():
    row = RequestRow(
        id="r", at="2026-01-01T00:00:00Z", kind="http", method="GET", host="h", path="/x", status=200, outcome="ok",
        seconds=0.01, bytes_up=0, bytes_down=5, client="203.0.113.7", key="5173",
    )  # fmt: skip
    answer = PublishedRoute(key="5173", host="h", path="/", url="https://h/")
    for kind, payload in (
        ("publish", Publish(routes=[WantedRoute(key="k", port=1, verify=False)], name_seed="s", watch=True)),
        ("published", Published(routes=[answer])),
        ("requests", Requests(requests=[row], left_out=3)),
    ):
        envelope = decode_envelope(encode(kind, payload, "7"))
        assert (envelope.type, envelope.request_id) == (kind, "7")
        assert decode_payload(envelope, type(payload)) == payload
