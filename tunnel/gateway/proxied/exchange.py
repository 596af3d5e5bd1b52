"""One exchange carried as messages, as its door sees it: what HTTP requests and WebSockets have in common here.

What the agent sends goes into the exchange's inbox, so the link's reader never waits. One task takes it out and calls
the sink, and waits while the sink is paused. The way up has no task: it is a lane of the link.

Four ways to end: the answer ends in order; the door resets; `fail` tells the sink why at once; `fail_in_turn` tells it
after everything that came before.

Invariants: the sink is never called from within `open`, `send_data`, `end` or `reset`, and never after its end, a
failure or a reset. A sink that raises costs only its own exchange. A rule that the agent breaks ends this exchange,
with one log line that names the rule and the link. The task ends with the exchange.
"""

import asyncio
import logging
from uuid import uuid4

import anyio

from tunnel.account import Holding
from tunnel.errors import BadAnswerError, MessageTooLargeError, NotReadError, ServiceBrokeOffError, TunnelError
from tunnel.gateway.proxied.answer import AnswerHead, ProxiedAnswer, error_of
from tunnel.gateway.proxied.carrying import ExchangeCarrier
from tunnel.gateway.proxied.inbox import OverflowedError
from tunnel.gateway.proxied.proxy_stream import ABORT, END, HEAD, encode_head
from tunnel.nobody import NOBODY
from tunnel.override import override
from tunnel.port import Exchange, RequestHead, ResponseHead, Sink, Spliced
from tunnel.streams import StreamOwner
from tunnel.wire.proxy_messages import ProxyRequest

logger = logging.getLogger(__name__)


