"""One HTTP/1.1 exchange: the door's `Exchange`, from the written head to the end of the answer.

It belongs to an `HttpConnection`, and owns its stream until it is over. An answer that came whole, for a sink that
takes it so (`WholeSink`), passes through the connection's reader; all others have an `Answer`, from their first piece
on. While paused it calls only `failed` and `writable` of the sink. It never calls the sink once it is over, nor from
within `send_data`, `end` or `reset`.

States, by what marks each, and what may follow. While one lasts, the request may be complete or not, and the sink may
have paused; both matter to what is called, neither to what may follow.

    state          marked by                     may become            because
    ASKED          no `_answer`                  ANSWERING             the first piece of an answer came, not all of it
                                                 OVER                  all of it came, or it ended without one
    ANSWERING      `_answer`                     OPEN                  the answer is a 101
                                                 OVER                  the answer is complete, or broke off
    OPEN           `_upload` is _RAW             OURS ENDED            the door ended our direction
                                                 THEIRS ENDED          the service ended its direction
    OURS ENDED     a 101, `_upload` is _SENT     OVER                  the service ended its direction
    THEIRS ENDED   `_told_end`                   OVER                  the door ended our direction
    OVER           `_over`                       ASKED                 it begins again, for another sink

A reset, a lost stream and a refused body lead from any state to OVER, and `splice` from OPEN and THEIRS ENDED: the
stream then has another owner. Only an exchange whose answer was told by `whole` begins again: its sink has forgotten it
(see `WholeSink`). For all others OVER is final.

Invariants: each received byte is acknowledged once: when its data is delivered and the sink did not pause, else on
`resume`, and at the latest when the exchange is over. So the stream counts all bytes that wait here; what arrives
while paused is kept unparsed, bounded by the stream's window. By the time the sink is told the end, the connection is
back in the pool or closed, so the door may start its next exchange at once. Once over, every method does nothing. One
that may begin again keeps nothing of the request, its answer or its sink.
"""

from collections import deque
from collections.abc import Callable
from typing import NoReturn, Protocol

from tunnel.errors import (
    BadAnswerError,
    LinkLostError,
    ServiceBrokeOffError,
    ServiceUnreachableError,
    StreamRefusedError,
    TunnelError,
)
from tunnel.http1.answer import Answer
from tunnel.http1.request import BodyLengthError
from tunnel.http1.whole import WholeReader
from tunnel.nobody import NOBODY
from tunnel.override import override
from tunnel.port import Exchange, Headers, RequestHead, Sink, Spliced, SplicedOwner
from tunnel.streams import ByteStream, StreamOwner

_SENT, _COUNTED, _CHUNKED, _RAW = range(4)


class _Connection(Protocol):
    """What an exchange asks of its connection. `HttpConnection` documents it."""

    uses: int
    input_ended: bool
    closed_early: bool
    suspect: bool
    reader: WholeReader
    spare: "StreamExchange | None"

    def become_idle(self, keep_alive_seconds: float | None) -> None: ...

    def splice(self, owner: StreamOwner, /) -> SplicedOwner: ...

    def finish(self) -> None: ...
    def abort(self) -> None: ...
    def lose(self) -> None: ...


