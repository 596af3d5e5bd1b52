"""HTTP requests as messages, without a socket."""

import asyncio
from base64 import b64decode

import pytest

from tests.tunnel.agent.proxied.conversation import b64
from tunnel.agent.proxied import backlog, service_request
from tunnel.agent.service import stream
from tunnel.agent.service.dial import DialError

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


async def test_a_request_and_its_answer(conversation):
    conversation.request(path="/a b", query="x=1", headers={"Host": ["app"], "Accept": ["*/*"]})
    service = await conversation.service()
    assert service.head == ([b"GET /a%20b?x=1 HTTP/1.1", b"Host: app", b"Accept: */*"], b"")
    service.say(OK)
    assert conversation.types() == ["proxy_response_header", "proxy_response_chunk", "proxy_response_end"]
    assert conversation.payload("proxy_response_header") == {"status": 200, "headers": {"Content-Length": ["5"]}}
    assert conversation.payload("proxy_response_chunk") == {"data": b64(b"hello"), "encoding": "base64", "size": 5}
    assert conversation.payload("proxy_response_end") == {}
    await conversation.over()
    assert service.closed
    assert not service.aborted


async def test_a_whole_answer(whole):
    whole.request()
    (await whole.service()).say(OK)
    assert whole.types() == ["proxy_response"]
    answer = whole.payload("proxy_response")
    assert (answer["status"], b64decode(answer["body"]), answer["encoding"]) == (200, b"hello", "base64")
    await whole.over()


