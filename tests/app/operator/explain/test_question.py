"""What may be asked, and what is refused: with the parameter's name, and what to write."""

import pytest

from app.operator.explain.question import METHODS, Question, WrongParameterError, question_of


def parts(question: Question) -> tuple[str, str, bytes, bytes, bytes]:
    return question.method, question.scheme, question.authority, question.path, question.query


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://a.test", ("GET", "http", b"a.test", b"/", b"")),
        ("https://a.test/", ("GET", "https", b"a.test", b"/", b"")),
        ("HTTPS://A.Test:8443/x?y=1&z", ("GET", "https", b"A.Test:8443", b"/x", b"y=1&z")),
        ("http://a.test?x", ("GET", "http", b"a.test", b"/", b"x")),
        ("http://a.test/x#part?y", ("GET", "http", b"a.test", b"/x", b"")),
        ("http://a.test#part", ("GET", "http", b"a.test", b"/", b"")),
        ("http://a.test:/x", ("GET", "http", b"a.test", b"/x", b"")),
        ("http://a.test./x", ("GET", "http", b"a.test.", b"/x", b"")),
        ("http://127.0.0.1:8080/x", ("GET", "http", b"127.0.0.1:8080", b"/x", b"")),
        ("http://[::1]:8080/x", ("GET", "http", b"[::1]:8080", b"/x", b"")),
        ("http://a.test:1/", ("GET", "http", b"a.test:1", b"/", b"")),
        ("http://a.test:65535/", ("GET", "http", b"a.test:65535", b"/", b"")),
        ("http://a.test/%2f/../x;y//@z:1?q=%0d", ("GET", "http", b"a.test", b"/%2f/../x;y//@z:1", b"q=%0d")),
        ("ws://a.test/x", ("WEBSOCKET", "http", b"a.test", b"/x", b"")),
        ("wss://a.test/x", ("WEBSOCKET", "https", b"a.test", b"/x", b"")),
        ("http://a.test/" + "x" * 8_000, ("GET", "http", b"a.test", b"/" + b"x" * 8_000, b"")),
    ],
)
def test_urls(url: str, expected: tuple[str, str, bytes, bytes, bytes]):
    assert parts(question_of(url)) == expected


def test_the_query_is_not_shown():
    assert question_of("https://a.test:8443/x?token=secret#more").url == "https://a.test:8443/x"


@pytest.mark.parametrize("method", METHODS)
def test_methods(method: str):
    question = question_of("http://a.test/", method)
    assert question.method == method
    assert question.is_websocket is (method == "WEBSOCKET")
    request = question.request("10.0.0.1")
    assert request.method == ("GET" if question.is_websocket else method)
    assert request.is_websocket is question.is_websocket


def test_only_what_changes_nothing_is_sent_unless_a_method_is_asked_for():
    assert question_of("http://a.test/").method == "GET"
    assert question_of("ws://a.test/").method == "WEBSOCKET"


@pytest.mark.parametrize("method", [None, "GET", "WEBSOCKET"])
def test_a_ws_url_opens_a_websocket(method: str | None):
    assert question_of("wss://a.test/", method).is_websocket


def test_the_request_says_who_asks_and_where_from():
    request = question_of("wss://a.test:8443/x?y", origin="https://b.test").request("10.0.0.1")
    assert (request.client, request.peer, request.scheme, request.target) == ("10.0.0.1", "10.0.0.1", "https", b"/x?y")
    assert request.fields == [
        (b"host", b"a.test:8443"),
        (b"user-agent", b"tunnel-gateway-explain"),
        (b"accept", b"*/*"),
        (b"origin", b"https://b.test"),
    ]
    assert len(request.request_id) == 32


