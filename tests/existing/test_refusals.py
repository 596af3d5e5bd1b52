"""What the stand-in drops in silence, and says so on standard error; and what it sends to the Kubernetes API."""

import base64
import json
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection

from tests.existing.replay import (
    ROUTE,
    UPGRADE,
    RecordedGateway,
    answer,
    answers,
    ask,
    begun,
    send,
    silent,
    started,
)
from tests.existing.services import Services

pytestmark = [pytest.mark.system, pytest.mark.anyio, pytest.mark.timeout(60)]

GOOD = {"type": "proxy_request", "request_id": "r-1", "payload": {**ROUTE, "path": "/hello"}}

REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("section 2: timestamp", {"timestamp": "2026-01-02T03:04:05"}),
    ("section 2: timestamp", {"timestamp": 1767323045}),
    ("section 2: timestamp", {"timestamp": ""}),
    ("section 2: timestamp", {"timestamp": "2026-01-02 03:04:05Z"}),
    ("section 2: timestamp", {"timestamp": "2026-13-02T03:04:05Z"}),
    ("section 2: request_id", {"request_id": 5}),
    ("section 2: payload", {"payload": [GOOD["payload"]]}),
    ("section 2: payload", {"payload": "text"}),
    ("section 5: proxy_request without", {"request_id": ""}),
    ("section 5: proxy_request without", {"request_id": None}),
    ("section 2: request body", {"payload": {**ROUTE, "path": "/echo", "body": "YQ", "body_encoding": "BASE64"}}),
    ("section 2: request body", {"payload": {**ROUTE, "path": "/echo", "body": "_-8=", "body_encoding": "base64"}}),
]


async def test_refused_messages_are_named_and_not_answered(gateway: RecordedGateway, services: Services):
    async with started(gateway, services) as standin:
        connection = await begun(gateway)
        for number, (line, changes) in enumerate(REFUSED):
            before = sum(text.startswith(line) for text in standin.lines)
            await connection.send(json.dumps({**GOOD, **changes}))
            await standin.line(line, before + 1)
            await silent(connection, f"after-{number}")
        assert services.notes == []


async def test_good_message_after_all(gateway: RecordedGateway, services: Services):
    async with started(gateway, services) as standin:
        connection = await begun(gateway)
        for stamp in (None, "2026-01-02T03:04:05Z", "2026-01-02T03:04:05.123456+00:00"):
            await connection.send(json.dumps({**GOOD, "timestamp": stamp, "More": 1}))
            assert (await answer(connection))["payload"]["status"] == 200
        await connection.send(json.dumps({key.upper(): value for key, value in GOOD.items()}))
        assert (await answer(connection))["payload"]["status"] == 200
        assert standin.lines == ["ready"]


@pytest.mark.parametrize(
    "route",
    [
        {**ROUTE, "service_port": "18090"},
        {"service_name": "web", "service_port": 18090},
        {"namespace": "default"},
        {},
    ],
)
async def test_incomplete_routes_go_to_the_kubernetes_api(
    route: dict[str, Any], gateway: RecordedGateway, services: Services
):
    async with started(gateway, services) as standin:
        connection = await begun(gateway)
        await send(connection, "proxy_request", "r-1", path="/hello", query="b&a", **route)
        assert (await answer(connection))["payload"]["status"] == 200
        await services.wait_note(lambda note: note == "Kubernetes API answers 200 to GET /hello?b&a", "the API")
        await standin.line("section 5.1: r-1 goes to the Kubernetes API")


async def test_without_a_cluster_there_are_only_errors(gateway: RecordedGateway, services: Services):
    async with started(gateway, services, cluster=False):
        connection = await begun(gateway)
        await ask(connection, "r-1", "/hello", service_port="18090")
        (abort,) = await answers(connection, "proxy_response_abort")
        assert abort == {"error": "kubernetes HTTP client not initialized"}
        await send(connection, "proxy_request", "r-2", path="/api/v1/pods")
        (error,) = await answers(connection, "proxy_error")
        assert error == {"error": "kubernetes HTTP client not initialized"}
        await send(connection, "ws_start", "top", stream_id="k-1", path="/api/v1/x/exec")
        (error,) = await answers(connection, "proxy_error")
        assert error == {"error": "kubernetes client not initialized", "request_id": "top"}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"path": "/a..b"}, "invalid path: path cannot contain '..'"),
        ({"path": "/http://x"}, "invalid path: path cannot contain '://'"),
        ({"path": "hello"}, "invalid path: path must start with '/'"),
        ({"query": "a;b"}, "invalid query string: invalid semicolon separator in query"),
        ({"query": "a=%zz"}, 'invalid query string: invalid URL escape "%zz"'),
        ({"service_name": "a.b"}, "invalid service name: 'a.b'"),
        ({"service_name": "other"}, None),
        ({"scheme": "https"}, None),
    ],
)
async def test_requests_that_fail(
    changes: dict[str, Any], text: str | None, gateway: RecordedGateway, services: Services
):
    async with started(gateway, services):
        connection = await begun(gateway)
        await ask(connection, "r-1", "/hello", **changes) if "path" not in changes else await send(
            connection, "proxy_request", "r-1", **{**ROUTE, **changes, "supports_response_streaming": True}
        )
        (abort,) = await answers(connection, "proxy_response_abort")
        assert abort["error"] == text if text else abort["error"].startswith("service request failed: Get ")


