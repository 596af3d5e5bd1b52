"""Answers the queries of another node for the operator's API: each on its stream, by a task of its own.

Whoever has a peer link may ask: its secret or certificate is the authorisation. Bounds: `RUNNING` queries of a node at
once, `SECONDS` for each from its preamble to its last byte, `QUERY_BYTES` and `REPLY_BYTES`. What waits to be sent is
counted in the account. An asking node that leaves ends its query; nothing is left of it then.
"""

import asyncio
import logging
from typing import Final

from tunnel.account import Holding
from tunnel.errors import MessageTooLargeError, NodeBusyError, RequestRefusedError, ServiceSlowError, TunnelError
from tunnel.gateway.yamux import YamuxStream
from tunnel.override import override
from tunnel.streams import StreamOwner

from ...node.asking import Operator, Reply
from ..values import ValueIgnoredError
from .query import QUERY_BYTES, REPLY_BYTES, head_of, read
from .reasons import answer_to
from .session import PeerSession

logger = logging.getLogger("gateway")

RUNNING: Final = 8
"""Of one node: what an operator asks at once, with a few that watch."""
SECONDS: Final = 5.0
"""More than the asking node waits."""
_PIECE_BYTES: Final = 64 * 1024


class Queries:
    """Those of one other node."""

    def __init__(self, session: PeerSession) -> None:
        self._session = session
        self._running: set[_Asked] = set()

    def __len__(self) -> int:
        return len(self._running)

    def begin(self, stream: YamuxStream, early: bytes, operator: Operator | None) -> None:
        """Take over a stream whose preamble announced a query. `early`: what came behind it."""
        if operator is None:
            _refuse(self._session, stream, RequestRefusedError("this node answers no queries for the operator"))
        elif len(self._running) >= RUNNING:
            _refuse(self._session, stream, NodeBusyError(f"{RUNNING} queries of this node are running already"))
        else:
            asked = _Asked(self._session, stream, operator)
            self._running.add(asked)
            asked.task.add_done_callback(lambda _: self._running.discard(asked))
            if early:
                asked.take(early)


class _Asked(StreamOwner):
    """One query."""

    def __init__(self, session: PeerSession, stream: YamuxStream, operator: Operator) -> None:
        loop = asyncio.get_running_loop()
        self._session = session
        self._stream = stream
        self._operator = operator
        self._holding = Holding(session.account)
        self._received = b""
        self._whole: asyncio.Future[bytes] = loop.create_future()
        self._room = asyncio.Event()
        self._has_answered = False
        stream.owner = self
        self.task = loop.create_task(self._run(), name=f"query of node {session.node}")

    # --- told by the stream

    @override
    def data_received(self, data: bytes, /) -> None:
        self._stream.acknowledge(len(data))
        self.take(data)

    def take(self, data: bytes) -> None:
        """A part of the query."""
        if self._whole.done():
            return
        self._received += data
        self._holding.set(len(self._received))
        if len(self._received) > QUERY_BYTES:
            self._whole.set_exception(RequestRefusedError(f"the query has more than {QUERY_BYTES} bytes"))

    @override
    def end_received(self) -> None:
        if not self._whole.done():
            self._whole.set_result(self._received)

    @override
    def stream_lost(self, error: TunnelError, /) -> None:
        self.task.cancel()

    @override
    def stream_writable(self) -> None:
        self._room.set()

    # --- the task

    async def _run(self) -> None:
        try:
            async with asyncio.timeout(SECONDS):
                query = read(await self._whole)
                reply = await self._operator(query)
                await self._send(reply)
        except ValueIgnoredError as error:
            self._give_up(RequestRefusedError(f"the query cannot be read: {error}"))
        except TimeoutError:
            self._give_up(ServiceSlowError(f"the query was not answered within {SECONDS:g} s"))
        except TunnelError as error:
            self._give_up(error)
        except Exception:
            logger.exception("node %s: a query failed", self._session.node)
            self._give_up(RequestRefusedError("internal error"))
        finally:
            self._holding.close()
            if self._whole.done() and not self._whole.cancelled():
                self._whole.exception()  # where nobody has seen it

    async def _send(self, reply: Reply) -> None:
        if len(reply.body) > REPLY_BYTES:
            raise MessageTooLargeError(f"the reply has more than {REPLY_BYTES} bytes; ask for fewer rows")
        stream, rest = self._stream, memoryview(reply.body)
        self._has_answered = True
        self._holding.set(len(rest))
        has_room = stream.write(head_of(reply))
        while rest:
            if not has_room:
                self._room.clear()
                await self._room.wait()
            piece, rest = rest[:_PIECE_BYTES], rest[_PIECE_BYTES:]
            has_room = stream.write(bytes(piece))
            self._holding.set(len(rest))
        stream.write_end()

    def _give_up(self, error: TunnelError) -> None:
        if self._has_answered:
            self._stream.reset()
        else:
            _refuse(self._session, self._stream, error)

    def __repr__(self) -> str:
        return f"<_Asked by {self._session.node}, {'over' if self.task.done() else 'running'}>"


def _refuse(session: PeerSession, stream: YamuxStream, error: TunnelError) -> None:
    """Answer that there is no reply, and end the stream."""
    logger.info("node %s: a query for the operator was refused: %s", session.node, error)
    stream.write(answer_to(error))
    session.doom(stream)
