"""What a link says about published routes, and the answers to it (tunnel/PROTOCOL.md, section "Publishing").

Messages in, messages out: reads no clock, and does not decide what is published. Invariants: at most one `publish`
waits for its answer, and only that answer counts, route by route in order; a message that is not understood raises
MessageError and changes nothing.
"""

import uuid
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from tunnel.agent.control import DialogueError
from tunnel.agent.extension import Say
from tunnel.agent.reasons import Reason
from tunnel.agent.standing import Dial, one_line
from tunnel.wire import messages
from tunnel.wire.publishing import Publish, Published, PublishedRoute, RequestRow, Requests, Unpublished

TOO_OLD_CODE: Final = "too_old"
"""`Reason.code` of a gateway that cannot publish."""


class Hearer(Protocol):
    """Who is told what the gateway said."""

    def answered(self, routes: Sequence[PublishedRoute], /) -> None:
        """What became of each route of the last `publish`."""

    def not_understood(self, why: str, /) -> None:
        """The gateway could not read the last `publish`; nothing changed there."""

    def unpublished(self) -> None:
        """The gateway has given hosts that it had answered for to another agent."""

    def passed(self, rows: Sequence[RequestRow], left_out: int, /) -> None:
        """These exchanges have ended, and `left_out` more."""


def check(success: messages.RegisterSuccess, gateway: str) -> None:
    """Raises DialogueError for a gateway that does not know the extension; `gateway` is its URL."""
    if not success.publishes:
        said = f"the gateway at {gateway} is too old to publish ports; upgrade it, or add a [[routes]] entry there"
        raise DialogueError(1000, Reason(Dial.REFUSED, said, code=TOO_OLD_CODE))


class Dialogue:
    """The messages of one link."""

    def __init__(self, say: Say, hearer: Hearer) -> None:
        self._say = say
        self._hearer = hearer
        self._asked = 0
        self._request_id = ""  # of the `publish` that is not answered yet
        self._takers: dict[str, Callable[[messages.Envelope], None]] = {
            "published": self._published,
            "requests": self._requests,
            "unpublished": self._unpublished,
        }

    def __repr__(self) -> str:
        return f"<Dialogue {'waiting' if self._request_id else 'at rest'}>"

    def publish(self, wanted: Publish) -> bool:
        """Ask for all of it. False: the gateway does not accept a message that is so long."""
        request_id = f"publish-{uuid.uuid4().hex}"
        if not self._say("publish", wanted, request_id):
            return False
        self._request_id, self._asked = request_id, len(wanted.routes)
        return True

    def received(self, envelope: messages.Envelope) -> bool:
        """Take a message. False: it is none of these. Raises MessageError."""
        if envelope.type == "error":
            return self._error(envelope)
        take = self._takers.get(envelope.type)
        if take is not None:
            take(envelope)
        return take is not None

    def _published(self, envelope: messages.Envelope) -> None:
        if not self._is_answer(envelope):
            return
        routes = messages.decode_payload(envelope, Published).routes
        if len(routes) != self._asked:
            msg = f"bad published payload: {len(routes)} routes are answered, and {self._asked} were asked for"
            raise messages.MessageError(msg)
        self._request_id = ""
        self._hearer.answered(routes)

    def _unpublished(self, envelope: messages.Envelope) -> None:
        messages.decode_payload(envelope, Unpublished)
        self._hearer.unpublished()

    def _error(self, envelope: messages.Envelope) -> bool:
        if not self._is_answer(envelope):
            return False
        notice = messages.decode_payload(envelope, messages.Notice)
        self._request_id = ""
        self._hearer.not_understood(one_line(notice.error))
        return True

    def _requests(self, envelope: messages.Envelope) -> None:
        passed = messages.decode_payload(envelope, Requests)
        self._hearer.passed(passed.requests, max(0, passed.left_out))

    def _is_answer(self, envelope: messages.Envelope) -> bool:
        return bool(self._request_id) and envelope.request_id == self._request_id