class ProxiedExchange(Exchange):
    """The common part. `ProxiedHttp` and `ProxiedWebSocket` say what the messages mean."""

    carrier: ExchangeCarrier

    def __init__(
        self,
        carrier: ExchangeCarrier,
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
        """The agent sent the answer's first message."""
        self.answer_ended = False
        """The agent sent the answer's last message: nothing more is expected of it."""
        self.over = False
        """Nothing is held, sent or delivered any more."""
        self.stream = carrier.open_stream(
            self.request_id, self._drained, whole_bytes=whole_bytes, interval_seconds=interval_seconds
        )
        self._sink = sink
        self._agent_goes_on = False  # we stopped reading its answer, and it does not know
        self._told = False  # the sink was told of the end, or must hear nothing more
        self._paused = False
        self._in_hand = Holding(carrier.account)  # taken out of the inbox, and the sink is paused
        self._resumed: asyncio.Future[None] | None = None
        self._task = asyncio.get_running_loop().create_task(self._run())

    # --- told by the door

    @property
    @override
    def held_bytes(self) -> int:
        return 0 if self.over else self.stream.held_bytes + self._in_hand.size_bytes

    @override
    def splice(self, owner: StreamOwner, /) -> Spliced | None:
        return None  # there is no stream to give

    @override
    def reset(self) -> None:
        if not self.over:
            self._take_sink()
            self._cancel()
            self._close()

    @override
    def pause(self) -> None:
        self._paused = not self._told

    @override
    def resume(self) -> None:
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

    def whole_received(self, head: AnswerHead, body: bytes) -> None:
        """`proxy_response`, or a binary message: the whole answer."""
        raise NotImplementedError

    def abort_received(self, text: str) -> None:
        """`proxy_response_abort` or `proxy_error`."""
        self.fail_in_turn(error_of(text, began=self.answer_began))

    def rule_broken(self, rule: str) -> None:
        """The agent broke its protocol in this exchange."""
        self._log(rule)
        self.fail_in_turn(BadAnswerError(rule), agent_goes_on=True)

    # --- told by the carrier: what becomes of the link

    @property
    def adoptable(self) -> bool:
        """Whether its answer may come on another link than the request left on."""
        raise NotImplementedError

    def adopted(self, carrier: ExchangeCarrier) -> None:
        """Its agent came back on another link, and answers there."""
        self.carrier = carrier

    def link_lost(self, error: TunnelError) -> None:
        """The link is gone. What arrived completely is still delivered."""
        raise NotImplementedError

    def fail(self, error: TunnelError) -> None:
        """End now: the sink is told why, and what was not delivered is lost."""
        if self._told:
            self.reset()
            return
        sink = self._take_sink()
        self._cancel()
        self._close()
        try:
            sink.failed(error.after_answer_began() if self.answer_began else error)
        except Exception:
            logger.exception("%s: exchange %s failed in its sink", self.carrier.name, self.request_id)

    def fail_in_turn(self, error: TunnelError, *, agent_goes_on: bool = False) -> None:
        """Fail once everything that came before is delivered. `agent_goes_on`: the agent does not know."""
        self.stream.error = error
        self._agent_goes_on = agent_goes_on
        self._put(ABORT)
        self._end_answer()

    # --- for the two kinds: to the agent

    def _send_request(self, request: ProxyRequest) -> bool:
        """Queue the request. False: the agent does not accept one of this size, and the exchange fails."""
        try:
            self.stream.send_request(request)
        except MessageTooLargeError as error:
            self._log(f"the request's head: {error}")
            self.fail_in_turn(error)
            return False
        return True

    # --- for the two kinds: into the inbox

    def _put(self, kind: int, payload: bytes = b"") -> None:
        """Put a piece into the inbox. One that does not fit ends the exchange."""
        try:
            self.stream.deliver(kind, payload)
        except OverflowedError as error:
            self._log(str(error))
            self.fail(NotReadError(str(error)))

    def _put_head(self, head: AnswerHead) -> None:
        self.answer_began = True
        self._put(HEAD, encode_head(head))

    def _put_end(self) -> None:
        self._put(END)
        self._end_answer()

    def _end_answer(self) -> None:
        """Later messages with this id are for nobody."""
        self.answer_ended = True
        self.carrier.answer_ended(self.request_id)

    # --- for the two kinds: out of the inbox, in the task

    async def _deliver(self) -> None:
        """Take what comes and tell the sink, until the end. Raises TunnelError."""
        raise NotImplementedError

    async def _deliver_answer(self, head: AnswerHead, *, upgrade: bool = False) -> None:
        """Deliver an HTTP answer: its head, then its body."""
        answer = ProxiedAnswer(head, self.method, upgrade=upgrade)
        await self._unpaused()
        self._tell_head(answer.head)
        while not self._told:
            await self._unpaused()
            try:
                data = await self.stream.receive_data()
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
        """Wait while the sink is paused. `in_hand_bytes`, already taken out of the inbox, are counted meanwhile."""
        if not self._waits():
            return
        self._in_hand.set(in_hand_bytes)
        try:
            while self._waits():
                self._resumed = asyncio.get_running_loop().create_future()
                await self._resumed
        finally:
            self._resumed = None
            self._in_hand.set(0)

    def _waits(self) -> bool:
        return self._paused and not self._told

    def _tell_head(self, head: ResponseHead) -> None:
        if not self._told:
            self._sink.head(head)

    def _tell_data(self, data: bytes) -> bool:
        """False: the sink listens no more."""
        if self._told:
            return False
        self._sink.data(data)
        return True

    def _tell_end(self) -> None:
        if not self._told:
            sink = self._take_sink()
            self._answer_delivered()
            sink.end()

    # --- for the two kinds: the end

    def _answer_delivered(self) -> None:
        """The sink is about to be told of the end: close, unless the way up goes on."""
        self._close()

    def _cancel(self) -> None:
        """Tell the agent that nobody waits any more, if it knows of the exchange and is not done with it."""
        raise NotImplementedError

    def _take_sink(self) -> Sink:
        """Take the sink out: from now on only the caller tells it anything."""
        sink, self._sink = self._sink, NOBODY
        self._paused = False
        self._in_hand.close()
        if not self._told:
            self._told = True
            self.carrier.delivered(self.request_id)
        if self._task is not asyncio.current_task():
            self._task.cancel()
        return sink

    def _close(self) -> None:
        """Release everything that is held. Idempotent."""
        self.over = True
        self.carrier.close_exchange(self.request_id)

    # --- inside

    async def _run(self) -> None:
        try:
            await self._deliver()
        except anyio.EndOfStream:
            pass  # whoever ended the exchange closed the stream under us
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
