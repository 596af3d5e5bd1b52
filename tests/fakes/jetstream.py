"""JetStream as one bucket's mirror sees it, in memory: a `Server`, and a `Connection` to it for each node.

    server = Server("b")
    connection = server.connect()      # what the engine would hand to a member
    server.put("key", b"1")            # somebody else writes
    server.heartbeat()

`server.swallow = 1` loses the next delivery, `server.is_silent` loses answers, `server.refusal` is the error of each
answer. `server.make_anew()` is a bucket that was lost.
"""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from app.cluster.requests import LostError, Message, NoAnswerError, NobodyError, NotSentError

Receive = Callable[[Message], Awaitable[None]]


class Delivered(msgspec.Struct):
    subject: str
    reply: str
    data: bytes
    headers: dict[str, str] | None = None


class Consumer:
    """Sends to one inbox."""

    def __init__(self, connection: "Connection", inbox: str, *, headers_only: bool) -> None:
        self.connection = connection
        self.inbox = inbox
        self.headers_only = headers_only
        self.sent = 0

    def send(self, subject: str, revision: int, data: bytes, headers: dict[str, str] | None, pending: int) -> None:
        self.sent += 1
        server = self.connection.server
        if server.swallow:
            server.swallow -= 1
            return
        reply = f"$JS.ACK.KV_{server.name}.c.1.{revision}.{self.sent}.1790000000000000000.{pending}"
        payload = b"" if self.headers_only else data
        self.connection.deliver(self.inbox, Delivered(subject, reply, payload, headers))


