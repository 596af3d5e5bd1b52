"""The client of an HTTP call around `receive` and `send`: what only the adapter does."""

from app.asgi.http_client import AsgiHttpClient
from tests.fakes.asgi import Request
from tests.fakes.listener import Recorder
from tests.fakes.loop import dialogue, quiet


class Listener(Recorder):
    """A call that answers at once, and wants nothing of the body."""

    def __init__(self) -> None:
        super().__init__(wanted=False)
        self.client: AsgiHttpClient | None = None

    def begin(self) -> None:
        assert self.client is not None
        self.client.answer(503, [(b"content-length", b"5")], b"later")


def served(listener: Listener, **scope: object) -> Request:
    async def app(scope: dict, receive: object, send: object) -> None:
        listener.client = AsgiHttpClient(scope, receive, send)
        await listener.client.carry(listener)

    return Request(app, **scope)


@dialogue
async def test_an_answer_at_once():
    listener = Listener()
    request = await served(listener).start().over()
    assert (request.status, request.answer, request.complete) == (503, b"later", True)
    assert listener.log == ["sending", "finished 5"]


@dialogue
async def test_a_head_request_gets_no_body():
    listener = Listener()
    request = await served(listener, method="HEAD").start().over()
    assert (request.answer, request.complete) == (b"", True)


@dialogue
async def test_a_client_that_does_not_take_the_first_answer_can_be_cut_off():
    listener = Listener()
    request = served(listener)
    request.hold()
    request.start()
    await quiet()
    assert listener.log == ["sending"]
    assert listener.client is not None
    listener.client.abort()
    await request.over()
    assert "broke" not in listener.log


class Whole(Listener):
    """A service's answer that came in one piece."""

    def begin(self) -> None:
        assert self.client is not None
        self.client.whole(200, [(b"content-length", b"5")], b"Content-Length: 5\r\n", b"whole")


@dialogue
async def test_a_whole_answer():
    listener = Whole()
    request = await served(listener).start().over()
    assert (request.status, request.answer) == (200, b"whole")
    assert listener.log == ["sending", "finished 5"]


@dialogue
async def test_a_whole_answer_can_be_taken_back_until_it_was_written():
    class Retracting(Whole):
        def begin(self) -> None:
            super().begin()
            assert self.client is not None
            assert self.client.retract()
            self.client.answer(502, [(b"content-length", b"3")], b"bad")

    listener = Retracting()
    request = await served(listener).start().over()
    assert (request.status, request.answer) == (502, b"bad")
    assert listener.client is not None
    assert not listener.client.retract()
