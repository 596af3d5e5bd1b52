"""Who takes what comes to the door: a route's service, the agents' endpoints, the application, or nobody."""

import asyncio
import gc
import weakref
from typing import cast

import pytest

from app.public.http_call import HttpCall
from app.rules.policy import Policy
from app.rules.routes import Route, RouteTable
from app.server.connection_states import State
from tests.app.server.door_stage import ACCEPT, ACCEPTED, HANDSHAKE, Front, Visitor
from tests.app.stage import HOST, Stage
from tests.fakes.link import TARGET
from tests.fakes.loop import dialogue, quiet
from tests.fakes.service import FakeService
from tunnel import websocket
from tunnel.websocket import Message

NEW = Policy(max_body_bytes=1)


@dialogue
async def test_a_request_of_a_routed_host_goes_to_its_service_as_it_came():
    async with Stage() as stage:
        with Visitor(Front(stage)) as visitor:
            visitor.ask("/a%2Fb?", b"X-Own: 1 \r\n")
            head = stage.exchange.head
            assert (head.method, head.target) == (b"GET", b"/a%2Fb?")
            assert (b"x-own", b"1") in head.headers
            assert (b"x-forwarded-for", b"203.0.113.9") in head.headers
            stage.exchange.whole(b"hello")
            assert visitor.status == 200
            assert visitor.got.endswith(b"\r\n\r\nhello")
            assert visitor.protocol.state is State.WAITING


@dialogue
async def test_a_body_goes_to_the_service_as_it_comes():
    async with Stage() as stage:
        with Visitor(Front(stage)) as visitor:
            visitor.ask("/", b"Transfer-Encoding: chunked\r\n", method="POST", body=b"5\r\nhello\r\n")
            assert stage.exchange.body == b"hello"
            visitor.protocol.data_received(b"1\r\n!\r\n0\r\n\r\n")
            assert (stage.exchange.body, stage.exchange.ended) == (b"hello!", 1)
            stage.exchange.whole(b"thanks")
            assert visitor.status == 200


@dialogue
async def test_a_body_that_is_wrong_is_answered_400_and_the_service_told():
    async with Stage() as stage:
        with Visitor(Front(stage)) as visitor:
            visitor.ask("/", b"Transfer-Encoding: chunked\r\n", method="POST", body=b"5\r\nhello\r\nx\r\n")
            await quiet()
            assert visitor.status == 400
            assert b"a chunk does not begin with its size" in visitor.got
            assert stage.exchange.resets


@dialogue
async def test_a_client_that_leaves_resets_its_exchange():
    async with Stage() as stage:
        with Visitor(Front(stage)) as visitor:
            visitor.ask()
            visitor.wire.lose()
            assert stage.exchange.resets == 1


@pytest.mark.parametrize(
    ("host", "target", "status"),
    [
        (HOST.upper() + ":80", "/", None),
        ("other.test", "/", 404),
        ("other.test", "/healthz", 200),
        ("other.test", "/readyz", 200),
        ("localhost", "/none", 404),
        ("192.0.2.1", "/none", 404),
        ("a" * 254, "/", 400),
        ("a b", "/", 400),
        ("[::1", "/", 400),
        ("h:x", "/", 400),
    ],
)
@dialogue
async def test_hosts(host: str, target: str, status: int | None):
    async with Stage() as stage:
        with Visitor(Front(stage)) as visitor:
            for _ in range(2):
                before = len(visitor.got)
                visitor.ask(target, host=host)
                await quiet()
                if status is None:
                    stage.link.exchanges[-1].whole(b"")
                assert int(visitor.got[before + 9 : before + 12]) == (status or 200)
                if status == 400:
                    break


