"""What an exchange needed is freed as soon as it ends: nothing of it waits for the garbage collector.

A circle of references costs little each time, and much in all: the collector then visits every object of every
exchange, and memory is used that has just been written instead of memory that the processor still holds.
"""

import gc
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from app.asgi.http_client import BrokenOffError
from tests.app.stage import Stage
from tests.fakes.asgi import Request, WebSocket
from tests.fakes.loop import dialogue, quiet
from tests.fakes.service import opened
from tunnel.errors import ServiceBrokeOffError, StreamRefusedError

Act = Callable[[Stage], Awaitable[object]]


async def whole(s: Stage) -> None:
    """An answer that came whole."""
    request = Request(s.app).start()
    await quiet()
    s.exchange.whole(b"ok")
    await request.over()


async def pieces(s: Stage) -> None:
    """A body each way, in pieces."""
    request = Request(s.app, "POST", headers=[(b"transfer-encoding", b"chunked")]).start()
    await quiet()
    request.body(b"one", more=True)
    request.body(b"two")
    await quiet()
    s.exchange.answer(200)
    s.exchange.bring(b"three")
    s.exchange.finish()
    await request.over()


async def left(s: Stage) -> None:
    """The client leaves before the answer."""
    request = Request(s.app, "POST", headers=[(b"content-length", b"9")]).start()
    await quiet()
    request.leave()
    await request.over()


async def failed(s: Stage) -> None:
    """The service ends the stream without an answer, at the second attempt too."""
    request = Request(s.app).start()
    for number in range(2):
        await quiet()
        s.link.exchanges[number].fail(StreamRefusedError("no"))
    await request.over()


async def broken(s: Stage) -> None:
    """The service breaks its answer off."""

    async def server(*asgi: Any) -> None:
        with pytest.raises(BrokenOffError):
            await s.app(*asgi)

    request = Request(server).start()
    await quiet()
    s.exchange.answer(200)
    s.exchange.bring(b"half")
    await quiet()
    s.exchange.fail(ServiceBrokeOffError("off"))
    await request.over()


async def unknown(s: Stage) -> None:
    """No route has this host."""
    await Request(s.app, headers=[(b"host", b"nobody.example.test")]).start().over()


async def talked(s: Stage) -> None:
    """A WebSocket that its service closes."""
    call, service = await opened(s)
    call.say("hello")
    service.say("hello")
    await quiet()
    service.close(1000)
    await quiet()
    service.exchange.finish()
    await call.over()


async def hung_up(s: Stage) -> None:
    """A WebSocket that its client leaves."""
    call, service = await opened(s)
    call.leave(1001)
    await quiet()
    service.close(1001)
    service.exchange.finish()
    await call.over()


async def declined(s: Stage) -> None:
    """A WebSocket that its service refuses."""
    call = WebSocket(s.app).start()
    await quiet()
    s.exchange.answer(403)
    s.exchange.finish()
    await call.over()


async def unknown_websocket(s: Stage) -> None:
    """No route has this WebSocket's host."""
    await WebSocket(s.app, headers=[(b"host", b"nobody.example.test")]).start().over()


ACTS = [whole, pieces, left, failed, broken, unknown, talked, hung_up, declined, unknown_websocket]


@pytest.fixture
def collector() -> Iterator[None]:
    """The collector runs only where a test asks it to, and keeps in `gc.garbage` what it would free."""
    gc.disable()
    yield
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


@pytest.mark.usefixtures("collector")
@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.__name__)
@dialogue
async def test_nothing_of_an_exchange_waits_for_the_collector(act: Act):
    async with Stage() as s:
        gc.collect()  # what the tests before left
        gc.set_debug(gc.DEBUG_SAVEALL)
        for _ in range(3):
            await act(s)
            for exchange in s.link.exchanges:
                exchange.forget()
            s.link.exchanges.clear()
        gc.collect()
        ours = [each for each in gc.garbage if type(each).__module__.startswith(("app.", "tunnel."))]
        assert not Counter(type(each).__qualname__ for each in ours)
