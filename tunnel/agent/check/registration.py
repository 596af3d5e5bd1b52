"""Registers at a gateway like an agent, and leaves before the gateway would send it anything.

Says the same `register` as a real link, under an agent id of its own, so that it takes no running agent's place. It
always offers yamux and never agrees to it: a link on which yamux is offered gets no streams before that, in whatever
dialect the agent is told to speak.
"""

import asyncio
import contextlib
import re
from datetime import datetime

import msgspec
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from tunnel.agent import reasons
from tunnel.agent.control import Control, DialogueError, Identity
from tunnel.agent.standing import Dial

_SPEAKS = re.compile(r"the gateway speaks (\w+) with this token's agents")
"""The refusal of an agent that offers another dialect than the one its token is for: token and cluster are accepted."""


class _Stamped(msgspec.Struct):
    """Any message of a gateway (PROTOCOL.md, section 2)."""

    timestamp: datetime


class Registration(WSListener):
    """One attempt. `outcome` resolves to None if the gateway took the agent, else to its reason."""

    def __init__(self, identity: Identity, dialect: str) -> None:
        self.outcome: asyncio.Future[reasons.Reason | None] = asyncio.get_running_loop().create_future()
        self.gateway_time: float | None = None
        """The gateway's clock when it answered, in Unix time, if it said."""
        self._dialect = dialect
        self._transport: WSTransport | None = None
        self._control = Control(
            identity,
            self._send,
            lambda _asked: None,
            dialect="yamux",
            on_message=lambda _envelope, _text: True,
            on_ping=lambda answer: answer(),
        )

    @property
    def connected(self) -> bool:
        """Whether the gateway accepted the handshake."""
        return self._transport is not None

    @property
    def cluster(self) -> str:
        """The cluster that the gateway takes this agent for, as far as it has said."""
        return self._control.cluster

    def on_ws_connected(self, transport: WSTransport) -> None:
        """The handshake was accepted: register."""
        self._transport = transport
        self._control.register()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:  # noqa: ARG002 (picows calls it so)
        """The gateway's answer; nothing after it counts."""
        if self.outcome.done():
            return
        if frame.msg_type == WSMsgType.CLOSE:
            payload = frame.get_payload_as_bytes()
            self._end(reasons.of_close(int.from_bytes(payload[:2]), payload[2:].decode(errors="replace")))
        elif frame.msg_type in {WSMsgType.TEXT, WSMsgType.CONTINUATION}:
            self._take(frame.get_payload_as_bytes(), last=frame.fin)

    def on_ws_disconnected(self, transport: WSTransport) -> None:  # noqa: ARG002 (picows calls it so)
        """Gone, perhaps before an answer."""
        self._end(reasons.Reason(Dial.REFUSED, "the gateway closed the connection without an answer"))

    def leave(self) -> None:
        """Close the WebSocket; idempotent."""
        if self._transport is not None and not self._transport.is_close_frame_sent:
            self._transport.send_close(WSCloseCode.OK, b"only a check")
            self._transport.disconnect()

    def _take(self, data: bytes, *, last: bool) -> None:
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):  # a fragment, no text, or no time in it
            self.gateway_time = msgspec.json.decode(data, type=_Stamped).timestamp.timestamp()
        try:
            self._control.receive(data, last=last)
        except DialogueError as error:
            spoken = _SPEAKS.search(str(error))
            if spoken is not None and spoken[1] == self._dialect:
                self._end(None)
            else:
                self._end(error.reason)
            return
        if self._control.registered:
            self._end(None)

    def _end(self, outcome: reasons.Reason | None) -> None:
        if not self.outcome.done():
            self.outcome.set_result(outcome)

    def _send(self, text: str) -> None:
        if self._transport is not None and not self.outcome.done():
            self._transport.send(WSMsgType.TEXT, text)