@dialogue
async def test_a_route_that_goes_is_forgotten():
    async with Stage() as stage:
        with Visitor(Front(stage)) as visitor:
            visitor.ask()
            stage.exchange.whole(b"")
            stage.gateway.apply(Stage(0, routes=type(stage.gateway.settings.routes)([])).gateway.settings)
            before = len(visitor.got)
            visitor.ask()
            await quiet()
            assert visitor.got[before:].startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize(
    "routes",
    [
        [Route(HOST, b"/", TARGET, NEW)],
        [Route(HOST, b"/", TARGET), Route(HOST, b"/x", TARGET, NEW)],
        [Route("*.example.test", b"/", TARGET, NEW)],
    ],
)
@dialogue
async def test_a_route_that_changes_is_the_new_one_from_the_next_request_on(routes: list[Route]):
    async with Stage() as stage:
        with Visitor(Front(stage)) as visitor:
            for _ in range(2):
                visitor.ask("/x")
                stage.link.exchanges[-1].whole(b"")
            stage.gateway.apply(Stage(0, routes=RouteTable(routes)).gateway.settings)
            for _ in range(2):
                visitor.ask("/x")
                (call,) = stage.gateway.exchanges
                assert cast("HttpCall", call)._route.policy is NEW
                stage.link.exchanges[-1].whole(b"")
            assert len(stage.link.exchanges) == 4


# --- WebSockets


async def opened(stage: Stage, visitor: Visitor, early: bytes = b"") -> FakeService:
    visitor.ask("/ws", HANDSHAKE, body=early)
    service = FakeService(stage.exchange)
    assert visitor.got == b""
    service.accept()
    await quiet()
    return service


@dialogue
async def test_a_websocket_is_accepted_after_its_service_and_early_frames_are_kept():
    async with Stage() as stage:
        with Visitor(Front(stage)) as visitor:
            client = websocket.Connection(websocket.Role.CLIENT)
            service = await opened(stage, visitor, client.send_message("early"))
            head, _, frames = visitor.got.partition(b"\r\n\r\n")
            assert (head + b"\r\n").startswith(ACCEPTED)
            assert ACCEPT in head + b"\r\n"
            assert frames == b""
            assert [event.data for event in service.heard() if isinstance(event, Message)] == ["early"]
            visitor.protocol.data_received(client.send_message("late"))
            assert [event.data for event in service.heard() if isinstance(event, Message)] == ["late"]
            service.say("hello")
            assert client.receive_data(visitor.got.partition(b"\r\n\r\n")[2]) == [Message("hello")]
            visitor.wire.lose()
            await quiet()


@pytest.mark.parametrize(
    ("lines", "method", "status"),
    [
        (HANDSHAKE.replace(b"13", b"8"), "GET", 426),
        (HANDSHAKE.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"short"), "GET", 400),
        (HANDSHAKE.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"c2hvcnQ="), "GET", 400),
        (HANDSHAKE + b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "GET", 400),
        (HANDSHAKE, "POST", 400),
        (HANDSHAKE + b"Content-Length: 1\r\n", "GET", 400),
    ],
)
@dialogue
async def test_handshakes_that_are_refused(lines: bytes, method: str, status: int):
    async with Stage() as stage:
        with Visitor(Front(stage)) as visitor:
            visitor.ask("/ws", lines, method=method)
            await quiet()
            assert visitor.status == status
            assert stage.link.exchanges == []
            assert (b"\r\nsec-websocket-version: 13\r\n" in visitor.got) == (status == 426)


@dialogue
async def test_a_handshake_that_its_service_declines_leaves_the_connection_open():
    async with Stage() as stage:
        with Visitor(Front(stage)) as visitor:
            visitor.ask("/ws", HANDSHAKE)
            stage.exchange.answer(403, [(b"content-length", b"2")])
            stage.exchange.bring(b"no")
            stage.exchange.finish()
            await quiet()
            assert visitor.status == 403
            visitor.ask()
            assert len(stage.link.exchanges) == 2


@dialogue
async def test_a_client_that_leaves_during_the_handshake():
    async with Stage() as stage:
        with Visitor(Front(stage)) as visitor:
            visitor.ask("/ws", HANDSHAKE)
            visitor.wire.lose()
            assert stage.exchange.resets == 1


@dialogue
async def test_a_websocket_of_nobody_is_answered():
    async with Stage() as stage:
        with Visitor(Front(stage)) as visitor:
            visitor.ask("/ws/other", HANDSHAKE, host="localhost")
            await quiet()
            assert visitor.status == 404


@dialogue
async def test_a_client_that_is_silent_after_a_ping_is_given_up():
    async with Stage() as stage:
        with Visitor(Front(stage, ws_ping_interval=20.0, ws_ping_timeout=20.0)) as visitor:
            service = await opened(stage, visitor)
            await asyncio.sleep(21.0)
            assert visitor.got.endswith(b"\x89\x00")
            assert not visitor.wire.closed
            await asyncio.sleep(21.0)
            assert visitor.wire.closed
            assert service.exchange.data


