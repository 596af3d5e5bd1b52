"""What a mirror asks of JetStream about its bucket: the few calls of its API, as JSON requests.

A bucket NAME is the stream KV_NAME with the subjects $KV.NAME.KEY, as every NATS client lays out a key-value bucket; so
`nats kv` shows it. Each call raises RequestError.
"""

import base64
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from .requests import RefusedError

if TYPE_CHECKING:
    from .connection import Connection

NO_STREAM, IN_USE_OTHERWISE, WRONG_REVISION, NO_MESSAGE = 10059, 10058, 10071, 10037
_REPLICAS = {10074, 10005}

MARKER = {"KV-Operation": "DEL"}
MARKERS = {"DEL", "PURGE"}
_EXPECTED = "Nats-Expected-Last-Subject-Sequence"
_SECOND = 1_000_000_000
HEARTBEAT_NANOSECONDS = _SECOND // 2

_Answer = TypeVar("_Answer")


class _Error(msgspec.Struct):
    code: int = 0
    err_code: int = 0
    description: str = ""


class _StreamState(msgspec.Struct):
    messages: int
    last_seq: int


class _StreamConfig(msgspec.Struct, frozen=True):
    num_replicas: int = 1


class StreamInfo(msgspec.Struct):
    """A bucket's stream."""

    created: str
    """As Go writes it: the fraction without zeros at its end. See `created_text`."""
    state: _StreamState
    config: _StreamConfig = _StreamConfig()

    @property
    def created_text(self) -> str:
        """`created` with nine digits of a second, so that text compares as time does.

        >>> StreamInfo("2026-01-02T03:04:05.6Z", _StreamState(0, 0)).created_text
        '2026-01-02T03:04:05.600000000Z'
        """
        seconds, _, fraction = self.created.removesuffix("Z").partition(".")
        return f"{seconds}.{fraction:0<9}Z"


class ConsumerInfo(msgspec.Struct):
    """A consumer that was just made."""

    name: str
    num_pending: int


class Stored(msgspec.Struct):
    """The last message of a key."""

    seq: int
    hdrs: str = ""

    @property
    def is_marker(self) -> bool:
        """Whether it says that the key was deleted."""
        lines = base64.b64decode(self.hdrs).decode("latin-1").split("\r\n")
        return any(line.partition(":")[2].strip() in MARKERS for line in lines if line.startswith("KV-Operation:"))


class _StoredAnswer(msgspec.Struct):
    message: Stored


class _Ack(msgspec.Struct):
    seq: int


class _Purged(msgspec.Struct):
    purged: int = 0


class JetStream:
    """One bucket, over one connection."""

    def __init__(self, connection: "Connection", bucket: str) -> None:
        self.connection = connection
        self.bucket = bucket
        self.stream = f"KV_{bucket}"

    def subject(self, key: str) -> str:
        """Where the writes of a key are published."""
        return f"$KV.{self.bucket}.{key}"

    async def bind(self, replicas: int) -> StreamInfo:
        """The bucket, made if there is none. One that others made is taken as it is."""
        try:
            return await self.info()
        except RefusedError as error:
            if error.number != NO_STREAM:
                raise
        try:
            return await self._make(replicas)
        except RefusedError as error:
            if error.number != IN_USE_OTHERWISE:
                raise
        return await self.info()

    async def info(self) -> StreamInfo:
        """The bucket as it is."""
        return await self._ask(f"STREAM.INFO.{self.stream}", {}, StreamInfo, f"show stream {self.stream}")

    async def _make(self, replicas: int) -> StreamInfo:
        config = {
            "name": self.stream,
            "subjects": [self.subject(">")],
            "storage": "file",
            "num_replicas": replicas,
            "retention": "limits",
            "discard": "new",
            "max_msgs_per_subject": 1,
            "max_msgs": -1,
            "max_bytes": -1,
            "max_msg_size": -1,
            "max_age": 0,
            "max_consumers": -1,
            "duplicate_window": 120 * _SECOND,
            "allow_rollup_hdrs": True,
            "allow_direct": True,
            "deny_delete": True,
            "deny_purge": False,
        }
        return await self._ask(f"STREAM.CREATE.{self.stream}", config, StreamInfo, f"make stream {self.stream}")

    async def consume(self, inbox: str, *, start: int, headers_only: bool = False) -> ConsumerInfo:
        """Have all from this revision on sent to the inbox, in order, with heartbeats."""
        config = {
            "deliver_subject": inbox,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": start,
            "ack_policy": "none",
            "max_deliver": 1,
            "replay_policy": "instant",
            "flow_control": True,
            "idle_heartbeat": HEARTBEAT_NANOSECONDS,
            "mem_storage": True,
            "num_replicas": 1,
            "headers_only": headers_only,
        }
        asked = {"stream_name": self.stream, "config": config}
        return await self._ask(f"CONSUMER.CREATE.{self.stream}", asked, ConsumerInfo, f"watch stream {self.stream}")

    async def end_consumer(self, name: str) -> None:
        """Ends it now; by itself it would some seconds after nobody listens."""
        await self._ask(f"CONSUMER.DELETE.{self.stream}.{name}", {}, dict, "end a consumer", seconds=1)

    async def write(self, key: str, value: bytes | None, expected: int | None) -> int:
        """Writes, or with None deletes, and returns the revision. Refused with WRONG_REVISION."""
        headers = dict(MARKER) if value is None else {}
        if expected is not None:
            headers[_EXPECTED] = str(expected)
        answer = await self.connection.request(self.subject(key), value or b"", headers=headers or None)
        return _read(answer, _Ack, f"write {key}").seq

    async def last(self, key: str) -> Stored | None:
        """The last write of a key, from the stream itself."""
        asked = {"last_by_subj": self.subject(key)}
        try:
            answer = await self._ask(f"STREAM.MSG.GET.{self.stream}", asked, _StoredAnswer, f"read {key}")
        except RefusedError as error:
            if error.number != NO_MESSAGE:
                raise
            return None
        return answer.message

    async def purge(self, key: str, *, up_to: int) -> int:
        """Drops what the stream has of a key, up to this revision. Returns how many messages that were."""
        asked = {"filter": self.subject(key), "seq": up_to + 1}
        return (await self._ask(f"STREAM.PURGE.{self.stream}", asked, _Purged, f"purge {key}")).purged

    async def _ask(
        self, call: str, asked: dict[str, Any], kind: type[_Answer], what: str, *, seconds: float | None = None
    ) -> _Answer:
        subject, payload = f"$JS.API.{call}", msgspec.json.encode(asked) if asked else b""
        if seconds is None:
            return _read(await self.connection.request(subject, payload), kind, what)
        return _read(await self.connection.request(subject, payload, seconds=seconds), kind, what)


def _read(answer: bytes, kind: type[_Answer], what: str) -> _Answer:
    try:
        raw = msgspec.json.decode(answer, type=dict[str, msgspec.Raw])
        if "error" in raw:
            error = msgspec.json.decode(raw["error"], type=_Error)
            number = error.err_code or error.code
            hint = "; set replicas in [cluster] to no more than there are NATS servers" if number in _REPLICAS else ""
            raise RefusedError(f"JetStream refuses to {what}: {error.description} (error {number}){hint}", number)
        return msgspec.json.decode(answer, type=kind)
    except msgspec.MsgspecError:
        raise RefusedError(f"JetStream's answer to a request to {what} is not understood", 0) from None
