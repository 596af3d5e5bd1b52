"""Routes that rewrite, through both doors: what the service sees, and what comes back."""

import json

import pytest
from websockets.exceptions import InvalidStatus

from tests.system.clients import Answer, RawClient, websocket
from tests.system.conftest import app_only, not_over, tunnel_only
from tests.system.harness import Service, Stack
from tests.system.process import Processes
from tests.system.servers import APP, SERVERS, UVICORN

pytestmark = [pytest.mark.anyio, tunnel_only, app_only("this file serves the gateway in each way itself")]


@pytest.fixture(scope="module", params=[APP, pytest.param(UVICORN, marks=pytest.mark.slow)])
def stack(
    request: pytest.FixtureRequest, module_processes: Processes, tmp_path_factory: pytest.TempPathFactory
) -> Stack:
    settings: dict[str, str | bool | float] = {"public_url": "https://tunnel.test:8443"}
    stack = Stack(tmp_path_factory.mktemp("rewrites"), module_processes, settings)
    plain = stack.add_program("plain", "tests.services.plain", host_header="localhost:5173")
    below = {"path": "/app", "strip_prefix": True, "host_header": "localhost:5173"}
    stack.add(Service("below", plain.port, route=below))
    stack.add(Service("secure", plain.port, route={"https_redirect": True}))
    ws = stack.add_program("ws", "tests.services.websocket", host_header="localhost:5173")
    stack.add(Service("ws-below", ws.port, route=below))
    SERVERS[request.param](stack)
    stack.start_agent()
    return stack


def origin(stack: Stack, name: str) -> str:
    return f"http://{name}.example.test:{stack.port}"


def asked(stack: Stack, name: str, line: str, *fields: str, body: bytes = b"") -> Answer:
    host = f"Host: {name}.example.test:{stack.port}"
    with RawClient(stack.address(name)) as client:
        lines = [f"{line} HTTP/1.1", host, *fields, f"Content-Length: {len(body)}"]
        client.send("\r\n".join([*lines, "", ""]).encode() + body)
        return client.answer()


def seen(stack: Stack, name: str, target: str, *fields: str) -> tuple[str, dict[str, str]]:
    answer = json.loads(asked(stack, name, f"GET {target}", *fields).body)
    return answer["line"], {key.lower(): value for key, value in answer["headers"]}


def test_the_service_sees_its_own_address(stack: Stack) -> None:
    page = f"{origin(stack, 'below')}/app/page"
    line, fields = seen(stack, "below", "/app/echo?a=%2F", f"Origin: {origin(stack, 'below')}", f"Referer: {page}")
    assert line == "GET /echo?a=%2F HTTP/1.1"
    assert (fields["host"], fields["origin"]) == ("localhost:5173", "http://localhost:5173")
    assert fields["referer"] == "http://localhost:5173/page"
    assert fields["x-forwarded-host"] == "localhost:5173"
    assert fields["x-forwarded-for"] == "127.0.0.1"


def test_the_client_sees_the_public_one(stack: Stack) -> None:
    fields = [
        ("Location", "http://localhost:5173/x"), ("Access-Control-Allow-Origin", "http://localhost:5173"),
        ("Set-Cookie", "a=1; Path=/; Domain=localhost"), ("Set-Cookie", "b=2; Path=/y"),
    ]  # fmt: skip
    answer = asked(stack, "below", "POST /app/answer", body=json.dumps([302, fields]).encode())
    assert (answer.status, answer.one("location")) == (302, f"{origin(stack, 'below')}/app/x")
    assert answer.all("set-cookie") == ["a=1; Path=/app", "b=2; Path=/app/y"]
    assert answer.one("access-control-allow-origin") == origin(stack, "below")


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_a_head_and_a_304(stack: Stack, method: str) -> None:
    code = 200 if method == "HEAD" else 304
    body = json.dumps([code, [["Content-Location", "http://localhost:5173/x"]]]).encode()
    with RawClient(stack.address("plain")) as client:
        client.request(f"{method} /answer HTTP/1.1", "plain", f"Content-Length: {len(body)}", body=body)
        answer = client.answer(head_only=True)
    assert (answer.status, answer.one("content-location")) == (code, "http://plain.example.test/x")


@not_over("json", "chunk", because="they do not carry interim answers")
def test_early_hints_pass_as_they_are(stack: Stack) -> None:
    with RawClient(stack.address("plain")) as client:
        client.request("GET /early-hints HTTP/1.1", "plain")
        first = client.answer_head()
        if first.status == 103:  # uvicorn's door sends none
            assert first.one("link") == "</style.css>; rel=preload"
            first = client.answer_head()
        assert first.status == 200


def test_a_path_that_leads_out_is_refused(stack: Stack) -> None:
    answer = asked(stack, "below", "GET /app/a/%2e%2e/b")
    assert (answer.status, json.loads(answer.body)["code"]) == (400, "unsafe_path")


@not_over("json", "chunk", because="they carry paths only")
def test_options_for_the_host_as_a_whole(stack: Stack) -> None:
    assert asked(stack, "plain", "OPTIONS *").status == 404  # the service's


def test_http_is_sent_to_https(stack: Stack) -> None:
    answer = asked(stack, "secure", "POST /a%2Fb?c=d", body=b"x" * 1000)
    assert (answer.status, answer.one("location")) == (308, "https://secure.example.test:8443/a%2Fb?c=d")


async def test_a_websocket(stack: Stack) -> None:
    url = stack.url("ws-below", "/app/echo", "ws")
    async with websocket(url, origin=origin(stack, "ws-below")) as socket:
        await socket.send("x")
        assert await socket.recv() == "x"
    with pytest.raises(InvalidStatus) as refused:
        async with websocket(url, origin="http://localhost:5173"):
            pass
    assert refused.value.response.status_code == 403
