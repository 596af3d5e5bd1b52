"""The states of a client's connection: what may follow each, and what happens in it.

Who makes the moves: `reading.py` and `body_reading.py` (for what came), `endings.py` (after an answer, at a deadline,
at the end) and `connection.py` (for upgrades, and for what the transport and the server tell).

    state       may become                       because
    WAITING     HEAD, BODY, ANSWERING            bytes of a head came; the head came whole, with and without a body
                UPGRADING                        the head is the handshake of a WebSocket
    HEAD        BODY, ANSWERING, UPGRADING       the head is complete
                WAITING                          it is, and expensive to read: it waits for its turn (`backlog.py`)
                ANSWERING                        the head is refused, or late: the refusal is the answer
    BODY        TRAILERS, ANSWERING              the payload, the body is complete
                ANSWERING                        the body is refused, or late
                DROPPING, LINGERING              it was answered early, and the connection stays, or not
    TRAILERS    ANSWERING, DROPPING, LINGERING   as for BODY
    ANSWERING   WAITING, LINGERING               it was answered, and the connection stays; it ends with input unread
    DROPPING    WAITING, LINGERING               the rest of the body has come; it is too long
    UPGRADING   OPEN, ANSWERING                  the WebSocket was accepted; it is refused

Any of them, LINGERING and OPEN too, may become CLOSING: when it is over, late or drained, when the client left, and by
an abort. CLOSING becomes CLOSED once what was written is with the client, or dropped; an error of the transport leads
there from any state. CLOSED is final.

`ROWS` has the same moves, and what happens in a state: what the bytes become that arrive, when it is late, what an end
of the client's direction (FIN) means and what a drain does. The connection follows it. One request at a time is read;
what follows it is kept unread, bounded and counted (WAITING_BYTES). While it is full, and while a service does not take
a body, nothing is read.
"""

from enum import Enum
from typing import Final, NamedTuple


class State(Enum):
    """Where a connection is; the module's table says what may follow."""

    WAITING = "waiting for a request"
    HEAD = "reading a head"
    BODY = "reading a body"
    TRAILERS = "reading trailers"
    ANSWERING = "answering"
    DROPPING = "dropping the rest of a body"
    LINGERING = "lingering"
    UPGRADING = "shaking hands"
    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


WAITING, HEAD, BODY, TRAILERS, ANSWERING, DROPPING, LINGERING, UPGRADING, OPEN, CLOSING, CLOSED = State
"""By names of the module: read on the path of every request."""


class Bytes(Enum):
    """What arriving bytes become."""

    HEAD = "they are read as a head"
    BODY = "they are read as a body"
    KEPT = "they wait for the next request"
    FRAMES = "they go to the WebSocket's channel"
    DROPPED = "they are dropped"


class Late(Enum):
    """What happens at the deadline."""

    NOTHING = "the call has its own deadlines, or the client reads; an open WebSocket has its pings"
    CLOSE = "the connection is closed"
    REFUSE = "the request is refused with 408"
    SPOIL = "the call is told that its body is too slow: 408, or the answer is broken off"
    ABORT = "the connection is aborted, and what is unsent dropped"


class Fin(Enum):
    """What an end of the client's direction means."""

    CLOSE = "the client has left, and there is nothing to answer"
    LEFT = "the client has left, and its call is told"
    REST = "as LEFT, once what waits unread was read, and was not the rest of a request"
    HALF = "right after its request the client waits for its answer; later it has left"


class Drain(Enum):
    """What a drain does."""

    CLOSE = "the connection is closed, unless a request waits unread: then as FINISH"
    FINISH = "it is closed after the answer, which says so"
    LEAVE = "nothing: it ends soon by itself, or its call tells the WebSocket"


class Row(NamedTuple):
    """What happens in a state. `next`: the states that may follow, besides CLOSING and CLOSED. `seconds`: until it is
    late, from its beginning; None: the door's setting, or never."""

    next: tuple[State, ...]
    arriving: Bytes
    seconds: float | None
    late: Late
    fin: Fin
    drain: Drain


HEAD_SECONDS: Final = 20.0
"""For a head, and for the first byte of the first one; for trailers as well."""
BODY_SECONDS: Final = 60.0
LEAST_BODY_BYTES: Final = 1_024
"""Of payload in each `BODY_SECONDS` in which it is read: a client over a bad radio link sends more."""
LEAST_ANSWER_BYTES: Final = 1_024
"""Of an answer of our own, in each `LOOK_SECONDS` in which the client is behind. Answers of services have their route's
limit."""
DROPPED_BYTES: Final = 256 * 1024
"""Of a body that nobody wants. A longer rest ends the connection."""
LINGERED_BYTES: Final = 16 * 1024 * 1024
"""Read and dropped so that the client gets the answer and no reset (RFC 9112 section 9.6): ten seconds at 13 Mbit/s."""
FULL_READ_BYTES: Final = 64 * 1024
"""Dropped at once while lingering: after a read of more the connection waits for its turn. uvloop reads up to 8 MiB."""
WAITING_BYTES: Final = 64 * 1024
"""Kept of what follows a request, or of a body that waits for a link. One read may add 256 KiB to it."""
HALF_CLOSE_SECONDS: Final = 0.5
"""A client that half-closes does so within this time after its request. After a later end we assume that it left."""
HALF_CLOSED_SECONDS: Final = 5.0
"""The first answer after a half-close must begin within this time: until we send something, the client may as well
have left. One that has left resets the connection then."""
LOOK_SECONDS: Final = 60.0
"""A connection without a deadline is looked at this often."""

ROWS: Final = {
    WAITING: Row((HEAD, BODY, ANSWERING, UPGRADING), Bytes.HEAD, None, Late.CLOSE, Fin.REST, Drain.CLOSE),
    HEAD: Row((WAITING, BODY, ANSWERING, UPGRADING), Bytes.HEAD, HEAD_SECONDS, Late.REFUSE, Fin.CLOSE, Drain.FINISH),
    BODY: Row((TRAILERS, ANSWERING, DROPPING, LINGERING), Bytes.BODY, BODY_SECONDS, Late.SPOIL, Fin.REST, Drain.FINISH),
    TRAILERS: Row((ANSWERING, DROPPING, LINGERING), Bytes.BODY, HEAD_SECONDS, Late.SPOIL, Fin.REST, Drain.FINISH),
    ANSWERING: Row((WAITING, LINGERING), Bytes.KEPT, None, Late.NOTHING, Fin.HALF, Drain.FINISH),
    DROPPING: Row((WAITING, LINGERING), Bytes.BODY, 10.0, Late.CLOSE, Fin.CLOSE, Drain.FINISH),
    LINGERING: Row((), Bytes.DROPPED, 10.0, Late.CLOSE, Fin.CLOSE, Drain.LEAVE),
    UPGRADING: Row((OPEN, ANSWERING), Bytes.KEPT, None, Late.NOTHING, Fin.LEFT, Drain.FINISH),
    OPEN: Row((), Bytes.FRAMES, None, Late.NOTHING, Fin.LEFT, Drain.LEAVE),
    CLOSING: Row((), Bytes.DROPPED, 10.0, Late.ABORT, Fin.CLOSE, Drain.LEAVE),
    CLOSED: Row((), Bytes.DROPPED, None, Late.NOTHING, Fin.CLOSE, Drain.LEAVE),
}
