"""The client of a probe: it takes an answer at once, throws it away, and leaves when it has seen enough of it."""

import asyncio
import logging

from tunnel.override import override
from tunnel.port import Headers

from .client_port import HttpClient, HttpListener

logger = logging.getLogger("gateway")

ANSWER_BYTES = 1024 * 1024
"""Of an answer's body: most end before, and one that does not would go on for ever."""
ANSWER_SECONDS = 2.0
"""For the body, once the head is there: an event stream has none that ends."""
ENOUGH = "the probe has seen enough of the answer"
"""Why it left, in the access log: the answer had begun, and nothing is wrong with it."""


class ProbeClient(HttpClient):
    """See the module. It has no body to send. As at any door, a head may be retracted in the turn that brought it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._call: HttpListener | None = None
        self._over = self._loop.create_future()
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._turn: asyncio.Handle | None = None
        self._head_is_new = False  # given in this turn
        self._untold_bytes = 0  # of the body, likewise
        self._seen_bytes = 0
        self._ended = self._broken = self._cut = False

    async def carry(self, call: HttpListener, seconds: float) -> None:
        """Begin the call, and return when it is over. After `seconds` the client leaves."""
        self._call = call
        self._deadline = self._loop.time() + seconds
        self._leave_at(self._deadline, f"the probe waited no longer than {seconds:g} s")
        try:
            call.begin()
            await self._over
        except Exception:
            logger.exception("a probe failed")
            call.broke()
        finally:
            call.left()  # unless it is over: then it was cancelled
            self._call = None
            for handle in (self._timer, self._turn):
                if handle is not None:
                    handle.cancel()

    # --- told by the call

    @override
    def start(self, status: int, fields: Headers, /) -> None:
        self._head_is_new = True
        self._leave_at(min(self._deadline, self._loop.time() + ANSWER_SECONDS), ENOUGH)
        self._wake()

    @override
    def retract(self) -> bool:
        if not self._head_is_new:
            return False
        self._head_is_new = self._ended = False
        self._untold_bytes = 0
        return True

    @override
    def send(self, data: bytes, /) -> None:
        self._untold_bytes += len(data)
        self._wake()

    @override
    def pass_on(self, data: bytes, /) -> bool:
        self._seen_bytes += len(data)
        self._wake()
        return True

    @override
    def end(self) -> None:
        self._ended = True
        self._wake()

    @override
    def whole(self, status: int, fields: Headers, block: bytes, body: bytes, /) -> bool:
        self._cut = True  # the call is over when this returns
        self._wake()
        return True

    @override
    def answer(self, status: int, fields: Headers, body: bytes, /) -> None:
        self._untold_bytes += len(body)
        self._ended = True
        self._wake()

    @override
    def interim(self, status: int, fields: Headers, /) -> None: ...

    @override
    def trailers(self, fields: Headers, /) -> None: ...

    @override
    def break_off(self, why: str, /) -> None:
        self._broken = True
        self._wake()

    @override
    def abort(self) -> None:
        self._cut = True
        self._wake()

    @override
    def read_body(self) -> None: ...  # there is none

    @override
    def pause_body(self) -> None: ...

    @override
    def resume_body(self) -> None: ...

    @property
    @override
    def unsent_bytes(self) -> int:
        return 0

    @override
    def watch(self) -> None: ...

    # --- inside

    def _wake(self) -> None:
        """Tell the call what was taken, once what it called has returned."""
        if self._turn is None:
            self._turn = self._loop.call_soon(self._take)

    def _take(self) -> None:
        self._turn = None
        self._head_is_new = False
        call = self._call
        if call is None:
            return
        taken, self._untold_bytes = self._untold_bytes, 0
        self._seen_bytes += taken
        if self._cut:
            self._finish()
        elif self._ended and not self._broken:
            call.finished(taken)
            self._finish()
        else:
            call.sent(taken)
            if self._broken:
                call.broken_off()
                self._finish()
            elif self._seen_bytes > ANSWER_BYTES:
                self._leave(ENOUGH)

    def _leave_at(self, when: float, why: str) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._leave, why)

    def _leave(self, why: str) -> None:
        try:
            if self._call is not None:
                self._call.left(why)
        finally:  # a bug of ours must not keep the probe's place
            self._finish()

    def _finish(self) -> None:
        if not self._over.done():
            self._over.set_result(None)
