"""What the gateway takes from, adds to and leaves alone in the headers of both directions."""

import json

import pytest

from tests.system.clients import RawClient, websocket
from tests.system.conftest import tunnel_only
from tests.system.harness import DOMAIN, LOOPBACK, Stack

pytestmark = [pytest.mark.anyio, tunnel_only]


def seen(stack: Stack, *fields: str, host: str = f"plain.{DOMAIN}") -> list[tuple[str, str]]:
    """The headers that the service saw, names in lower case."""
    with RawClient(stack.address("plain")) as client:
        lines = ["GET /echo HTTP/1.1", f"Host: {host}", *fields]
        client.send("\r\n".join([*lines, "", ""]).encode())
        answer = client.answer()
    assert answer.status == 200
    return [(name.lower(), value) for name, value in json.loads(answer.body)["headers"]]


def values(headers: list[tuple[str, str]], name: str) -> list[str]:
    return [value for key, value in headers if key == name]


def test_the_host_that_the_client_named_is_kept(stack: Stack) -> None:
    assert values(seen(stack, host=f"Plain.{DOMAIN}:8443"), "host") == [f"Plain.{DOMAIN}:8443"]


def test_forwarded_headers_tell_the_connection(stack: Stack) -> None:
    headers = seen(stack)
    assert values(headers, "x-forwarded-for") == [LOOPBACK]
    assert values(headers, "x-forwarded-proto") == ["http"]
    assert values(headers, "x-forwarded-host") == [f"plain.{DOMAIN}"]


def test_a_clients_own_forwarded_headers_are_not_believed(stack: Stack) -> None:
    headers = seen(
        stack,
        "X-Forwarded-For: 203.0.113.9",
        "X-Forwarded-For: 203.0.113.10",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: evil.test",
        "Forwarded: for=203.0.113.9;proto=https;host=evil.test",
    )
    assert values(headers, "x-forwarded-for") == [LOOPBACK]
    assert values(headers, "x-forwarded-proto") == ["http"]
    assert values(headers, "x-forwarded-host") == [f"plain.{DOMAIN}"]
    assert not [value for _, value in headers if "203.0.113" in value or "evil" in value]


def test_hop_by_hop_headers_and_those_named_by_connection_end_at_the_gateway(stack: Stack) -> None:
    headers = seen(
        stack,
        "Connection: keep-alive, X-Hop",
        "Keep-Alive: timeout=5",
        "X-Hop: 1",
        "TE: trailers, gzip",
        "Proxy-Authorization: Basic eDp5",
        "Proxy-Connection: keep-alive",
        "X-End: 2",
    )
    names = {name for name, _ in headers}
    assert not names & {"keep-alive", "x-hop", "proxy-authorization", "proxy-connection"}
    assert values(headers, "x-end") == ["2"]
    assert not any("x-hop" in value.lower() for value in values(headers, "connection"))


def test_connection_cannot_take_away_what_the_gateway_sets(stack: Stack) -> None:
    headers = seen(stack, "Connection: X-Forwarded-For, X-Forwarded-Proto, Host")
    assert values(headers, "x-forwarded-for") == [LOOPBACK]
    assert values(headers, "x-forwarded-proto") == ["http"]
    assert values(headers, "host") == [f"plain.{DOMAIN}"]


def test_an_offer_of_h2c_is_dropped_and_answered_normally(stack: Stack) -> None:
    headers = seen(stack, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")
    assert not {name for name, _ in headers} & {"upgrade", "http2-settings"}


def test_end_to_end_headers_arrive_in_order_and_repeated(stack: Stack) -> None:
    headers = seen(
        stack,
        "Cookie: a=1; b=2",
        "Authorization: Bearer t",
        "X-Twice: 1",
        "X-Twice: 2",
        "Accept-Encoding: br",
        "X-Empty:",
    )
    assert values(headers, "x-twice") == ["1", "2"]
    assert values(headers, "cookie") == ["a=1; b=2"]
    assert values(headers, "authorization") == ["Bearer t"]
    assert values(headers, "accept-encoding") == ["br"]
    assert values(headers, "x-empty") == [""]


def test_nothing_is_invented_for_the_service(stack: Stack) -> None:
    known = {
        "host",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-port",
        "forwarded",
        "via",
    }
    assert {name for name, _ in seen(stack)} <= known | {"x-request-id"}


def test_hop_by_hop_headers_of_the_answer_end_at_the_gateway(stack: Stack) -> None:
    with RawClient(stack.address("plain")) as client:
        client.request("GET /hop-by-hop HTTP/1.1", "plain")
        answer = client.answer()
    assert not answer.all("keep-alive")
    assert not answer.all("x-hop")
    assert answer.one("x-end") == "2"
    assert answer.all("server") == ["plain/1"]
    assert answer.all("date") == ["Thu, 01 Jan 1970 00:00:01 GMT"]


@pytest.mark.parametrize(
    "head",
    [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Content-Length: 5\r\nContent-Length: 6",
        "Transfer-Encoding: chunked, gzip",
        "X-Folded: a\r\n b",
        "X-Space : a",
        "Content-Length: -1",
    ],
)
async def test_ambiguous_framing_never_reaches_the_service(stack: Stack, head: str) -> None:
    with RawClient(stack.address("plain")) as client:
        client.request("GET /small HTTP/1.1", "plain")
        assert client.answer().status == 200
        client.request("POST /echo HTTP/1.1", "plain", head, body=b"0\r\n\r\nGET /small?n=smuggled HTTP/1.1\r\n\r\n")
        rest = client.read_end()
    assert rest == b"" or rest.startswith(b"HTTP/1.1 400"), rest
    assert b"smuggled" not in rest


async def test_a_websocket_handshake_follows_the_same_rules(stack: Stack) -> None:
    extra = {
        "X-Forwarded-For": "203.0.113.9",
        "X-Forwarded-Proto": "https",
        "Forwarded": "for=203.0.113.9",
        "Cookie": "a=1",
        "Authorization": "Bearer t",
        "Proxy-Authorization": "Basic eDp5",
    }
    origin = f"http://ws.{DOMAIN}"
    async with websocket(stack.url("ws", "/headers?q=%2F&x", "ws"), additional_headers=extra, origin=origin) as client:
        got = json.loads(await client.recv())
    headers = [(name.lower(), value) for name, value in got["headers"]]
    assert got["path"] == "/headers?q=%2F&x"
    assert values(headers, "host") == [f"ws.{DOMAIN}:{stack.address('ws')[1]}"]
    assert values(headers, "origin") == [origin]
    assert values(headers, "x-forwarded-for") == [LOOPBACK]
    assert values(headers, "x-forwarded-proto") == ["http"]
    assert values(headers, "cookie") == ["a=1"]
    assert values(headers, "authorization") == ["Bearer t"]
    assert not values(headers, "proxy-authorization")
    assert len(values(headers, "sec-websocket-key")) == 1