@pytest.mark.parametrize("origin", ["https://b.test", "http://b.test:8080", "null", "nonsense", "https://b.test/path"])
def test_origins_are_what_browsers_and_others_send(origin: str):
    assert question_of("ws://a.test/", origin=origin).origin == origin.encode()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "url has no scheme; write url=https://host/path"),
        ("a.test", "url has no scheme; write url=https://host/path"),
        ("a.test:8080/x", "url has no scheme; write url=https://host/path"),
        ("/x", "url has no scheme; write url=https://host/path"),
        ("//a.test/x", "url has no scheme; write url=https://host/path"),
        ("http:/a.test", "url has no scheme; write url=https://host/path"),
        ("mailto:a@a.test", "url has no scheme; write url=https://host/path"),
        ("ftp://a.test/", "url has a scheme that is not ours; write http, https, ws or wss"),
        ("file:///etc/passwd", "url has a scheme that is not ours; write http, https, ws or wss"),
        ("://a.test/", "url has a scheme that is not ours; write http, https, ws or wss"),
        (" http://a.test/", "url has a scheme that is not ours; write http, https, ws or wss"),
        ("http://a:b@a.test/", "url has a user name or a password; leave them out"),
        ("http://a@a.test/", "url has a user name or a password; leave them out"),
        ("http:///x", "url has no valid host; write url=https://host/path"),
        ("http://", "url has no valid host; write url=https://host/path"),
        ("http://:80/", "url has no valid host; write url=https://host/path"),
        ("http://a b.test/", "url has no valid host; write url=https://host/path"),
        ("http://a\\b.test/", "url has no valid host; write url=https://host/path"),
        ("http://a.test:80:90/", "url has no valid host; write url=https://host/path"),
        ("http://a.test:http/", "url has no valid host; write url=https://host/path"),
        ("http://::1/", "url has no valid host; write url=https://host/path"),
        ("http://*.a.test/", "url has no valid host; write url=https://host/path"),
        ("http://a\r\nb.test/", "url has no valid host; write url=https://host/path"),
        (f"http://{'a.' * 127}test/", "url has no valid host; write url=https://host/path"),
        ("http://a.test:0/", "url has port 0; write 1 to 65535"),
        ("http://a.test:65536/", "url has a port that does not exist; write 1 to 65535"),
        ("http://a.test:99999999999/", "url has a port that does not exist; write 1 to 65535"),
        ("http://m\u00fcller.test/", "url has a host that is not ASCII; write xn--mller-kva.test"),
        ("http://\u2603/", "url has a host that is not ASCII; write its xn-- form"),
        ("http://a.test/x y", "url has a character that no client sends; percent-encode it"),
        ("http://a.test/\u00fc", "url has a character that no client sends; percent-encode it"),
        ("http://a.test/?\u00fc", "url has a character that no client sends; percent-encode it"),
        ("http://a.test/\r\nHost: b.test", "url has a character that no client sends; percent-encode it"),
        ("http://a.test/\0", "url has a character that no client sends; percent-encode it"),
        ("http://a.test/\x7f", "url has a character that no client sends; percent-encode it"),
        ("http://a.test/?x\n", "url has a character that no client sends; percent-encode it"),
        ("http://a.test/" + "x" * 10_240, "url has 10254 characters; write at most 8192"),
        ("x" * 10_240, "url has 10240 characters; write at most 8192"),
    ],
)
def test_urls_that_nobody_can_ask_for(url: str, message: str):
    with pytest.raises(WrongParameterError) as error:
        question_of(url)
    assert (error.value.parameter, str(error.value)) == ("url", message)


_ALL = "GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE, TRACE, WEBSOCKET"


@pytest.mark.parametrize(
    ("url", "method", "message"),
    [
        ("http://a.test/", "", f"method is not known; write one of {_ALL}"),
        ("http://a.test/", "get", f"method is not known; write one of {_ALL}"),
        ("http://a.test/", "BREW", f"method is not known; write one of {_ALL}"),
        ("http://a.test/", "CONNECT", f"method is not known; write one of {_ALL}"),
        ("http://a.test/", "GET\r\n", f"method is not known; write one of {_ALL}"),
        ("ws://a.test/", "POST", "method is POST, and a ws URL opens a WebSocket; leave it out"),
    ],
)
def test_methods_that_nobody_can_ask_for(url: str, method: str, message: str):
    with pytest.raises(WrongParameterError) as error:
        question_of(url, method)
    assert (error.value.parameter, str(error.value)) == ("method", message)


@pytest.mark.parametrize(
    ("url", "origin", "message"),
    [
        ("http://a.test/", "https://b.test", "origin is for WebSockets; write a ws or wss URL, or method=WEBSOCKET"),
        ("ws://a.test/", "", "origin is not valid; write what a browser sends, like https://host"),
        ("ws://a.test/", "https://b\r\nX: y", "origin is not valid; write what a browser sends, like https://host"),
        ("ws://a.test/", "https://\u00fc", "origin is not valid; write what a browser sends, like https://host"),
    ],
)  # fmt: skip
def test_origins_that_nobody_sends(url: str, origin: str, message: str):
    with pytest.raises(WrongParameterError) as error:
        question_of(url, origin=origin)
    assert (error.value.parameter, str(error.value)) == ("origin", message)


def test_a_long_origin():
    with pytest.raises(WrongParameterError) as error:
        question_of("ws://a.test/", origin="https://" + "b" * 10_000)
    assert str(error.value) == "origin is not valid; write what a browser sends, like https://host"
