"""A watch of one bucket over one connection: every write from a revision on, in order, none left out.

An ordered consumer of JetStream, with nothing kept of it when it breaks: the owner begins another one after the last
revision that he saw. It breaks when a message is missing, and when neither writes nor heartbeats come, as after the
bucket or the consumer's server is gone.

What a burst brings is taken in slices: other work of the event loop gets its turn at least every 5 ms.
"""

import asyncio
import logging
import time
from collections.abc import Callable

import msgspec

from .jetstream import MARKERS, JetStream
from .requests import Message, RequestError

logger = logging.getLogger("gateway.cluster")

STOOD_STILL_SECONDS = 60.0
"""After a pause of this process that was longer, what the watch still brings is too old to go on from."""

SLICE_SECONDS = 0.005
SILENCE_SECONDS = 2.0
"""Four heartbeats. A loop that stands still for so long costs a watch, and nothing else."""

_LOOK_SECONDS = 0.5


class Delivery(msgspec.Struct, frozen=True):
    """One write."""

    key: str
    value: bytes | None
    """None: the key was deleted."""
    revision: int
    pending: int
    """How many more there are as of now."""
    written: float
    """When, by the server's clock, in Unix seconds."""


class Watch:
    """One watch. `take` is called with each write, `caught_up` as soon as no more are there, once."""

    def __init__(
        self,
        stream: JetStream,
        *,
        start: int,
        take: Callable[[Delivery], None],
        caught_up: Callable[[], None],
        headers_only: bool = False,
    ) -> None:
        self._stream = stream
        self._start = start
        self._take = take
        self._caught_up = caught_up
        self._headers_only = headers_only
        self._prefix = len(stream.subject(""))
        self._last = 0
        """The consumer's own number of the last message taken."""
        self._is_caught_up = False
        self._broken = asyncio.Event()
        self._why = ""
        self._heard = 0.0
        self.alive = 0.0
        """When it was last known to be whole, on the loop's clock."""
        self._slice_began = 0.0
        self.slices = 0
        """How often the loop was let on in the middle of a burst."""

    async def run(self) -> str:
        """Until it breaks; says why. Raises RequestError."""
        connection = self._stream.connection
        inbox = connection.new_inbox()
        unsubscribe = await connection.subscribe(inbox, self._receive)
        name = None
        try:
            consumer = await self._stream.consume(inbox, start=self._start, headers_only=self._headers_only)
            name = consumer.name
            if consumer.num_pending == 0:
                self._tell_caught_up()
            await self._until_broken()
        finally:
            await unsubscribe()
            if name is not None and not connection.ended.is_set():
                await self._end(name)
        return self._why

    def break_off(self, why: str) -> None:
        """The owner knows that it is of no more use."""
        self._why = self._why or why
        self._broken.set()

    async def _until_broken(self) -> None:
        clock = asyncio.get_running_loop().time
        self._heard = self.alive = clock()
        while not self._broken.is_set():
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._broken.wait()
            except TimeoutError:
                now = clock()
                if now - self.alive > STOOD_STILL_SECONDS:
                    self.break_off(f"this process stood still for {now - self.alive:.0f} s")
                elif now - self._heard > SILENCE_SECONDS:
                    self.break_off("no heartbeat came")
                else:
                    self.alive = now

    async def _end(self, name: str) -> None:
        try:
            await self._stream.end_consumer(name)
        except RequestError as error:  # it ends by itself, too; the next request says what is wrong
            logger.debug("a consumer of %s was left to itself: %s", self._stream.stream, error)

    async def _receive(self, message: Message) -> None:
        now = time.perf_counter()
        if now - self._slice_began > SLICE_SECONDS:
            await asyncio.sleep(0)
            self.slices += 1
            self._slice_began = time.perf_counter()
        self._heard = asyncio.get_running_loop().time()
        if self._broken.is_set():
            return
        if (message.headers or {}).get("Status") == "100":
            await self._control(message)
            return
        try:
            number, delivery = self._read(message)
        except (IndexError, ValueError):
            self.break_off(f"{message.reply} is not understood")
            return
        if number != self._last + 1:
            self.break_off(f"message {self._last + 1:,} of the watch is missing")
            return
        self._last = number
        try:
            self._take(delivery)
        except Exception:
            logger.exception("a change of %s in %s could not be taken", delivery.key, self._stream.stream)
        if delivery.pending == 0:
            self._tell_caught_up()

    async def _control(self, message: Message) -> None:
        """A heartbeat, or the question whether we keep up."""
        headers = message.headers or {}
        back = message.reply or headers.get("Nats-Consumer-Stalled", "")
        if back:
            try:
                await self._stream.connection.publish(back)
            except RequestError as error:
                logger.debug("flow control of %s: %s", self._stream.stream, error)
        sent = headers.get("Nats-Last-Consumer")
        if sent is not None and sent != str(self._last):
            self.break_off(f"the watch has {self._last:,} of {sent} messages")

    def _read(self, message: Message) -> tuple[int, Delivery]:
        """The consumer's number of the message, and what it tells. Raises IndexError, ValueError.

        The reply subject is $JS.ACK.STREAM.CONSUMER.TIMES.REVISION.NUMBER.TIME.PENDING; newer servers may put domain
        and account before the stream, and a token at the end.
        """
        parts = message.reply.split(".")
        _, revision, number, written, pending = parts[6:11] if len(parts) > 9 else parts[4:9]
        deleted = (message.headers or {}).get("KV-Operation") in MARKERS
        return int(number), Delivery(
            key=message.subject[self._prefix :],
            value=None if deleted else message.data,
            revision=int(revision),
            pending=int(pending),
            written=int(written) / 1e9,
        )

    def _tell_caught_up(self) -> None:
        if not self._is_caught_up:
            self._is_caught_up = True
            self._caught_up()
