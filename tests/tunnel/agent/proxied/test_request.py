"""What a `proxy_request` becomes: a route and a head, or a refusal by name."""

import msgspec
import pytest

from tunnel.agent.proxied.request import GatewayRequest, RequestError
from tunnel.websocket import handshake_headers


def request(**fields):
    return msgspec.json.decode(msgspec.json.encode({"path": "/", **fields}), type=GatewayRequest)


def line(**fields):
    head = request(**fields).head("h:1", 0)
    return head.method + b" " + head.target


@pytest.mark.parametrize(
    ("path", "encoded"),
    [
        ("", b"/"),
        ("/a b", b"/a%20b"),
        ("/caf\xe9/\u20ac", b"/caf%C3%A9/%E2%82%AC"),
        ("/%20", b"/%2520"),
        ("/a?b#c", b"/a%3Fb%23c"),
        ("/$&+,/:;=@-._~", b"/$&+,/:;=@-._~"),
        ("/!*'()[]\"<>", b"/!*'()%5B%5D%22%3C%3E"),
        ("/a..b/...", b"/a..b/..."),
        ("/./a", b"/./a"),
        ("//x", b"//x"),
        ("/\x00\n", b"/%00%0A"),
    ],
)
def test_a_decoded_path_is_encoded_again(path, encoded):
    assert line(path=path) == b"GET " + encoded


@pytest.mark.parametrize(
    ("query", "sent"),
    [
        ("", b"/"),
        ("b=2&a=1&flag&x=%20+;", b"/?b=2&a=1&flag&x=%20+;"),
        ("q=\xe9", b"/?q=%C3%A9"),
        ("a=/?:@!$'()*[]{}|\\^`\"<>", b"/?a=/?:@!$'()*[]{}|\\^`\"<>"),
    ],
)
def test_a_query_is_sent_as_it_came(query, sent):
    assert line(query=query) == b"GET " + sent


def test_the_method_is_upper_case_and_may_be_missing():
    assert line(method="post").startswith(b"POST ")
    assert line(method="").startswith(b"GET ")


def test_fields_of_this_hop_stay_here():
    headers = {
        "Connection": ["keep-alive, X-Drop"], "Keep-Alive": ["timeout=5"], "TE": ["trailers"], "Trailer": ["x"],
        "Transfer-Encoding": ["chunked"], "Upgrade": ["h2c"], "Proxy-Authorization": ["secret"],
        "Proxy-Connection": ["close"], "X-Drop": ["me"], "Content-Length": ["99"],
        "Host": ["app.example"], "Cookie": ["a=1", "b=2"], "X-Text": "bare", "X-Other": ["caf\xe9"],
    }  # fmt: skip
    assert request(headers=headers).head("h:1", 0).headers == [
        (b"Host", b"app.example"),
        (b"Cookie", b"a=1"),
        (b"Cookie", b"b=2"),
        (b"X-Text", b"bare"),
        (b"X-Other", b"caf\xc3\xa9"),
    ]


def test_without_a_host_it_is_the_services():
    assert request().head("10.0.0.1:80", 0).headers == [(b"Host", b"10.0.0.1:80")]


@pytest.mark.parametrize(
    ("fields", "body_bytes", "length", "announced"),
    [
        ({"method": "POST"}, 5, 5, b"5"),
        ({"method": "POST"}, 0, 0, b"0"),
        ({"method": "PUT"}, 0, 0, b"0"),
        ({"method": "GET"}, 0, 0, None),
        ({"method": "POST", "streaming": True}, 0, None, None),
        ({"method": "POST", "use_streaming": True}, 0, None, None),
        ({"method": "POST", "streaming": True, "headers": {"content-length": ["7"]}}, 0, 7, b"7"),
        ({"method": "POST", "streaming": True, "headers": {"content-length": ["7, 7"]}}, 0, None, None),
    ],
)
def test_the_framing_is_our_own(fields, body_bytes, length, announced):
    head = request(**fields).head("h:1", body_bytes)
    assert head.body_length == length
    assert dict(head.headers).get(b"Content-Length") == announced


