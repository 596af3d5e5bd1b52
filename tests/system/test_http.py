"""HTTP/1.1 through the tunnel, byte for byte where bytes matter."""

import asyncio
import hashlib
import json

import aiohttp
import pytest

from tests.system.clients import Answer, RawClient
from tests.system.conftest import app_only, not_over, tunnel_only
from tests.system.harness import Stack

pytestmark = pytest.mark.anyio

DECODED = not_over("json", "chunk", because="paths travel decoded; the gateway refuses what that would change")
NO_EMPTY_QUERY = not_over("json", "chunk", because="path and query travel apart, so an empty query is none")
WHOLE_BODIES = not_over("json", "chunk", because="a body up to 4 MiB leaves once it is whole")
NO_POOL = not_over("json", "chunk", because="the agent has the connections to services, and keeps none")


def ask(stack: Stack, line: str, *fields: str, body: bytes = b"", name: str = "plain") -> Answer:
    """One request on a connection of its own, and its answer."""
    with RawClient(stack.address(name)) as client:
        client.request(line, name, *fields, body=body)
        return client.answer(head_only=line.startswith("HEAD"))


@pytest.mark.parametrize(
    "target",
    [
        pytest.param("/echo/a%2Fb", marks=DECODED),
        pytest.param("/echo/a%2fb%20c", marks=DECODED),
        "/echo//double//slashes",
        pytest.param("/echo/matrix;v=1;w=2/x", marks=DECODED),
        pytest.param("/echo/q?a=1&a=2;b=%2F?&c=/../", marks=DECODED),
        "/echo/q?b=%2F&a=1&a=2",
        "/echo/caf%C3%A9",
        "/echo/~!$&'()*+,=:@",
        pytest.param("/echo/empty?", marks=[NO_EMPTY_QUERY, app_only("it does not tell an empty query from none")]),
        pytest.param("/echo/a..b/...", marks=DECODED),
    ],
)
def test_the_path_and_query_arrive_as_the_bytes_that_were_sent(stack: Stack, target: str) -> None:
    answer = ask(stack, f"GET {target} HTTP/1.1")
    assert answer.status == 200
    assert json.loads(answer.body)["line"] == f"GET {target} HTTP/1.1"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
def test_methods_arrive_as_sent(stack: Stack, method: str) -> None:
    answer = ask(stack, f"{method} /echo HTTP/1.1", "Content-Length: 0")
    assert json.loads(answer.body)["line"] == f"{method} /echo HTTP/1.1"


def test_three_cookies_stay_three_headers_in_order(stack: Stack) -> None:
    answer = ask(stack, "GET /cookies HTTP/1.1")
    assert answer.all("set-cookie") == ["a=1; Path=/", "b=2; HttpOnly", "c=3; Secure; SameSite=None"]


@NO_POOL
def test_a_connection_whose_head_answer_announced_a_body_is_not_used_again(stack: Stack) -> None:
    with RawClient(stack.address("plain")) as client:
        client.request("GET /small?n=0 HTTP/1.1", "plain")
        first = client.answer()
        client.request("HEAD /small?n=123 HTTP/1.1", "plain")
        head = client.answer(head_only=True)
        client.request("GET /small?n=123 HTTP/1.1", "plain")
        get = client.answer()
    assert head.status == 200
    assert head.one("content-length") == str(len("small 123"))
    assert get.body == b"small 123"
    assert first.one("x-connection") == head.one("x-connection")
    assert get.one("x-connection") != head.one("x-connection")  # a late body would be taken for its answer


@tunnel_only
@NO_POOL
def test_requests_of_many_clients_share_the_services_connections(stack: Stack) -> None:
    numbers = {ask(stack, "GET /small HTTP/1.1").one("x-connection") for _ in range(20)}
    assert len(numbers) <= 2, numbers


@pytest.mark.parametrize("code", [204, 304])
def test_answers_without_body_leave_the_connection_usable(stack: Stack, code: int) -> None:
    with RawClient(stack.address("plain")) as client:
        client.request(f"GET /status?code={code} HTTP/1.1", "plain")
        bare = client.answer()
        client.request("GET /small?n=1 HTTP/1.1", "plain")
        assert (bare.status, bare.body, bare.one("etag")) == (code, b"", '"x"')
        assert client.answer().body == b"small 1"


@pytest.mark.parametrize("code", [301, 404, 418, 500, 503])
def test_the_services_own_errors_pass_unchanged(stack: Stack, code: int) -> None:
    answer = ask(stack, f"GET /status?code={code} HTTP/1.1", "Accept: text/html")
    assert (answer.status, answer.body) == (code, f"status {code}".encode())


def test_a_chunked_upload_arrives_whole(stack: Stack) -> None:
    body = b"5\r\nhello\r\n1;ext=1\r\n \r\n5\r\nworld\r\n0\r\n\r\n"
    answer = ask(stack, "POST /echo HTTP/1.1", "Transfer-Encoding: chunked", body=body)
    assert json.loads(answer.body)["sha256"] == hashlib.sha256(b"hello world").hexdigest()


@WHOLE_BODIES
def test_a_chunked_upload_is_passed_on_while_it_runs(stack: Stack) -> None:
    """An early answer shows it: the service answers from the head, long before the body is complete."""
    with RawClient(stack.address("plain")) as client:
        client.request("POST /early-413?then=drain HTTP/1.1", "plain", "Transfer-Encoding: chunked", body=b"1\r\nx\r\n")
        answer = client.answer()
    assert (answer.status, answer.body, answer.one("x-why")) == (413, b"too large", "size")


