"""The proxied streams of one link by id, under the five names that the original requirement gave them.

`send_proxy_request`, `wait_for_proxy_response`, `send_stream_chunk`, `read_stream_chunk` and `close_proxy_stream` are
thin: an exchange holds its `ProxyStream` and calls that directly. Sending never waits and never loses a message: above
its mark a stream takes no more from its door (`False`), and nobody is timed out. Closing is idempotent.

Invariants: a stream is in the table of one connection, or of none while its agent is between two links. Order within a
stream is kept both ways. What waits is bounded, per stream by `HIGH_BYTES` and one message, and counted in the account.
"""

from collections.abc import Callable

import msgspec

from tunnel.gateway.proxied.answer import AnswerHead
from tunnel.gateway.proxied.lanes import Lane, Lanes, nothing
from tunnel.gateway.proxied.proxy_stream import ProxyStream
from tunnel.gateway.proxied.shared import Proxied
from tunnel.gateway.proxied.upload_window import UploadWindow
from tunnel.wire.message_limits import NO_LIMIT_BYTES
from tunnel.wire.proxy_messages import ProxyRequest, StreamChunk, StreamClose, encode_data, flat


class UnknownStreamError(LookupError):
    """No stream of this id on this connection."""


class AgentConnection:
    """One link's streams, and what waits to leave on it."""

    def __init__(self, shared: Proxied, wake: Callable[[], None], agent_limit_bytes: int = NO_LIMIT_BYTES) -> None:
        self._shared = shared
        self._wake = wake
        self._streams: dict[str, ProxyStream] = {}
        self.window = UploadWindow()
        self.lanes = Lanes(shared.account, self.window, agent_limit_bytes)

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._streams

    # --- the requirement's interface

    def send_proxy_request(self, request_id: str, request: ProxyRequest) -> None:
        """Queue a request; a small one ahead of other exchanges' bodies.

        Raises UnknownStreamError, and MessageTooLargeError.
        """
        self._stream(request_id).send_request(request)

    async def wait_for_proxy_response(self, request_id: str) -> AnswerHead:
        """The answer's head. The caller holds the deadline.

        Raises UnknownStreamError, TunnelError when there is no answer, EndOfStream once the stream is closed.
        """
        return await self._stream(request_id).receive_head()

    def send_stream_chunk(self, request_id: str, data: bytes) -> bool:
        """Queue one encoded WebSocket message for the agent as `proxy_stream_chunk`. False: above the mark.

        Raises UnknownStreamError, and MessageTooLargeError.
        """
        chunk = StreamChunk(data=encode_data(data), direction="to_agent")
        return self._stream(request_id).send(_flat("proxy_stream_chunk", request_id, chunk))

    async def read_stream_chunk(self, request_id: str) -> bytes:
        """The next bytes that came for a stream: of the body, or one encoded WebSocket message.

        Raises UnknownStreamError, `anyio.EndOfStream` after the last, and TunnelError where it was broken off.
        """
        return await self._stream(request_id).receive_data()

    def close_proxy_stream(self, request_id: str, reason: str = "") -> None:
        """Close a stream. An agent that has heard of it is told, after what was sent before. Idempotent."""
        stream = self._streams.get(request_id)
        if stream is None:
            return
        self.close_stream(request_id)
        if stream.lane.sent:
            self.send_control(_flat("proxy_stream_close", request_id, StreamClose(reason=reason)))

    # --- the carrier's side

    def open_stream(
        self,
        request_id: str,
        drained: Callable[[], None] = nothing,
        *,
        whole_bytes: int = 0,
        interval_seconds: float = 0.0,
    ) -> ProxyStream:
        """A new stream. `whole_bytes`: the longest single message that must fit even where there is no disk."""
        inbox = self._shared.inbox(request_id, whole_bytes)
        lane = Lane(drained, interval_seconds=interval_seconds)
        stream = self._streams[request_id] = ProxyStream(inbox, lane, self.lanes, self._wake)
        return stream

    def adopt(self, stream: ProxyStream) -> None:
        """Take over a stream whose agent comes back on this link. What it had waiting on the old link is dropped."""
        stream.move(self.lanes, self._wake)
        self._streams[stream.request_id] = stream

    def release(self, request_id: str) -> None:
        """Forget a stream that another link takes over."""
        self._streams.pop(request_id, None)

    def close_stream(self, request_id: str) -> None:
        """Close a stream on our side only. Idempotent."""
        stream = self._streams.pop(request_id, None)
        if stream is not None:
            stream.close()

    def send_control(self, text: str) -> None:
        """Queue a small message ahead of all streams' bodies."""
        self.lanes.put_control(text)
        self._wake()

    def close(self) -> None:
        """The link is lost: nothing leaves any more. The exchanges end their own streams. Idempotent."""
        self.lanes.close()

    def _stream(self, request_id: str) -> ProxyStream:
        try:
            return self._streams[request_id]
        except KeyError:
            raise UnknownStreamError(request_id) from None

    def __repr__(self) -> str:
        return f"<AgentConnection {len(self._streams)} streams, {self.lanes!r}>"


def _flat(kind: str, request_id: str, payload: msgspec.Struct) -> str:
    return msgspec.json.encode(flat(kind, request_id, payload)).decode()