def test_bodies():
    assert request().whole_body() == b""
    assert request(body="caf\xe9").whole_body() == b"caf\xc3\xa9"
    assert request(body="AAEC", body_encoding="BASE64").whole_body() == b"\x00\x01\x02"


def test_a_websocket_has_our_handshake_and_the_clients_subprotocols():
    asked = request(
        is_websocket=True,
        streaming=True,
        headers={
            "Sec-WebSocket-Key": ["theirs"], "Sec-WebSocket-Extensions": ["permessage-deflate"],
            "Sec-WebSocket-Protocol": ["a, b", "c"], "Origin": ["https://o"], "Upgrade": ["websocket"],
        },
    )  # fmt: skip
    assert asked.subprotocols() == b"a, b, c"
    head = asked.head("h:1", 0, handshake_headers(b"ours", asked.subprotocols()))
    assert (head.upgrade, head.body_length) == (True, 0)
    assert head.headers == [
        (b"Host", b"h:1"),
        (b"Origin", b"https://o"),
        (b"Connection", b"Upgrade"),
        (b"Upgrade", b"websocket"),
        (b"Sec-WebSocket-Key", b"ours"),
        (b"Sec-WebSocket-Version", b"13"),
        (b"Sec-WebSocket-Protocol", b"a, b, c"),
    ]


@pytest.mark.parametrize(
    ("fields", "yes"),
    [
        ({}, False),
        ({"is_websocket": True}, True),
        ({"isWebSocket": True}, True),
        ({"protocol": "v1.k8s.io"}, True),
        ({"headers": {"upgrade": ["WebSocket"]}}, True),
        ({"headers": {"Upgrade": ["h2c"]}}, False),
        ({"headers": {"Sec-WebSocket-Version": ["13"]}}, False),
    ],
)
def test_what_is_a_websocket(fields, yes):
    assert request(**fields).for_websocket is yes


def test_the_protocol_stands_in_for_the_header():
    assert request(protocol="v1").subprotocols() == b"v1"
    assert request(protocol="v1", headers={"sec-websocket-protocol": ["v2"]}).subprotocols() == b"v2"


ROUTE = {"service_name": "web", "namespace": "apps", "service_port": 80}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"service_name": ""}, "invalid service name: service_name is missing"),
        ({"namespace": ""}, "invalid namespace: namespace is missing"),
        ({"service_port": 0}, "invalid service port: service_port is missing"),
        ({"service_port": 65_536}, "invalid service port"),
    ],
)
def test_an_incomplete_route_is_refused_by_field(fields, said):
    assert str(request(**ROUTE).route()) == "apps/web:80"
    with pytest.raises(RequestError, match=said):
        request(**{**ROUTE, **fields}).route()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"path": "a"}, "invalid path: it does not begin"),
        ({"path": "*"}, "invalid path"),
        ({"path": "/a/../b"}, "invalid path: it leads upwards"),
        ({"path": "/.."}, "invalid path"),
        ({"query": "a b"}, "invalid query string"),
        ({"query": "a\r\nX: y"}, "invalid query string"),
        ({"method": "CONNECT"}, "service request failed: the method"),
        ({"method": "G T"}, "service request failed: the method"),
        ({"headers": {"X": ["a\r\nb"]}}, "service request failed: a field value"),
        ({"headers": {"X y": ["a"]}}, "service request failed: a field name"),
        ({"headers": {"Host": ["a\nb"]}}, "service request failed: a field value"),
    ],
)
def test_what_cannot_be_said_is_refused(fields, said):
    with pytest.raises(RequestError, match=said):
        request(**fields).head("h:1", 0)


@pytest.mark.parametrize("fields", [{"body": "x", "body_encoding": "base64"}, {"body": "AA==", "body_binary": True}])
def test_bodies_that_are_none(fields):
    with pytest.raises(RequestError, match="invalid body: "):
        request(**fields).whole_body()
