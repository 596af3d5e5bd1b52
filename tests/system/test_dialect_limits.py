"""What the wires of json and chunk cannot do, one test for each row of the table in tunnel/PROTOCOL.md; and that the
rest works, in short. `make test-all` runs the whole of this folder over each dialect.
"""

import hashlib
import io
import json
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from tests.services.pattern import blocks, digest
from tests.system.clients import Answer, RawClient, http_client, websocket
from tests.system.conftest import add_services, tunnel_only
from tests.system.harness import Stack
from tests.system.process import Processes

pytestmark = [pytest.mark.anyio, tunnel_only]

LARGE_BYTES = 20_000_000
DIALECTS = ["json", "chunk"]


@pytest.fixture(scope="module", params=DIALECTS)
def stack(
    request: pytest.FixtureRequest,
    module_processes: Processes,
    authority: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Stack:
    stack = Stack(tmp_path_factory.mktemp(request.param), module_processes)
    stack.dialect = request.param
    add_services(stack, authority)
    return stack.start()


def ask(stack: Stack, line: str, *fields: str, body: bytes = b"", name: str = "plain") -> Answer:
    with RawClient(stack.address(name)) as client:
        client.request(line, name, "Accept: application/json", *fields, body=body)
        return client.answer(head_only=line.startswith("HEAD"))


# --- what works


async def test_bodies_of_any_size_pass_both_ways(stack: Stack) -> None:
    async with http_client() as http:
        for size in (0, 10, 1_000_000, LARGE_BYTES):
            body = b"".join(blocks(size)) if size else b""
            async with http.post(stack.url("plain", "/upload"), data=io.BytesIO(body)) as answer:
                got = await answer.json()
            assert (got["length"], got["sha256"]) == (size, hashlib.sha256(body).hexdigest())
        sha256 = hashlib.sha256()
        async with http.get(stack.url("plain", f"/download?size={LARGE_BYTES}")) as answer:
            async for piece in answer.content.iter_any():
                sha256.update(piece)
        assert sha256.hexdigest() == digest(LARGE_BYTES)


async def test_messages_and_closes_pass_both_ways_in_order(stack: Stack) -> None:
    async with websocket(stack.url("ws", "/echo", "ws"), subprotocols=["second"]) as client:
        assert client.subprotocol == "second"
        sent: list[str | bytes] = [f"message {number}" if number % 2 else b"%d" % number for number in range(500)]
        for message in sent:
            await client.send(message)
        assert [await client.recv() for _ in sent] == sent
    async with websocket(stack.url("ws", "/command", "ws")) as client:
        await client.send(json.dumps({"do": "close", "code": 4001, "reason": "service bye"}))
        await client.wait_closed()
        assert (client.close_code, client.close_reason) == (4001, "service bye")


async def test_the_dialect_stands_in_the_access_log(stack: Stack) -> None:
    assert ask(stack, "GET /small?n=1 HTTP/1.1").status == 200
    stack.gateway.wait_line("GET plain.example.test/small 200")
    assert stack.agent.popen.poll() is None


# --- what does not: refused with a named 400


@pytest.mark.parametrize(
    ("target", "rule"),
    [
        ("/echo/a%2Fb", "an encoded slash in a path"),
        ("/echo/matrix;v=1", "a path with a semicolon"),
        ("/echo/a%3Bb", "a path with a semicolon"),
        ("/echo/a..b", "a path with two dots in a row"),
        ("/echo/http://x", "a path with '://'"),
        ("/echo/%2E/b", "an encoded dot segment in a path"),
        ("/echo/%FF", "a path that is not UTF-8"),
        ("/echo/%zz", "a path with a bad percent escape"),
        ("/echo?a;b", "a query with a semicolon"),
        ("/echo?a=%2", "a query with a bad percent escape"),
    ],
)
def test_what_the_agent_cannot_be_told_is_refused_by_name(stack: Stack, target: str, rule: str) -> None:
    answer = ask(stack, f"GET {target} HTTP/1.1")
    assert answer.status == 400
    assert f"the {stack.dialect} dialect cannot carry {rule}" in answer.body.decode()


async def test_the_same_for_a_websocket(stack: Stack) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with websocket(stack.url("ws", "/echo;v=1", "ws")):
            pass
    assert refused.value.response.status_code == 400


@pytest.mark.parametrize(
    "target", ["/echo/caf%C3%A9%20x", "/echo//double/", "/echo?b=2&a=1&a=%2F&flag", "/echo/~!$&'()*+,=:@"]
)
def test_our_agent_sends_the_rest_as_it_came(stack: Stack, target: str) -> None:
    """The existing agent sorts the query and writes it anew (tests/existing)."""
    answer = ask(stack, f"GET {target} HTTP/1.1")
    assert json.loads(answer.body)["line"] == f"GET {target} HTTP/1.1"


def test_a_service_whose_certificate_shall_be_checked_is_refused(stack: Stack) -> None:
    assert ask(stack, "GET /echo HTTP/1.1", name="secure").status == 502
    assert ask(stack, "GET /echo HTTP/1.1", name="unverified").status == 200
    stack.gateway.wait_line("do not verify certificates")


# --- what does not: lost


def test_the_mark_of_an_empty_query_is_lost(stack: Stack) -> None:
    answer = ask(stack, "GET /echo? HTTP/1.1")
    assert json.loads(answer.body)["line"] == "GET /echo HTTP/1.1"


def test_trailers_and_early_hints_are_lost(stack: Stack) -> None:
    trailers = ask(stack, "GET /trailers HTTP/1.1", "TE: trailers")
    assert (trailers.status, trailers.body) == (200, b"body")
    with RawClient(stack.address("plain")) as client:
        client.request("GET /early-hints HTTP/1.1", "plain")
        assert client.answer_head().status == 200


def test_a_body_up_to_4_mib_leaves_once_it_is_whole(stack: Stack) -> None:
    """A service that would answer from the head alone does not see it before."""
    body = b"x" * 100_000
    with RawClient(stack.address("plain")) as client:
        client.request("POST /early-413?then=drain HTTP/1.1", "plain", f"Content-Length: {len(body)}", body=body[:-1])
        client.socket.settimeout(0.5)
        with pytest.raises(TimeoutError):
            client.answer()
        client.socket.settimeout(30)
        client.send(body[-1:])
        assert client.answer().status == 413


def test_a_longer_body_is_passed_on_while_it_runs(stack: Stack) -> None:
    with RawClient(stack.address("plain")) as client:
        client.request("POST /early-413?then=drain HTTP/1.1", "plain", "Content-Length: 50000000", body=b"x" * 65_536)
        assert client.answer().status == 413


def test_each_request_has_a_connection_of_its_own_to_the_service(stack: Stack) -> None:
    numbers = {ask(stack, "GET /small HTTP/1.1").one("x-connection") for _ in range(5)}
    assert len(numbers) == 5
