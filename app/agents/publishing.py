"""The `publish` messages of one link: what its agent publishes from now on (tunnel/PROTOCOL.md, "Publishing").

One message a second is handled, at once unless many links have one (`app/node/turns.py`). Of those that come faster
only the newest counts, once the second is over or when the link ends. What of it is kept until then is counted in the
account. A message that cannot be read, or whose token was withdrawn, is answered with `error` and changes nothing; the
link goes on.
"""

import asyncio
import logging
from urllib.parse import urlsplit

from tunnel.account import Holding
from tunnel.gateway.link import Link
from tunnel.wire import messages, publishing

from ..node.gateway import Gateway
from ..published import Holder
from ..rules.request import Request
from .feed import Feed

logger = logging.getLogger("gateway.agents")


class Publishing:
    """What one link publishes. Takes the link's `publish` messages from its creation on."""

    def __init__(self, gateway: Gateway, link: Link, request: Request) -> None:
        """`request`: the agent's handshake."""
        self._gateway = gateway
        self._link = link
        self._reached_at = reached_at(request)
        self._holder = Holder(link.cluster, link.publisher, link.token_hash, link.name, link.address)
        self._feed = Feed(link, gateway.in_wall_clock, gateway.account)
        self._loop = asyncio.get_running_loop()
        self._next_at = self._loop.time()
        self._newest: messages.Envelope | None = None  # that is not worked off yet
        self._held = Holding(gateway.account)  # its size
        self._timer: asyncio.TimerHandle | None = None
        link.on_publish = self.told

    def told(self, envelope: messages.Envelope) -> None:
        """A `publish` message has come."""
        size_bytes, request_id = memoryview(envelope.payload).nbytes, _id_of(envelope)
        if size_bytes > publishing.MOST_BYTES:
            self._refuse(f"publish has {size_bytes} bytes; send {publishing.MOST_BYTES} at most", request_id)
            return
        # A copy: the payload is a view, which keeps the whole message alive, and that may be far longer.
        self._newest = messages.Envelope(envelope.type, request_id, envelope.payload.copy())
        self._held.set(size_bytes)
        if self._timer is not None:
            return
        seconds = self._next_at - self._loop.time()
        if seconds > 0:
            self._timer = self._loop.call_later(seconds, self._ask)
        else:
            self._ask()

    def end(self) -> None:
        """The link has ended; idempotent."""
        self._link.on_publish = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._gateway.turns.forget(self._link.token_hash, self._due)
        self._due()
        self._feed.close()
        self._gateway.published.link_gone(self._holder, self._link.clock())

    def _ask(self) -> None:
        self._timer = None
        self._gateway.turns.take(self._link.token_hash, self._due)

    def _due(self) -> None:
        newest, self._newest = self._newest, None
        self._held.set(0)
        if newest is None:
            return
        try:
            self._work_off(newest)
        except Exception:  # a bug: it ends only this link, whoever's turn it was
            logger.exception("%s: publish failed", self._link.name)
            self._link.close(1011, "internal error")

    def _work_off(self, envelope: messages.Envelope) -> None:
        self._next_at = self._loop.time() + publishing.LEAST_SECONDS
        gateway, link = self._gateway, self._link
        request_id = envelope.request_id
        grant = gateway.settings.grants.get(link.token_hash)
        if grant is None or grant.revoked or link.cluster not in grant.clusters:
            self._refuse("the token of this agent is no longer accepted for its cluster", request_id)
            return
        try:
            message = messages.decode_payload(envelope, publishing.Publish)
        except messages.MessageError as error:
            self._refuse(str(error), request_id)
            return
        watch = self._feed.seen if message.watch else None
        base_url = gateway.settings.public_url or self._reached_at
        answer = gateway.published.publish(self._holder, grant, message, base_url=base_url, watch=watch)
        link.send_text("published", answer, request_id)

    def _refuse(self, why: str, request_id: str | None) -> None:
        logger.warning("%s: publish refused: %.300s", self._link.name, why)
        self._link.send_text("error", messages.Notice(error=why), request_id)

    def __repr__(self) -> str:
        return f"<Publishing of {self._link.name}, {'one waits' if self._newest is not None else 'none waits'}>"


def decline(link: Link, envelope: messages.Envelope) -> None:
    """Answer `publish` on a link that is its cluster's."""
    why = f"this link publishes nothing: its agent registered without features.{publishing.FEATURE}"
    link.send_text("error", messages.Notice(error=why), _id_of(envelope))


def reached_at(request: Request) -> str:
    """The scheme and port at which an agent reached the gateway. Without a `public_url`, clients use the same."""
    host = request.host.decode("latin-1")
    try:
        port = urlsplit(f"//{host}").port
    except ValueError:  # no port has this number
        port = None
    return f"{request.scheme}://localhost" + (f":{port}" if port is not None else "")


def _id_of(envelope: messages.Envelope) -> str | None:
    """The `request_id` of the answer: none if it is too long to send back."""
    return envelope.request_id if len(envelope.request_id or "") <= messages.NAME_LIMIT else None