@pytest.mark.parametrize("then", ["drain", "close"])
def test_an_early_answer_reaches_a_client_that_is_still_uploading(stack: Stack, then: str) -> None:
    with RawClient(stack.address("plain")) as client:
        client.request(f"POST /early-413?then={then} HTTP/1.1", "plain", "Content-Length: 50000000", body=b"x" * 65_536)
        answer = client.answer()
    assert (answer.status, answer.body) == (413, b"too large")


def test_continue_is_told_before_the_body_is_sent(stack: Stack) -> None:
    with RawClient(stack.address("plain")) as client:
        client.request("POST /upload HTTP/1.1", "plain", "Content-Length: 5", "Expect: 100-continue")
        assert client.answer_head().status == 100
        client.send(b"hello")
        answer = client.answer()
    assert json.loads(answer.body)["sha256"] == hashlib.sha256(b"hello").hexdigest()


def test_trailers_of_the_answer_reach_a_client_that_takes_them(stack: Stack) -> None:
    answer = ask(stack, "GET /trailers HTTP/1.1", "TE: trailers")
    assert (answer.status, answer.body) == (200, b"body")


def test_an_early_hint_does_not_hide_the_answer(stack: Stack) -> None:
    answer = ask(stack, "GET /early-hints HTTP/1.1")
    assert (answer.status, answer.body) == (200, b"hinted")


def test_an_answer_that_the_close_ends_arrives_whole(stack: Stack) -> None:
    answer = ask(stack, "GET /download?size=1000000&how=close HTTP/1.1")
    assert (answer.status, len(answer.body)) == (200, 1_000_000)


def test_a_chunked_answer_arrives_whole(stack: Stack) -> None:
    whole = ask(stack, "GET /download?size=1000000 HTTP/1.1")
    chunked = ask(stack, "GET /download?size=1000000&how=chunked HTTP/1.1")
    assert len(whole.body) == 1_000_000
    assert hashlib.sha256(whole.body).digest() == hashlib.sha256(chunked.body).digest()


@pytest.mark.parametrize("how", ["length", "chunked"])
async def test_an_answer_that_breaks_off_is_broken_off_for_the_client_too(
    stack: Stack, http: aiohttp.ClientSession, how: str
) -> None:
    async with http.get(stack.url("plain", f"/break-off?how={how}&id=begun-{how}")) as answer:
        assert answer.status == 200
        assert await answer.content.readexactly(100) == b"x" * 100
        async with http.post(stack.control("plain", f"/release?id=begun-{how}")) as released:
            assert released.status == 202
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.content.read()


@pytest.mark.parametrize("how", ["length", "chunked"])
def test_an_answer_that_breaks_off_at_once_is_never_a_complete_one(stack: Stack, how: str) -> None:
    """All of it may be there before the head went to the client: then a 502 says it better."""
    for _ in range(50):
        with RawClient(stack.address("plain")) as client:
            client.request(f"GET /break-off?how={how} HTTP/1.1", "plain")
            try:
                answer = client.answer()
            except (EOFError, ConnectionResetError):
                continue
            assert answer.status == 502


@tunnel_only
def test_a_client_of_http_1_0_gets_an_answer_that_the_close_ends(stack: Stack) -> None:
    with RawClient(stack.address("plain")) as client:
        client.request("GET /small?n=10 HTTP/1.0", "plain")
        answer = client.answer()
        assert (answer.status, answer.body) == (200, b"small 10")
        assert client.read_end() == b""


def test_pipelined_requests_are_answered_in_order(stack: Stack) -> None:
    with RawClient(stack.address("plain")) as client:
        for number in range(5):
            client.request(f"GET /small?n={number} HTTP/1.1", "plain")
        assert [client.answer().body for _ in range(5)] == [f"small {number}".encode() for number in range(5)]


async def test_the_service_sees_its_client_leave_while_it_thinks(stack: Stack, http: aiohttp.ClientSession) -> None:
    with RawClient(stack.address("plain")) as client:
        client.request("GET /never?id=thinking HTTP/1.1", "plain")
        async with http.get(stack.control("plain", "/arrived?id=thinking")) as arrived:
            assert arrived.status == 200
    async with http.get(stack.control("plain", "/left?id=thinking")) as left:
        assert await left.read() == b"left"


async def test_the_service_sees_its_client_leave_during_an_answer(stack: Stack, http: aiohttp.ClientSession) -> None:
    with RawClient(stack.address("plain")) as client:
        client.request("GET /download?id=leaving&size=500000000 HTTP/1.1", "plain")
        assert client.answer_head().status == 200
    async with http.get(stack.control("plain", "/left?id=leaving")) as left:
        assert await left.read() == b"left"


@WHOLE_BODIES
async def test_the_service_sees_its_client_leave_during_an_upload(stack: Stack, http: aiohttp.ClientSession) -> None:
    with RawClient(stack.address("plain")) as client:
        client.request("POST /never?id=uploading HTTP/1.1", "plain", "Content-Length: 1000", body=b"x" * 10)
        async with http.get(stack.control("plain", "/arrived?id=uploading")) as arrived:
            assert arrived.status == 200
    async with http.get(stack.control("plain", "/left?id=uploading")) as left:
        assert await left.read() == b"left"


async def test_a_hundred_requests_at_once_are_all_answered(stack: Stack, http: aiohttp.ClientSession) -> None:
    async def one(number: int) -> bytes:
        async with http.get(stack.url("plain", f"/small?n={number}")) as answer:
            assert answer.status == 200
            return await answer.read()

    bodies = await asyncio.gather(*(one(number) for number in range(100)))
    assert bodies == [f"small {number}".encode() for number in range(100)]
