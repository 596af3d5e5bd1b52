"""The original's defects, which the stand-in keeps: hangs, deaths, losses and silences."""

import asyncio
import base64
import json

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response
from websockets.protocol import State

from tests.existing.replay import (
    CONTROLLER,
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

FAST_HEARTBEAT = ("--heartbeat", "0.05")


async def opened(connection: ServerConnection, request_id: str, *, streamed: bool = True, **payload: object) -> None:
    """A WebSocket to the echo service, open."""
    kinds = ["proxy_response_header", "proxy_response_end"] if streamed else ["proxy_response"]
    document = {**UPGRADE, "supports_response_streaming": streamed, **payload}
    await send(connection, "proxy_request", request_id, **document)
    assert (await answers(connection, *kinds))[0]["status"] == 101


async def only_heartbeats(connection: ServerConnection) -> None:
    """The agent is alive, and yet answers nothing of what was sent before."""
    await answers(connection, *["heartbeat"] * 4)


async def after_heartbeats(connection: ServerConnection) -> dict[str, object]:
    while (message := await answer(connection))["type"] == "heartbeat":
        pass
    return message


@pytest.mark.parametrize("streamed", [True, False])
async def test_stream_data_after_a_101_kills_the_process(streamed: bool, gateway: RecordedGateway, services: Services):
    async with started(gateway, services) as standin:
        connection = await begun(gateway)
        await opened(connection, "w-1", streamed=streamed)
        await send(connection, "proxy_stream_data", "w-1", data="eA==")
        assert await standin.status() == 2
        await standin.line("panic: send on closed channel")


async def test_chunk_on_a_streaming_websocket_blocks_for_good(gateway: RecordedGateway, services: Services):
    async with started(gateway, services, *FAST_HEARTBEAT):
        connection = await begun(gateway)
        await send(connection, "proxy_request", "w-1", **UPGRADE, streaming=True)
        assert (await after_heartbeats(connection))["type"] == "proxy_response"
        await send(connection, "proxy_request_chunk", "w-1", data="eA==")
        await send(connection, "ping", "p-1")
        pong = await connection.ping()
        await only_heartbeats(connection)
        assert not pong.done()


async def test_slow_upload_blocks_everything_pongs_included(gateway: RecordedGateway, services: Services):
    async with started(gateway, services, *FAST_HEARTBEAT):
        connection = await begun(gateway)
        await ask(connection, "r-1", "/hold", method="POST", streaming=True)
        await services.wait_note(lambda note: note == "service holds its request", "the request")
        block = "A" * 16 * 1024 * 1024
        for _ in range(2):
            await send(connection, "proxy_request_chunk", "r-1", data=block)
        await send(connection, "ping", "p-1")
        pong = await connection.ping()
        await only_heartbeats(connection)
        assert not pong.done()
        services.let_go.set()
        assert (await after_heartbeats(connection))["request_id"] == "p-1"
        async with asyncio.timeout(10):
            await pong


async def test_upload_that_is_not_ended_hangs_beyond_every_limit(gateway: RecordedGateway, services: Services):
    async with started(gateway, services, "--service-limit", "0.2") as standin:
        connection = await begun(gateway)
        for number, kind in enumerate(("proxy_request_chunk", "proxy_cancel", "proxy_request_stream_end")):
            name = f"r-{number}"
            await ask(connection, name, "/echo", method="POST", streaming=True, timeout=100)
            await standin.line(f"section 5.3: {name} is past its limit and hangs")
            await silent(connection)
            await send(connection, kind, name, data="eA==")
            (abort,) = await answers(connection, "proxy_response_abort")
            assert abort["error"].endswith("context deadline exceeded")
        await send(connection, "proxy_request_chunk", "r-0", data="eA==")
        await silent(connection)


async def test_limit_of_a_services_whole_answer(gateway: RecordedGateway, services: Services):
    async with started(gateway, services, "--service-limit", "0.3"):
        connection = await begun(gateway)
        await ask(connection, "r-1", "/slow", query="t=20", timeout="1m0s")
        (abort,) = await answers(connection, "proxy_response_abort")
        assert abort["error"] == (
            'service request failed: Get "http://web.default.svc.cluster.local:18090/slow?t=20": '
            "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        )
        await ask(connection, "r-2", "/sse", query="gap=20")
        _, abort = await answers(connection, "proxy_response_header", "proxy_response_abort")
        while_reading = "context deadline exceeded (Client.Timeout or context cancellation while reading body)"
        assert abort["error"] == while_reading
        await ask(connection, "r-3", "/sse", query="gap=20", supports_response_streaming=False)
        assert await answers(connection, "proxy_error") == [{"error": while_reading}]


@pytest.mark.parametrize("limit", [{"timeout": 150}, {"timeout": "150ms"}, {"deadline": "2001-01-01T00:00:00Z"}])
async def test_limits_of_the_request(limit: dict[str, object], gateway: RecordedGateway, services: Services):
    async with started(gateway, services):
        connection = await begun(gateway)
        await ask(connection, "r-1", "/slow", query="t=20", **limit)
        (abort,) = await answers(connection, "proxy_response_abort")
        assert abort["error"].endswith('/slow?t=20": context deadline exceeded')
        await ask(connection, "r-2", "/hello", deadline="0001-01-01T00:00:00Z", timeout=0)
        await answers(connection, "proxy_response_header", "proxy_response_chunk", "proxy_response_end")


async def test_timeout_of_a_websocket_is_told_to_nobody(gateway: RecordedGateway, services: Services):
    async with started(gateway, services) as standin:
        connection = await begun(gateway)
        await opened(connection, "w-1", timeout=300)
        await services.wait_note(lambda note: note == "service got close 1000 ''", "the close")
        await standin.line("section 5: w-1 ended by its timeout")
        await silent(connection)


async def test_same_id_is_served_twice(gateway: RecordedGateway, services: Services):
    async with started(gateway, services):
        connection = await begun(gateway)
        for _ in range(2):
            await ask(connection, "r-1", "/hello")
        messages = [await answer(connection) for _ in range(6)]
        assert {message["request_id"] for message in messages} == {"r-1"}
        kinds = sorted(message["type"].removeprefix("proxy_response_") for message in messages)
        assert kinds == ["chunk", "chunk", "end", "end", "header", "header"]


async def test_pings_of_the_gateways_are_answered_by_nobody(gateway: RecordedGateway, services: Services):
    async with started(gateway, services, "--reorder-ms", "0"):
        connection = await begun(gateway)
        await opened(connection, "w-1")
        for data in ("CXBpbmc=", "CnBvbmc=", "AWhp"):
            await send(connection, "proxy_websocket_data", "w-1", stream_id="w-1", data=data)
        (frame,) = await answers(connection, "proxy_websocket_data")
        assert frame["data"] == "AWhp"


async def test_unprefixed_data_is_prefixed_or_misread(gateway: RecordedGateway, services: Services):
    async with started(gateway, services, "--reorder-ms", "0") as standin:
        connection = await begun(gateway)
        await opened(connection, "w-1")
        await send(connection, "ws_data", stream_id="w-1", data="aGk=", message_type=1)
        assert (await answers(connection, "proxy_websocket_data"))[0]["data"] == "AWhp"
        await send(connection, "ws_data", stream_id="w-1", data="CmhpCg==", message_type=1)
        await silent(connection)
        await send(connection, "ws_data", stream_id="w-1", data="B2hp")
        await standin.line("section 8.3: frame type 7 ends w-1")
        await services.wait_note(lambda note: note == "service got close 1000 ''", "the close")
        await silent(connection)


async def test_burst_is_reordered_and_complete_below_the_queues_size(gateway: RecordedGateway, services: Services):
    async with started(gateway, services):
        connection = await begun(gateway)
        await opened(connection, "w-1")
        for number in range(50):
            data = f"{chr(1)}{number:02d}".encode()
            await send(connection, "ws_data", "w-1", data=base64.b64encode(data).decode())
        frames = await answers(connection, *["proxy_websocket_data"] * 50)
        order = [frame["data"] for frame in frames]
        assert len(set(order)) == 50
        assert order != sorted(order)


async def test_compression_towards_a_service_that_agrees(gateway: RecordedGateway, services: Services):
    extensions: list[str] = []

    async def echo(socket: ServerConnection) -> None:
        assert socket.response is not None
        extensions.append(socket.response.headers["Sec-WebSocket-Extensions"])
        async for message in socket:
            await socket.send(message)

    async with serve(echo, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with started(gateway, services, f"--service=real.default:80=127.0.0.1:{port}"):
            connection = await begun(gateway)
            await opened(connection, "w-1", service_name="real", service_port=80)
            for data in ("AWhlbGxvIGhlbGxvIGhlbGxv", "AQ==", "AgABAv7/"):
                await send(connection, "ws_data", "w-1", data=data)
                assert (await answers(connection, "proxy_websocket_data"))[0]["data"] == data
    assert "server_no_context_takeover" in extensions[0]


async def test_silent_gateway_is_abandoned_and_its_socket_left_open(gateway: RecordedGateway, services: Services):
    async with started(gateway, services, "--read-timeout", "0.3", "--reconnect", "0.01") as standin:
        first = await begun(gateway)
        second = await begun(gateway)
        await standin.line("section 1: the gateway is silent")
        assert first.state is State.OPEN
        await silent(second)


async def test_any_close_code_is_redialled(gateway: RecordedGateway, services: Services):
    async with started(gateway, services, "--reconnect", "0.01"):
        for code in (1000, 1001, 1008, 4001):
            await (await begun(gateway)).close(code)
        await silent(await begun(gateway))


async def test_error_that_makes_the_agent_forget_its_cluster(gateway: RecordedGateway, services: Services):
    async with started(gateway, services, *FAST_HEARTBEAT) as standin:
        connection = await begun(gateway)
        await send(connection, "error", error="Agent NOT registered")
        await standin.line("section 10: cluster id forgotten")
        await ask(connection, "r-1", "/slow", query="t=0.3")
        late = [await after_heartbeats(connection), await answer(connection), await answer(connection)]
        kinds = [message["type"] for message in late]
        assert kinds == ["proxy_response_header", "proxy_response_chunk", "proxy_response_end"]


async def test_first_gateway_dial_that_fails_ends_the_process(gateway: RecordedGateway, services: Services):
    gateway.refusals = [503]
    async with started(gateway, services) as standin:
        assert await standin.status() == 1


async def test_controller_that_ends_the_connection_ends_the_process(services: Services):
    wrong = RecordedGateway()
    async with serve(lambda socket: socket.close(1013), "127.0.0.1", 0) as server:
        wrong.port = next(iter(server.sockets)).getsockname()[1]
        async with started(wrong, services) as standin:
            assert await standin.status() == 1
            await standin.line("failed to register agent: WebSocket not connected")


async def test_controller_without_a_101_is_dialled_once_and_routes_are_registered(services: Services):
    """One call after the other, each three times: all are refused here. Nothing ends the process."""
    asked: list[str] = []

    def refuse(connection: ServerConnection, request: Request) -> Response:
        asked.append(request.path)
        return connection.respond(503, "not now")

    routes = ("--route", "a.test=web.apps:80", "--route", "b.test=web.apps:80")
    wrong = RecordedGateway()
    async with serve(lambda socket: socket.wait_closed(), "127.0.0.1", 0, process_request=refuse) as server:
        wrong.port = next(iter(server.sockets)).getsockname()[1]
        async with started(wrong, services, *routes, "--retry", "0.01") as standin:
            await standin.line("section 10: standalone: ")
            for host in ("a", "b"):
                for number in (1, 2, 3):
                    await standin.line(f"section 12: attempt {number} to register {host}.test was answered ")
            assert asked == [CONTROLLER]
            assert standin.lines[-6:] == sorted(standin.lines[-6:], key=lambda line: line.split()[6])


async def test_registration_without_a_cluster_id_or_with_another_id_fails(services: Services):
    async def misanswer(socket: ServerConnection) -> None:
        register = json.loads(await socket.recv())
        payload = {"cluster": {"cluster_id": "nested"}, "request_id": register["request_id"]}
        for request_id in ("", "other", register["request_id"]):
            document = {"type": "register_success", "request_id": request_id, "payload": payload}
            await socket.send(json.dumps(document))
        await socket.wait_closed()

    wrong = RecordedGateway()
    async with serve(misanswer, "127.0.0.1", 0) as server:
        wrong.port = next(iter(server.sockets)).getsockname()[1]
        async with started(wrong, services) as standin:
            await standin.line("section 3: register_success with the request_id 'other'")
            assert await standin.status() == 1
            await standin.line("registration failed: missing cluster_id")


async def test_stays_on_the_controller_socket_without_a_gateway_url(gateway: RecordedGateway, services: Services):
    gateway.gateway_url = None
    async with started(gateway, services, "--reconnect", "0.01"):
        connection = await begun(gateway)
        assert connection.request is not None
        assert connection.request.path == "/api/v1/clusters/agent/ws"
        await send(connection, "proxy_request", "r-1", **ROUTE, path="/hello")
        assert (await answers(connection, "proxy_response"))[0]["status"] == 200