# --- agents


@pytest.mark.parametrize(
    ("path", "host", "status"),
    [("/agent", "localhost", 503), ("/ws", "localhost", 503), ("/agent", "elsewhere.test", 503)],
)
@dialogue
async def test_an_agent_that_is_turned_away_gets_503(path: str, host: str, status: int):
    async with Stage() as stage:
        with Visitor(Front(stage)) as visitor:
            visitor.ask(path, HANDSHAKE, b"Authorization: Bearer wrong\r\n", host=host)
            await quiet()
            assert visitor.status == status
            visitor.wire.lose()
            await quiet()


# --- the application


@dialogue
async def test_the_application_gets_a_body_as_it_takes_it_and_answers_through_the_same_framing():
    async with Stage() as stage:
        front = Front(stage)
        seen: list[bytes] = []

        async def app(scope: dict[str, object], receive: object, send: object) -> None:
            assert scope["raw_path"] == b"/-/x"
            more = True
            while more:
                message = await receive()  # type: ignore[operator]
                seen.append(message["body"])
                more = message["more_body"]
            await send({"type": "http.response.start", "status": 200, "headers": [(b"X-A", b"1")]})  # type: ignore[operator]
            await send({"type": "http.response.body", "body": b"a", "more_body": True})  # type: ignore[operator]
            await send({"type": "http.response.body", "body": b"b"})  # type: ignore[operator]

        with Visitor(front) as visitor:
            visitor.protocol._reception._app = app  # type: ignore[attr-defined]
            visitor.ask("/-/x", b"Content-Length: 6\r\n", host="localhost", method="POST", body=b"abc")
            await quiet()
            visitor.protocol.data_received(b"def")
            await quiet()
            assert seen == [b"abc", b"def"]
            first, _, rest = visitor.got.partition(b"date: ")
            assert first == b"HTTP/1.1 200 OK\r\nx-a: 1\r\n"
            date, _, rest = rest.partition(b"\r\n")
            assert date.endswith(b" GMT")
            assert rest == b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n"


@pytest.mark.parametrize("started", [False, True])
@dialogue
async def test_an_application_that_fails(started: bool, caplog: pytest.LogCaptureFixture):
    async with Stage() as stage:

        async def app(_: object, __: object, send: object) -> None:
            if started:
                await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[operator]
            raise ValueError("a bug")

        with Visitor(Front(stage)) as visitor:
            visitor.protocol._reception._app = app  # type: ignore[attr-defined]
            visitor.ask("/-/x", host="localhost")
            await quiet()
            assert visitor.status == (200 if started else 500)
            assert visitor.wire.closed is started
        assert "the application failed" in caplog.text


@dialogue
async def test_an_application_is_told_that_its_client_left():
    async with Stage() as stage:
        told: list[object] = []

        async def app(_: object, receive: object, send: object) -> None:
            told.append((await receive())["type"])  # type: ignore[operator]
            told.append((await receive())["type"])  # type: ignore[operator]

        front = Front(stage)
        with Visitor(front) as visitor:
            visitor.protocol._reception._app = app  # type: ignore[attr-defined]
            visitor.ask("/-/x", host="localhost")
            await quiet()
            visitor.wire.lose()
            await quiet()
        assert told[-1] == "http.disconnect"
        assert front.state.tasks == set()
        assert front.state.connections == set()


# --- memory


@dialogue
async def test_nothing_of_a_connection_waits_for_the_collector():
    async with Stage() as stage:
        front = Front(stage)
        gc.collect()
        gc.disable()
        try:
            gone = []
            for target, lines in (("/", b""), ("/ws", HANDSHAKE), ("/ws", HANDSHAKE)):
                with Visitor(front) as visitor:
                    gone.append(weakref.ref(visitor.protocol))
                    visitor.ask(target, lines)
                    if len(gone) == 3:
                        FakeService(stage.link.exchanges[-1]).accept()
                    elif not lines:
                        stage.link.exchanges[-1].whole(b"x")
                    await quiet()
                await quiet()
                visitor.wire.protocol = None
                del visitor
                await asyncio.sleep(6.0)  # its service has as long to answer our close frame
                for exchange in stage.link.exchanges:
                    exchange.forget()
            assert [reference() for reference in gone] == [None] * 3
        finally:
            gc.enable()