class Server:
    """A bucket's stream, with history 1."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.makings = 1
        self.is_there = False
        self.last = 0
        self.messages: dict[str, tuple[int, bytes, dict[str, str] | None]] = {}
        self.consumers: dict[str, Consumer] = {}
        self.calls: list[str] = []
        self.swallow = 0
        self.is_silent = False
        self.refusal: tuple[int, str] | None = None
        self.has_jetstream = True

    def connect(self) -> "Connection":
        return Connection(self)

    def make_anew(self) -> None:
        self.makings += 1
        self.last = 0
        self.messages.clear()
        self.consumers.clear()

    def subject(self, key: str) -> str:
        return f"$KV.{self.name}.{key}"

    def put(self, key: str, value: bytes | None) -> int:
        return self.write(self.subject(key), value or b"", {"KV-Operation": "DEL"} if value is None else None)

    def write(self, subject: str, data: bytes, headers: dict[str, str] | None) -> int:
        self.last += 1
        self.messages[subject] = (self.last, data, headers)
        for consumer in self.consumers.values():
            consumer.send(subject, self.last, data, headers, 0)
        return self.last

    def heartbeat(self, *, stalled: str = "") -> None:
        for consumer in self.consumers.values():
            headers = {"Status": "100", "Nats-Last-Consumer": str(consumer.sent)}
            if stalled:
                headers["Nats-Consumer-Stalled"] = stalled
            consumer.connection.deliver(consumer.inbox, Delivered(consumer.inbox, "", b"", headers))

    def answer(self, connection: "Connection", subject: str, asked: Any, headers: dict[str, str] | None) -> Any:
        if self.refusal is not None:
            return _error(*self.refusal)
        if not subject.startswith("$JS.API."):
            return self._written(subject, asked, headers or {})
        call, _, rest = subject.removeprefix("$JS.API.").partition(f".KV_{self.name}")
        asked = msgspec.json.decode(asked) if asked else {}
        if not self.is_there and call != "STREAM.CREATE":
            return _error(10059, "stream not found")
        return {
            "STREAM.INFO": self._info,
            "STREAM.CREATE": self._made,
            "CONSUMER.CREATE": lambda: self._consumer(connection, asked["config"]),
            "CONSUMER.DELETE": lambda: {"success": self.consumers.pop(rest[1:], None) is not None},
            "STREAM.MSG.GET": lambda: self._last(asked["last_by_subj"]),
            "STREAM.PURGE": lambda: self._purged(asked["filter"], asked["seq"]),
        }[call]()

    def _made(self) -> Any:
        self.is_there = True
        return self._info()

    def _info(self) -> Any:
        return {
            "created": f"2026-01-01T00:00:0{self.makings}Z",
            "state": {"messages": len(self.messages), "last_seq": self.last},
        }

    def _consumer(self, connection: "Connection", config: Any) -> Any:
        inbox, start = config["deliver_subject"], config["opt_start_seq"]
        name = f"c{len(self.calls)}"
        consumer = self.consumers[name] = Consumer(connection, inbox, headers_only=config["headers_only"])
        due = sorted((held[0], subject, *held[1:]) for subject, held in self.messages.items() if held[0] >= start)
        for number, (revision, subject, data, headers) in enumerate(due, 1):
            consumer.send(subject, revision, data, headers, len(due) - number)
        return {"name": name, "num_pending": len(due)}

    def _last(self, subject: str) -> Any:
        if subject not in self.messages:
            return _error(10037, "no message found")
        revision, _, headers = self.messages[subject]
        lines = "NATS/1.0\r\n" + "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items()) + "\r\n"
        return {"message": {"seq": revision, "hdrs": base64.b64encode(lines.encode()).decode()}}

    def _purged(self, subject: str, before: int) -> Any:
        if subject in self.messages and self.messages[subject][0] < before:
            del self.messages[subject]
            return {"purged": 1}
        return {"purged": 0}

    def _written(self, subject: str, data: bytes, headers: dict[str, str]) -> Any:
        last = self.messages.get(subject, (0,))[0]
        expected = headers.pop("Nats-Expected-Last-Subject-Sequence", str(last))
        if int(expected) != last:
            return _error(10071, f"wrong last sequence: {last}")
        return {"stream": f"KV_{self.name}", "seq": self.write(subject, data, headers or None)}


class Connection:
    """One node's connection to it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.ended = asyncio.Event()
        self.why = "the connection ended"
        self.max_payload = 1_048_576
        self.published: list[str] = []
        self._inboxes: dict[str, asyncio.Queue[Delivered]] = {}
        self._made = 0

    def new_inbox(self) -> str:
        self._made += 1
        return f"_INBOX.{self._made}"

    def deliver(self, inbox: str, message: Delivered) -> None:
        if inbox in self._inboxes and not self.ended.is_set():
            self._inboxes[inbox].put_nowait(message)

    async def request(
        self, subject: str, payload: bytes = b"", *, headers: dict[str, str] | None = None, seconds: float = 2.0
    ) -> bytes:
        if self.ended.is_set():
            raise NotSentError(self.why)
        self.server.calls.append(subject)
        await asyncio.sleep(0)
        if not self.server.has_jetstream:
            raise NobodyError(f"nobody answers {subject}")
        if self.server.is_silent:
            try:
                await asyncio.wait_for(self.ended.wait(), seconds)
            except TimeoutError:
                raise NoAnswerError("no answer") from None
            raise LostError(self.why)
        return msgspec.json.encode(self.server.answer(self, subject, payload, dict(headers or {})))

    async def publish(self, subject: str, payload: bytes = b"") -> None:
        self.published.append(subject)

    async def subscribe(self, subject: str, receive: Receive) -> Callable[[], Awaitable[None]]:
        queue = self._inboxes[subject] = asyncio.Queue()

        async def pass_on() -> None:
            while True:
                await receive(await queue.get())

        task = asyncio.ensure_future(pass_on())

        async def unsubscribe() -> None:
            self._inboxes.pop(subject, None)
            task.cancel()
            await asyncio.wait([task])

        return unsubscribe


def _error(number: int, text: str) -> Any:
    return {"error": {"code": 400, "err_code": number, "description": text}}
