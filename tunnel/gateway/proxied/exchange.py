"""One exchange carried as messages, as its door sees it: what HTTP requests and WebSockets have in common here.

What the agent sends goes into the exchange's inbox (the link's reader never waits); one task takes it out and calls
the sink, and waits while the sink is paused. The way up has no task: it is a lane in the link's outbox.

Invariants: the sink is never called from within `open`, `send_data`, `end` or `reset`, and never after its end, a
failure or a reset. A sink that raises costs its own exchange. What the agent does wrong ends this exchange, with one
log line that names the rule and the link. The task ends with the exchange: after `over` none is left.
"""

import asyncio
import logging
from typing import TYPE_CHECKING
from uuid import uuid4

import anyio

from tunnel.errors import BadAnswerError, NotReadError, ServiceBrokeOffError, TunnelError
from tunnel.gateway.proxied.answer import Answer, AnswerHead, error_of
from tunnel.gateway.proxied.connection import ABORT, END, HEAD, encode_head
from tunnel.gateway.proxied.inbox import OverflowedError
from tunnel.nobody import NOBODY
from tunnel.port import RequestHead, ResponseHead, Sink

if TYPE_CHECKING:
    from tunnel.gateway.proxied.carrier import ProxiedCarrier

logger = logging.getLogger(__name__)


