"""What the door counts for the server above it, what it does when that stops, and what it gives to the application."""

import asyncio
import gc
from typing import Any
from weakref import ref

import pytest
import uvicorn
from uvicorn.server import ServerState

from app.server.http import Protocol, _receptions
from tests.app.server.door_stage import Front, Visitor
from tests.app.stage import Stage
from tests.fakes.loop import dialogue, quiet


@dialogue
async def test_connections_are_the_servers_and_their_requests_are_counted_at_their_end():
    async with Stage() as stage:
        front = Front(stage)
        with Visitor(front) as visitor, Visitor(front) as other:
            assert front.state.connections == {visitor.protocol, other.protocol}
            for number in range(2):
                visitor.ask()
                stage.link.exchanges[number].whole(b"ok")
            other.ask()
            stage.link.exchanges[-1].whole(b"ok")
            await quiet()
            assert visitor.got.count(b"HTTP/1.1 200 OK\r\n") == 2
        assert front.state.connections == set()
        assert front.state.total_requests == 3


@dialogue
async def test_an_idle_connection_ends_when_it_is_shut_down_and_a_busy_one_after_its_answer():
    async with Stage() as stage:
        front = Front(stage)
        with Visitor(front) as idle, Visitor(front) as busy:
            busy.ask()
            for visitor in (idle, busy):
                visitor.protocol.shutdown()
            assert idle.wire.closed
            assert not busy.wire.closed
            stage.exchange.whole(b"ok")
            await quiet()
            assert busy.wire.closed
            assert b"\r\nconnection: close\r\n" in busy.got
            assert busy.got.endswith(b"\r\n\r\nok")
            assert front.state.connections == set()


@dialogue
async def test_each_request_of_the_application_has_a_scope_of_its_own():
    async with Stage() as stage:
        scopes: list[dict[str, Any]] = []

        async def app(scope: dict[str, Any], _: object, send: Any) -> None:
            scopes.append(scope)
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
            await send({"type": "http.response.body", "body": b"ok"})

        with Visitor(Front(stage)) as visitor:
            visitor.protocol._reception._app = app  # type: ignore[attr-defined]
            for target in ("/-/a%2F", "/-/b"):
                visitor.ask(target, host="localhost")
                await quiet()
            first, second = scopes
            assert (first["raw_path"], first["path"], second["raw_path"]) == (b"/-/a%2F", "/-/a/", b"/-/b")
            assert first["extensions"] is not second["extensions"]
            for scope in scopes:
                assert (scope["server"], scope["client"]) == (("192.0.2.1", 0), ("203.0.113.9", 0))
            assert visitor.got.count(b"HTTP/1.1 200 OK\r\n") == 2


@dialogue
async def test_no_other_application_is_served():
    async def app(scope: object, receive: object, send: object) -> None:
        raise AssertionError("it is never called")

    config = uvicorn.Config(app, http=Protocol, lifespan="off", log_config=None)
    config.load()
    with pytest.raises(TypeError, match="the application of a gateway"):
        Protocol(config, ServerState(), {}, asyncio.get_running_loop())


@dialogue
async def test_what_a_server_counts_ends_with_the_server():
    async with Stage() as stage:
        before = len(_receptions)
        front = Front(stage)
        with Visitor(front):
            assert len(_receptions) == before + 1
        server = ref(front.state)
        del front
        gc.collect()
        assert server() is None
        assert len(_receptions) == before