async def test_a_whole_answer_without_a_body(whole):
    whole.request()
    (await whole.service()).say(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert whole.payload("proxy_response") == {"status": 204, "headers": {}}
    await whole.over()


async def test_a_whole_answer_that_is_too_long(whole, monkeypatch):
    monkeypatch.setattr(service_request, "WHOLE_BYTES", 4)
    whole.request()
    service = await whole.service()
    service.say(OK)
    assert "longer than 4 bytes" in whole.payload("proxy_error")["error"]
    await whole.over()


async def test_whole_answers_stop_where_the_process_holds_too_much(whole):
    whole.request()
    service = await whole.service()
    whole.account.hard_mark_bytes = 3
    service.say(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello")
    assert "holds too much" in whole.payload("proxy_error")["error"]
    await whole.over()
    assert service.aborted


async def test_fields_of_the_answer(conversation):
    conversation.request()
    (await conversation.service()).say(
        b"HTTP/1.1 302 Found\r\nset-cookie: a\r\nSet-Cookie: b\r\nx-coffee: no\r\nLocation: /there\r\n"
        b"Connection: close, x-mine\r\nX-Mine: 1\r\nKeep-Alive: 5\r\nETag: \xe9\r\nX-Name: \xc3\xa9\r\n"
        b"Content-Length: 0\r\n\r\n"
    )
    assert conversation.payload("proxy_response_header") == {
        "status": 302,
        "headers": {
            "Set-Cookie": ["a", "b"], "X-Coffee": ["no"], "Location": ["/there"], "Etag": ["\xe9"], "X-Name": ["\xe9"],
            "Content-Length": ["0"],
        },
    }  # fmt: skip
    assert conversation.types() == ["proxy_response_header", "proxy_response_end"]
    await conversation.over()


async def test_head_and_interim_answers_and_trailers(conversation):
    conversation.request(method="HEAD")
    (await conversation.service()).say(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK[:-5])
    assert conversation.types() == ["proxy_response_header", "proxy_response_end"]
    conversation.request("r-2")
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"
    (await conversation.service(2)).say(chunked)
    assert conversation.types("r-2") == ["proxy_response_header", "proxy_response_chunk", "proxy_response_end"]
    assert conversation.payload("proxy_response_header", "r-2") == {"status": 200, "headers": {}}
    await conversation.over()


async def test_an_answer_that_ends_with_its_connection(conversation):
    conversation.request()
    service = await conversation.service()
    service.say(b"HTTP/1.1 200 OK\r\n\r\nab")
    service.say(b"cd")
    assert conversation.types()[-1] == "proxy_response_chunk"
    service.end()
    assert conversation.types()[-1] == "proxy_response_end"
    assert conversation.body() == b"abcd"
    await conversation.over()
    assert not service.aborted


async def test_pieces_are_at_most_32_kib(conversation):
    body = bytes(range(256)) * 300
    conversation.request()
    (await conversation.service()).say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    sizes = [said["payload"]["size"] for said in conversation.said if said["type"] == "proxy_response_chunk"]
    assert sizes == [32_768, 32_768, 11_264]
    assert conversation.body() == body
    await conversation.over()


async def test_a_body_that_comes_with_the_request(conversation):
    conversation.request(method="POST", body=b64(b"\x00\xff"), body_encoding="base64")
    service = await conversation.service()
    assert service.head == ([b"POST / HTTP/1.1", b"Host: 10.0.0.1:8080", b"Content-Length: 2"], b"\x00\xff")
    service.say(OK)
    await conversation.over()


async def test_a_body_that_comes_in_pieces(conversation):
    conversation.request(method="POST", streaming=True)
    conversation.tell("proxy_request_chunk", {"data": b64(b"early")})
    service = await conversation.service()
    conversation.tell("proxy_request_chunk", {"chunk": b64(b"second")})
    conversation.tell("proxy_request_chunk", {"data": ""})
    assert service.head[1] == b"5\r\nearly\r\n6\r\nsecond\r\n"
    conversation.tell("proxy_request_stream_end", {})
    assert service.head[1].endswith(b"\r\n0\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in service.head[0]
    conversation.tell("proxy_request_chunk", {"data": b64(b"after the end")})
    assert service.head[1].endswith(b"\r\n0\r\n\r\n")
    service.say(OK)
    assert conversation.types()[-1] == "proxy_response_end"
    await conversation.over()


@pytest.mark.parametrize(
    ("pieces", "said"),
    [([b"abc", b"de"], "more body"), ([b"abcd", b"e"], "body after the end"), ([b"ab"], "less body")],
)
async def test_a_body_of_another_length_than_announced(conversation, pieces, said):
    conversation.request(method="POST", streaming=True, headers={"Content-Length": ["4"]})
    service = await conversation.service()
    for piece in pieces:
        conversation.tell("proxy_request_chunk", {"data": b64(piece)})
    conversation.tell("proxy_request_stream_end")
    assert said in conversation.payload("proxy_response_abort")["error"]
    await conversation.over()
    assert service.aborted


async def test_an_answer_before_the_upload_is_complete(conversation):
    conversation.request(method="POST", streaming=True)
    service = await conversation.service()
    service.say(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
    assert conversation.types() == ["proxy_response_header", "proxy_response_end"]
    assert service.aborted
    conversation.tell("proxy_request_chunk", {"data": b64(b"late")})
    conversation.tell("proxy_request_stream_end")
    await conversation.over()
    assert conversation.types() == ["proxy_response_header", "proxy_response_end"]
    assert "proxy_request_chunk for none that is running" in conversation.notes


async def test_a_slow_service_delays_nobody_and_is_bounded(conversation, monkeypatch):
    monkeypatch.setattr(backlog, "WAITING_BYTES", 10)
    conversation.request(method="POST", streaming=True)
    service = await conversation.service()
    service.become_slow()
    for _ in range(3):
        conversation.tell("proxy_request_chunk", {"data": b64(b"12345678")})
    conversation.request("r-2")
    (await conversation.service(2)).say(OK)
    assert conversation.types("r-2")[-1] == "proxy_response_end"
    assert conversation.types() == []
    assert service.head[1] == b"8\r\n12345678\r\n"
    assert conversation.account.held_bytes == 16
    conversation.tell("proxy_request_chunk", {"data": b64(b"x")})
    assert "16 bytes wait for the service" in conversation.payload("proxy_response_abort")["error"]
    await conversation.over()
    assert service.aborted


async def test_a_slow_service_gets_it_all_in_the_end(conversation):
    conversation.request(method="POST", streaming=True)
    service = await conversation.service()
    service.become_slow()
    for number in range(100):
        conversation.tell("proxy_request_chunk", {"data": b64(b"%04d" % number)})
    conversation.tell("proxy_request_stream_end")
    service.catch_up()
    assert service.head[1] == b"".join(b"4\r\n%04d\r\n" % number for number in range(100)) + b"0\r\n\r\n"
    service.say(OK)
    await conversation.over()


async def test_a_full_link_stops_the_service_and_loses_nothing(conversation):
    conversation.request()
    service = await conversation.service()
    conversation.carrier.pause()
    size = stream.READ_AHEAD_BYTES
    service.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (2 * size))
    service.say(b"a" * size)
    assert not service.reading
    assert conversation.said == []
    assert conversation.account.held_bytes > size
    conversation.carrier.resume()
    assert service.reading
    assert conversation.body() == b"a" * size
    service.say(b"b" * size)
    assert conversation.body() == b"a" * size + b"b" * size
    assert conversation.types()[-1] == "proxy_response_end"
    await conversation.over()


async def test_a_full_link_is_shared_in_turns(conversation):
    for number, request_id in enumerate(("r-1", "r-2"), 1):
        conversation.request(request_id)
        (await conversation.service(number)).say(b"HTTP/1.1 200 OK\r\nContent-Length: 65536\r\n\r\n")
    conversation.said.clear()
    conversation.carrier.pause()
    for service in conversation.services:
        service.say(bytes(65_536))
    assert conversation.said == []
    assert len(conversation.carrier._exchanges) == 2
    conversation.carrier.resume()
    assert [(said["type"], said["request_id"]) for said in conversation.said] == [
        ("proxy_response_chunk", "r-1"),
        ("proxy_response_chunk", "r-2"),
        ("proxy_response_chunk", "r-1"),
        ("proxy_response_end", "r-1"),
        ("proxy_response_chunk", "r-2"),
        ("proxy_response_end", "r-2"),
    ]
    await conversation.over()


async def test_an_answer_that_came_before_its_connection_broke_is_whole(conversation):
    conversation.request()
    service = await conversation.service()
    conversation.carrier.pause()
    service.say(OK[:-5])
    service.say(b"hello")
    service.lose()
    conversation.carrier.resume()
    assert conversation.types() == ["proxy_response_header", "proxy_response_chunk", "proxy_response_end"]
    await conversation.over()


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_service_that_cannot_be_reached(conversation, streamed, caplog):
    conversation.refusing = DialError("Connection refused")
    conversation.request(supports_response_streaming=streamed)
    await conversation.over()
    said = conversation.payload("proxy_response_abort" if streamed else "proxy_error")
    assert said == {"error": "service request failed: 10.0.0.1:8080: Connection refused"}
    assert len(conversation.said) == 1


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"", "service request failed: the stream ended without a byte of an answer"),
        (b"SSH-2.0\r\n", "service request failed: the answer does not begin with HTTP/"),
        (b"HTTP/1.1 101 What\r\n\r\n", "service request failed: a 101 that was not asked for"),
    ],
)
async def test_services_that_do_not_answer(conversation, answer, said):
    conversation.request()
    service = await conversation.service()
    if answer:
        service.say(answer)
    else:
        service.end()
    assert conversation.payload("proxy_response_abort") == {"error": said}
    await conversation.over()