class ProxiedExchange:
    """The common part; `HttpExchange` and `WebSocketExchange` say what the messages mean."""

    def __init__(
        self,
        carrier: "ProxiedCarrier",
        head: RequestHead,
        sink: Sink,
        *,
        whole_bytes: int = 0,
        interval_seconds: float = 0.0,
    ) -> None:
        self.request_id = uuid4().hex
        self.carrier = carrier
        self.method = head.method
        self.answer_began = False
        """A message of the answer came."""
        self.answer_ended = False
        """Its last message came: nothing more is expected of the agent."""
        self.over = False
        """Nothing is held, sent or delivered any more."""
        self.stream = carrier.connection.open_stream(
            self.request_id, self._drained, whole_bytes=whole_bytes, interval_seconds=interval_seconds
        )
        self._sink = sink
        self._agent_goes_on = False  # it does not know that its answer is not taken any more
        self._told = False  # the sink was told of the end, or shall hear nothing more
        self._paused = False
        self._in_hand_bytes = 0
        self._resumed: asyncio.Future[None] | None = None
        self._task = asyncio.get_running_loop().create_task(self._run())

    # --- told by the door

    @property
    def held_bytes(self) -> int:
        """See `Exchange.held_bytes`."""
        if self.over:
            return 0
        return self.stream.inbox.held_bytes + self.stream.lane.queued_bytes + self._in_hand_bytes

    def reset(self) -> None:
        """See `Exchange.reset`."""
        if not self.over:
            self._settle()
            self._abandon()
            self._dispose()

    def pause(self) -> None:
        """See `Exchange.pause`."""
        self._paused = not self._told

    def resume(self) -> None:
        """See `Exchange.resume`."""
        self._paused = False
        if self._resumed is not None and not self._resumed.done():
            self._resumed.set_result(None)

    # --- told by the carrier: what the agent sends

    def header_received(self, head: AnswerHead) -> None:
        """`proxy_response_header`."""
        raise NotImplementedError

    def chunk_received(self, data: bytes) -> None:
        """`proxy_response_chunk`."""
        raise NotImplementedError

    def end_received(self) -> None:
        """`proxy_response_end`."""
        raise NotImplementedError

    @property
    def adoptable(self) -> bool:
        """Whether its answer may come on another link than the request left on."""
        raise NotImplementedError

    def adopted(self) -> None:
        """Its agent has another link, and answers there."""

    def abort_received(self, text: str) -> None:
        """`proxy_response_abort` or `proxy_error`."""
        self.break_off(error_of(text, began=self.answer_began))

    def whole_received(self, head: AnswerHead, body: bytes) -> None:
        """`proxy_response`, or a binary message: the whole answer."""
        raise NotImplementedError

    def link_lost(self, error: TunnelError) -> None:
        """The link is gone. What came whole is still delivered."""
        raise NotImplementedError

    def rule_broken(self, rule: str) -> None:
        """The agent broke its protocol, for this exchange."""
        self._log(rule)
        self.break_off(BadAnswerError(rule), agent_goes_on=True)

    def break_off(self, error: TunnelError, *, agent_goes_on: bool = False) -> None:
        """Fail, after all that came before is delivered."""
        self.stream.error = error
        self._agent_goes_on = agent_goes_on
        self._put(ABORT)
        self._answer_is_over()

    def fail(self, error: TunnelError) -> None:
        """Be over now: the sink is told, what waited is lost."""
        if self._told:
            self.reset()
            return
        sink = self._settle()
        self._abandon()
        self._dispose()
        try:
            sink.failed(error.after_answer_began() if self.answer_began else error)
        except Exception:
            logger.exception("%s: exchange %s failed in its sink", self.carrier.name, self.request_id)

    # --- for the two kinds

    def _put(self, kind: int, payload: bytes = b"") -> None:
        """Into the inbox. What does not fit ends the exchange."""
        try:
            self.carrier.connection.deliver(self.stream, kind, payload)
        except OverflowedError as error:
            self._log(str(error))
            self.fail(NotReadError(str(error)))

    def _put_head(self, head: AnswerHead) -> None:
        self.answer_began = True
        self._put(HEAD, encode_head(head))

    def _put_end(self) -> None:
        self._put(END)
        self._answer_is_over()

    def _answer_is_over(self) -> None:
        """Later messages of this id are nobody's."""
        self.answer_ended = True
        self.carrier.shared.exchanges.pop(self.request_id, None)

    async def _deliver(self) -> None:
        """Take what comes and tell the sink. Raises TunnelError; returns once the sink was told of the end."""
        raise NotImplementedError

    async def _deliver_answer(self, head: AnswerHead, *, upgrade: bool = False) -> None:
        """An HTTP answer: the head and then its body."""
        answer = Answer(head, self.method, upgrade=upgrade)
        await self._unpaused()
        self._tell_head(answer.head)
        while not self._told:
            await self._unpaused()
            try:
                data = await self.carrier.connection.read_stream_chunk(self.request_id)
            except anyio.EndOfStream:
                break
            for piece in answer.pieces(data):
                await self._unpaused(len(data))
                if not self._tell_data(piece):
                    return
        if not self._told:
            answer.end()
            await self._unpaused()
            self._tell_end()

    async def _unpaused(self, in_hand_bytes: int = 0) -> None:
        """Wait while the sink is paused; so much, taken out of the inbox, is counted meanwhile."""
        if not self._waits():
            return
        self._hold_in_hand(in_hand_bytes)
        try:
            while self._waits():
                self._resumed = asyncio.get_running_loop().create_future()
                await self._resumed
        finally:
            self._resumed = None
            self._hold_in_hand(0)

    def _waits(self) -> bool:
        return self._paused and not self._told

    def _hold_in_hand(self, size: int) -> None:
        self.carrier.shared.account.adjust(size - self._in_hand_bytes)
        self._in_hand_bytes = size

    def _tell_head(self, head: ResponseHead) -> None:
        if not self._told:
            self._sink.head(head)

    def _tell_data(self, data: bytes) -> bool:
        """False: nobody listens any more."""
        if self._told:
            return False
        self._sink.data(data)
        return True

    def _tell_end(self) -> None:
        if not self._told:
            sink = self._settle()
            self._ended()
            sink.end()

    def _ended(self) -> None:
        """The sink is about to be told of the end: be over, unless the way up goes on."""
        self._dispose()

    def _abandon(self) -> None:
        """Tell the agent that nobody waits any more, where it has heard of the exchange and is not done with it."""
        raise NotImplementedError

    def _settle(self) -> Sink:
        """The sink hears nothing more, but from who called this."""
        sink, self._sink = self._sink, NOBODY
        self._paused = False
        self._hold_in_hand(0)
        if not self._told:
            self._told = True
            self.carrier.delivered(self)
        if self._task is not asyncio.current_task():
            self._task.cancel()
        return sink

    def _dispose(self) -> None:
        self.over = True
        self.carrier.forget(self)

    # --- inside

    async def _run(self) -> None:
        try:
            await self._deliver()
        except anyio.EndOfStream:
            pass  # closed under us, by whoever ended it
        except OverflowedError as error:
            self._log(str(error))
            self.fail(NotReadError(str(error)))
        except (BadAnswerError, ServiceBrokeOffError) as error:
            if self.stream.error is None:
                self._log(str(error))
            self.fail(error)
        except TunnelError as error:
            self.fail(error)
        except Exception:
            logger.exception("%s: exchange %s failed", self.carrier.name, self.request_id)
            self.fail(ServiceBrokeOffError("internal error"))

    def _drained(self) -> None:
        if self._told:
            return
        try:
            self._sink.writable()
        except Exception:
            logger.exception("%s: exchange %s failed in its sink", self.carrier.name, self.request_id)
            self.fail(ServiceBrokeOffError("internal error"))

    def _log(self, rule: str) -> None:
        logger.warning("%s: exchange %s ends: %s", self.carrier.name, self.request_id, rule)

    def __repr__(self) -> str:
        state = "over" if self.over else "told" if self._told else "paused" if self._paused else "running"
        return f"<{type(self).__name__} {self.request_id} {state}, {self.held_bytes} bytes held>"
