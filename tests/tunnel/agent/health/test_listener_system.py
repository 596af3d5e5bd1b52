"""The listener on real sockets: who is answered, who is cut off, and that nothing is left."""

import asyncio
import contextlib
import gc

import pytest

from tests.fakes.gateway import SECONDS
from tests.tunnel.agent.reports import READY, report_with
from tunnel.agent.health import listener as module
from tunnel.agent.health.listener import CONNECTIONS_MAX, HealthListener

pytestmark = [pytest.mark.system, pytest.mark.anyio]

GET = b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n"


@contextlib.asynccontextmanager
async def listening(report=lambda: report_with(READY)):
    listener = HealthListener(report)
    await listener.start("127.0.0.1", 0)
    listener.port = listener._server.sockets[0].getsockname()[1]
    try:
        yield listener
    finally:
        listener.close()
        listener.close()
        await until(lambda: not listener._connections)


async def until(condition):
    async with asyncio.timeout(SECONDS):
        while not condition():  # noqa: ASYNC110 (sockets have no event for this)
            await asyncio.sleep(0.001)


async def asked(listener, data, *, ends=False):
    """All that one connection is answered, up to its end."""
    async with asyncio.timeout(SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(data)
        if ends:
            writer.write_eof()
        try:
            return await reader.read()
        finally:
            writer.close()


@pytest.mark.parametrize("ends", [False, True])
async def test_an_answer_and_the_end(ends):
    async with listening() as listener:
        answer = await asked(listener, GET, ends=ends)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert answer.endswith(b"ready since 2026-01-02T03:04:05.678Z\n")
        await until(lambda: not listener._connections)


async def test_what_comes_after_the_request_is_dropped():
    async with listening() as listener:
        answer = await asked(listener, GET + b"POST / HTTP/1.1\r\n\r\n" + b"x" * 1_000_000)
        assert answer.count(b"HTTP/1.1 ") == 1


async def test_a_refusal_reaches_a_client_that_still_sends():
    async with listening() as listener:
        answer = await asked(listener, b"GET / HTTP/1.1\r\nX: " + b"y" * 1_000_000)
        assert answer.startswith(b"HTTP/1.1 431 ")


async def test_an_unfinished_request_that_ends_gets_nothing():
    async with listening() as listener:
        assert await asked(listener, GET[:-2], ends=True) == b""


async def test_a_request_that_does_not_come_is_answered_408(monkeypatch):
    monkeypatch.setattr(module, "DEADLINE_SECONDS", 0.05)
    async with listening() as listener:
        assert (await asked(listener, b"GET / HT")).startswith(b"HTTP/1.1 408 ")


async def test_a_client_that_keeps_its_connection_is_cut_off(monkeypatch):
    monkeypatch.setattr(module, "DEADLINE_SECONDS", 0.05)
    async with listening() as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(GET)
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
        await until(lambda: not listener._connections)
        writer.close()


async def test_a_crowd_that_says_nothing_keeps_no_probe_out():
    async with listening() as listener:
        crowd = [await asyncio.open_connection("127.0.0.1", listener.port) for _ in range(3 * CONNECTIONS_MAX)]
        await until(lambda: len(listener._connections) == CONNECTIONS_MAX)
        assert (await asked(listener, GET)).startswith(b"HTTP/1.1 200 ")
        await until(lambda: len(listener._connections) < CONNECTIONS_MAX)
        async with asyncio.timeout(SECONDS):
            assert await read_to_the_end(crowd[0][0]) == b""
        for _, writer in crowd:
            writer.close()


async def read_to_the_end(reader):
    with contextlib.suppress(ConnectionResetError):
        return await reader.read()
    return b""


async def test_a_page_that_fails_is_answered_500_and_logged(caplog):
    def fails():
        raise ZeroDivisionError

    async with listening(fails) as listener:
        assert (await asked(listener, GET)).startswith(b"HTTP/1.1 500 ")
        assert (await asked(listener, GET.replace(b"readyz", b"healthz"))).startswith(b"HTTP/1.1 200 ")
    assert "ZeroDivisionError" in caplog.text


async def test_every_address_is_listened_on():
    listener = HealthListener(lambda: report_with(READY))
    await listener.start("", 0)
    hosts = {sock.getsockname()[0] for sock in listener._server.sockets}
    listener.close()
    assert "0.0.0.0" in hosts


async def test_nothing_is_left_after_close():
    async with listening() as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        await until(lambda: listener._connections)
    assert await read_to_the_end(reader) == b""
    writer.close()
    gc.collect()
    with pytest.raises(OSError, match=r"refused|[Cc]onnect"):
        await asyncio.open_connection("127.0.0.1", listener.port)