class StreamExchange(Exchange, StreamOwner):
    """An `Exchange` over one byte stream.

    The request is complete after `body_length` bytes (at once if 0), or at `end` if the length is unknown. More bytes,
    or an early `end`, reset the exchange and raise BodyLengthError. After a 101, `end` ends our direction; the
    exchange is over once both directions are.
    """

    __slots__ = (
        "_answer",
        "_blocked",
        "_connection",
        "_delivering",
        "_for_head",
        "_for_upgrade",
        "_input_ended",
        "_left",
        "_over",
        "_paused",
        "_sink",
        "_stream",
        "_taken",
        "_told_end",
        "_upload",
        "_waiting",
        "_whole",
    )

    def __init__(self, connection: _Connection, stream: ByteStream, head: RequestHead, sink: Sink) -> None:
        self._connection = connection
        self._stream = stream
        self._sink = sink
        self._answer: Answer | None = None
        """None until a piece came that is not the whole answer."""
        self._for_head = head.method == b"HEAD"
        self._for_upgrade = head.upgrade
        self._left = length = head.body_length or 0
        self._upload = _CHUNKED if head.body_length is None else _COUNTED if length else _SENT
        self._whole: Callable[[int, Headers, bytes, bytes], None] | None = None
        """The sink's, until a piece came that is not the whole answer; None where none may be told whole."""
        if self._upload == _SENT and not self._for_upgrade and not self._for_head:
            self._whole = getattr(sink, "whole", None)
        self._waiting: deque[bytes] | None = None
        self._taken = 0
        """Bytes parsed and not acknowledged yet."""
        self._paused = False
        self._delivering = False
        self._blocked = False
        self._input_ended = False
        self._told_end = False
        """Only after a 101: the service ended its direction; ours continues."""
        self._over = False

    def begin_again(self, sink: Sink) -> None:
        """Carry another request, after an answer that was told by `whole`.

        It has no body, is not HEAD and no upgrade, like the one before: nothing but the sink is different.
        """
        self._sink = sink
        self._whole = getattr(sink, "whole", None)
        self._over = False

    def __repr__(self) -> str:
        state = "over" if self._over else "paused" if self._paused else "running"
        return f"<StreamExchange {state}, request {'sent' if self._upload == _SENT else 'unfinished'}>"

    # --- told by the door

    @property
    @override
    def held_bytes(self) -> int:
        return 0 if self._over else self._stream.held_bytes

    @override
    def send_data(self, data: bytes, /) -> bool:
        if self._over or not data:
            return True
        if self._upload == _COUNTED:
            self._left -= len(data)
            if self._left < 0:
                self._refuse_body("more body than announced")
            if self._left == 0:
                self._upload = _SENT
        elif self._upload == _CHUNKED:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        elif self._upload == _SENT:
            self._refuse_body("body after the end of the request")
        welcome = self._stream.write(data)
        if self._told_end:
            return True  # the sink is not called any more, so no `writable` can follow
        self._blocked = not welcome
        return welcome

    @override
    def end(self) -> None:
        if self._upload == _SENT or self._over:
            return
        if self._upload == _COUNTED:
            self._refuse_body("less body than announced")
        if self._upload == _CHUNKED:
            self._stream.write(b"0\r\n\r\n")
        else:
            self._stream.write_end()
        self._upload = _SENT
        if self._told_end:
            self._release()
            self._connection.finish()

    @override
    def reset(self) -> None:
        if not self._over:
            self._release()
            self._connection.abort()

    @override
    def pause(self) -> None:
        self._paused = not self._over
        self._whole = None  # what waits is told in several calls

    @override
    def resume(self) -> None:
        if not self._paused:
            return
        self._paused = False
        if self._delivering:
            return  # called by the sink during a delivery, which continues
        if self._answer is not None:
            self._deliver(self._answer)
        while self._waiting and not self._paused:
            self._take(self._waiting.popleft())
        if self._input_ended and not self._paused and not self._over:
            self._end_input()

    @override
    def splice(self, owner: StreamOwner, /) -> Spliced | None:
        if self._upload != _RAW or self._over:
            return None
        waiting = b"".join(self._waiting or ())
        untaken_bytes = self._taken + len(waiting)
        self._waiting = None
        self._taken = 0
        if self._answer is not None:
            waiting = self._answer.body + waiting
        self._release()
        connection = self._connection
        return Spliced(self._stream, connection.splice(owner), connection.input_ended, waiting, untaken_bytes)

    # --- told by the stream

    @override
    def data_received(self, data: bytes, /) -> None:
        whole = self._whole
        if whole is not None:
            connection = self._connection
            found = connection.reader.read(data)
            if found is not None:
                # Over: the short form of `_deliver` and `_complete`.
                status, headers, block, body, keep_alive_seconds = found
                self._over = True
                self._whole = None
                self._sink = NOBODY
                self._stream.acknowledge(len(data))
                connection.spare = self
                connection.become_idle(keep_alive_seconds)
                whole(status, headers, block, body)  # the last step: by now this may be another sink's exchange
                return
        if self._paused:
            if self._waiting is None:
                self._waiting = deque()
            self._waiting.append(data)
        elif self._upload != _RAW or self._delivering:
            self._take(data)
        else:
            # After a 101 there is nothing to parse: `_take` without the detour. All WebSocket data goes this way.
            self._taken += len(data)
            self._delivering = True
            try:
                self._sink.data(data)
            finally:
                self._delivering = False
            if self._taken and not self._paused:
                taken, self._taken = self._taken, 0
                self._stream.acknowledge(taken)

    @override
    def end_received(self) -> None:
        self._input_ended = self._connection.input_ended = True
        if not self._paused and not self._over:
            self._end_input()

    def stream_lost(self, error: TunnelError, /) -> None:
        """The stream is gone, in both directions.

        On a reused connection, before any byte of an answer, the service was most likely just closing it, whatever
        the error says (TLS without close_notify, for one): a new connection may succeed.
        """
        if self._over:
            return
        answered = self._answer is not None and self._answer.started
        if not answered and self._connection.uses > 1 and not isinstance(error, LinkLostError):
            self._connection.closed_early = True
        self._connection.lose()
        if answered:
            error = error.after_answer_began()
        elif not error.retryable and self._connection.uses > 1:
            error = self._unanswered()
        self._fail(error)

    @override
    def stream_writable(self) -> None:
        if self._blocked:
            self._blocked = False
            self._sink.writable()

    # --- the answer

    def _take(self, data: bytes) -> None:
        answer = self._answer
        if answer is None:
            self._whole = None
            answer = self._answer = Answer(for_head=self._for_head, for_upgrade=self._for_upgrade)
        self._taken += len(data)
        try:
            answer.feed(data)
        except BadAnswerError as error:
            self._fail(error)
        else:
            self._deliver(answer)

    def _end_input(self) -> None:
        answer = self._answer
        if answer is None or not answer.started:
            self._fail(self._unanswered())
            return
        try:
            answer.feed_end()
        except (ServiceBrokeOffError, BadAnswerError) as error:
            self._fail(error)
        else:
            self._deliver(answer)

    def _deliver(self, answer: Answer) -> None:
        """Give the sink what was parsed until it pauses; acknowledge it if it did not."""
        sink = self._sink
        self._delivering = True
        try:
            # If the sink resets the exchange here, the answer is empty afterwards.
            while answer.heads and not self._paused:
                head = answer.heads.pop(0)
                if head.status == 101:
                    self._upload = _RAW
                sink.head(head)
            if answer.body and not self._paused:
                body, answer.body = answer.body, b""
                sink.data(body)
            if answer.complete and answer.trailers and not self._paused:
                trailers, answer.trailers = answer.trailers, []
                sink.trailers(trailers)
        finally:
            self._delivering = False
        if self._paused or self._over:
            return
        if answer.complete and not self._told_end:
            self._complete(answer)
        elif self._taken:
            taken, self._taken = self._taken, 0
            self._stream.acknowledge(taken)

    def _complete(self, answer: Answer) -> None:
        sink = self._sink
        if self._upload == _RAW:
            self._told_end = True
            self._blocked = False
            self._acknowledge_all()
        else:
            self._release()
            if self._upload != _SENT or answer.leftover:
                self._connection.abort()
            elif answer.persistent and not self._input_ended:
                self._connection.suspect = answer.announces_unsent
                self._connection.become_idle(answer.keep_alive_seconds)
            else:
                self._connection.finish()
        sink.end()

    def _unanswered(self) -> TunnelError:
        if self._connection.uses > 1:
            self._connection.closed_early = True
            return StreamRefusedError("the service closed its idle connection as the request came")
        error = ServiceUnreachableError("the stream ended without a byte of an answer")
        error.retryable = True  # refused, or killed while it worked on it: what may be repeated gets another chance
        return error

    def _fail(self, error: TunnelError) -> None:
        sink, tell = self._sink, not self._told_end
        self._release()
        if self._input_ended and self._upload == _SENT:
            self._connection.finish()
        else:
            self._connection.abort()
        if tell:
            sink.failed(error)

    def _refuse_body(self, why: str) -> NoReturn:
        self.reset()
        raise BodyLengthError(why)

    def _release(self) -> None:
        """Be over: forget the sink, and acknowledge what it will never get."""
        self._over = True
        self._paused = False
        self._blocked = False
        self._acknowledge_all()
        if self._answer is not None:
            self._answer.close()
        self._whole = None
        self._sink = NOBODY  # the door and its exchange refer to each other: break the cycle early

    def _acknowledge_all(self) -> None:
        size = self._taken
        self._taken = 0
        if self._waiting:
            size += sum([len(data) for data in self._waiting])
            self._waiting.clear()
        if size:
            self._stream.acknowledge(size)