async def binary_body(connection: ServerConnection, name: bytes) -> None:
    await ask(connection, "r-1", "/echo", method="POST", body_binary=True, body_size=3)
    await connection.send(len(name).to_bytes(2) + name + b"abc")


async def test_binary_body(gateway: RecordedGateway, services: Services):
    async with started(gateway, services) as standin:
        connection = await begun(gateway)
        await binary_body(connection, b"r-1")
        _, chunk, _ = await answers(connection, "proxy_response_header", "proxy_response_chunk", "proxy_response_end")
        assert json.loads(base64.b64decode(chunk["data"]))["body"] == "abc"
        await binary_body(connection, b"r-2")
        await standin.line("section 5.4: r-1 lost", 1)
        await ask(connection, "r-1", "/echo", body_binary=True)
        await ask(connection, "r-2", "/hello")
        await standin.line("section 5.4: r-1 lost", 2)
        await silent(connection)


async def test_chunks_and_cancels_of_nothing(gateway: RecordedGateway, services: Services):
    async with started(gateway, services) as standin:
        connection = await begun(gateway)
        await send(connection, "proxy_request_chunk", "x", data="eA==")
        await standin.line("section 5.3: chunk for an unknown id")
        await send(connection, "proxy_cancel", "x")
        await standin.line("section 5.5: proxy_cancel of 'x' cancels nothing")
        await ask(connection, "r-1", "/echo", method="POST", streaming=True)
        await send(connection, "proxy_request_chunk", "r-1", data="Zmlyc3Q=")
        await send(connection, "proxy_request_chunk", "r-1", data="YQ")
        await send(connection, "proxy_request_chunk", "r-1", chunk="bGFzdA==")
        await send(connection, "proxy_request_stream_end", "r-1")
        _, chunk, _ = await answers(connection, "proxy_response_header", "proxy_response_chunk", "proxy_response_end")
        assert json.loads(base64.b64decode(chunk["data"]))["body"] == "firstlast"
        await standin.line("section 5.3: chunk of r-1 is not base64")


async def test_frames_and_closes_of_nothing(gateway: RecordedGateway, services: Services):
    async with started(gateway, services) as standin:
        connection = await begun(gateway)
        await send(connection, "ws_data", "w-1", data="AWhp")
        await standin.line("section 8.2: frame for 'w-1'")
        await send(connection, "ws_close", "w-1")
        await standin.line("section 8.6: close of 'w-1'")
        await send(connection, "tcp_tunnel_start", "t-1", gateway_port=1)
        await standin.line("section 11: tcp_tunnel_start")
        await send(connection, "proxy_stream_data", "r-9", data="eA==")
        await standin.line("section 0: proxy_stream_data for 'r-9' is ignored")
        await silent(connection)


async def test_kubernetes_websocket_by_request_loses_its_headers(gateway: RecordedGateway, services: Services):
    path = "/api/v1/namespaces/default/pods/web-0/exec"
    headers = {"Authorization": ["Bearer TEST-USER-TOKEN"], "Sec-WebSocket-Protocol": ["v5.channel.k8s.io"]}
    async with started(gateway, services) as standin:
        connection = await begun(gateway)
        for number, streamed in enumerate((True, False)):
            await send(
                connection,
                "proxy_request",
                f"k-{number}",
                **{**UPGRADE, "path": path, "service_name": "", "headers": headers},
                supports_response_streaming=streamed,
            )
            (first,) = await answers(connection, "proxy_response_end" if streamed else "proxy_response")
            assert first == ({} if streamed else {"status": 200, "headers": None})
            note = await services.wait_note(lambda note: note.startswith("Kubernetes API got: "), "exec")
            assert '"Bearer TEST-SA-TOKEN"' in note
            assert "v5.channel.k8s.io" not in note
        await standin.line("section 8.8: headers of", 2)


async def test_hello_is_for_those_who_claim_yamux(gateway: RecordedGateway, services: Services):
    async with started(gateway, services) as standin:
        connection = await begun(gateway)
        assert connection.request is not None
        assert "supports_yamux" not in connection.request.path
        await send(connection, "gateway_hello", use_yamux=True)
        await standin.line("section 9: gateway_hello although yamux was not claimed")
        await silent(connection)
    async with started(gateway, services, "--yamux", "true") as standin:
        connection = await begun(gateway)
        await send(connection, "gateway_hello", use_yamux=False)
        await silent(connection)
        await send(connection, "gateway_hello", use_yamux=True)
        assert await answers(connection, "gateway_hello_ack") == [{"use_yamux": True}]
        assert await standin.status() == 3