async def test_a_service_that_breaks_off(conversation):
    conversation.request()
    service = await conversation.service()
    service.say(OK[:-2])
    service.lose()
    assert conversation.types() == ["proxy_response_header", "proxy_response_chunk", "proxy_response_abort"]
    assert conversation.payload("proxy_response_abort")["error"].startswith("unexpected EOF: ")
    await conversation.over()


async def test_the_timeout_is_for_the_answers_head(conversation):
    conversation.request(timeout=100)
    service = await conversation.service()
    await conversation.until(lambda: conversation.said)
    assert conversation.payload("proxy_response_abort")["error"] == "service request failed: context deadline exceeded"
    await conversation.over()
    assert service.aborted


async def test_an_answer_that_began_has_all_the_time(conversation):
    conversation.request(timeout=100)
    service = await conversation.service()
    service.say(OK[:-5])
    conversation.request("r-2", timeout=150)
    await conversation.until(lambda: conversation.types("r-2"))
    assert conversation.types() == ["proxy_response_header"]
    service.say(b"hello")
    assert conversation.types()[-1] == "proxy_response_end"
    await conversation.over()


@pytest.mark.parametrize("began", [True, False])
async def test_cancelling(conversation, began):
    conversation.request(method="GET")
    service = await conversation.service()
    if began:
        service.say(OK[:-5])
    conversation.tell("proxy_cancel")
    assert conversation.payload("proxy_response_abort")["error"] == "service request failed: request cancelled"
    assert service.aborted
    conversation.tell("proxy_cancel")
    await conversation.over()
    assert conversation.types().count("proxy_response_abort") == 1


async def test_cancelling_a_dial(conversation, monkeypatch):
    waiting = asyncio.Event()
    ended = asyncio.Event()

    async def never(*arguments):
        waiting.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.set()

    monkeypatch.setattr("tunnel.agent.service.dial.connect", never)
    conversation.request()
    await waiting.wait()
    conversation.tell("proxy_cancel")
    assert conversation.types() == ["proxy_response_abort"]
    await ended.wait()
    await conversation.over()
