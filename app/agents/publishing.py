"""The `publish` messages of one link: what its agent publishes from now on (tunnel/PROTOCOL.md, "Publishing").

One message a second is handled, at once unless many links have one (`app/node/turns.py`). Of those that come faster
only the newest counts, once the second is over or when the link ends. What of it is kept until then is counted in the
account. A message that cannot be read, or whose token was withdrawn, is answered with `error` and changes nothing; the
link goes on.

With several nodes the answer waits until they have decided who holds the hosts, for `SETTLE_SECONDS` at most. A message
that comes meanwhile takes the place of the one that waits. A host that is lost afterwards, because the node could not
reach NATS before, is told by `unpublished`.
"""

import asyncio
import logging
from urllib.parse import urlsplit

from tunnel.account import Holding
from tunnel.gateway.link import Link
from tunnel.wire import messages, publishing

from ..node.gateway import Gateway
from ..published import Holder, Settling
from ..rules.request import Request
from ..settings import Grant
from .feed import Feed

logger = logging.getLogger("gateway.agents")

SETTLE_SECONDS = 3.0
"""An agent takes a message without an answer for lost after 10 s."""
_TRIES = 3


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
        self._settling: asyncio.Task[None] | None = None
        self._lost: list[str] = []  # hosts that the agent is to be told of
        self._has_ended = False
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
        self._has_ended = True
        self._link.on_publish = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._gateway.turns.forget(self._link.token_hash, self._due)
        self._due()
        if self._settling is not None:
            self._settling.cancel()
            self._settling = None
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
        if self._settling is not None:
            self._settling.cancel()
            self._settling = None
        grant = self._grant()
        if grant is None:
            self._refuse("the token of this agent is no longer accepted for its cluster", request_id)
            return
        try:
            message = messages.decode_payload(envelope, publishing.Publish)
        except messages.MessageError as error:
            self._refuse(str(error), request_id)
            return
        answer = self._publish(grant, message)
        settling = gateway.settling
        if settling is None or self._has_ended or not _in_force(answer):
            link.send_text("published", answer, request_id)
            return
        self._settling = self._loop.create_task(self._settle(settling, message, answer, request_id))

    def _grant(self) -> Grant | None:
        """The token's, if it covers the cluster now."""
        grant = self._gateway.settings.grants.get(self._link.token_hash)
        return grant if grant is not None and not grant.revoked and self._link.cluster in grant.clusters else None

    def _publish(self, grant: Grant, message: publishing.Publish) -> publishing.Published:
        gateway = self._gateway
        watch = self._feed.seen if message.watch else None
        lost = self._told_of_loss if gateway.settling is not None else None
        base_url = gateway.settings.public_url or self._reached_at
        return gateway.published.publish(self._holder, grant, message, base_url=base_url, watch=watch, lost=lost)

    # --- several nodes

    async def _settle(
        self, settling: Settling, message: publishing.Publish, answer: publishing.Published, request_id: str | None
    ) -> None:
        """Answer once the nodes have decided."""
        try:
            async with asyncio.timeout(SETTLE_SECONDS):
                for _ in range(_TRIES):
                    if await settling.settle(_in_force(answer)) or (grant := self._grant()) is None:
                        break
                    answer = self._publish(grant, message)
        except TimeoutError:
            logger.info("%s: the nodes have not decided yet who holds its hosts", self._link.name)
        except Exception:  # as in `_due`
            logger.exception("%s: publish failed", self._link.name)
            self._link.close(1011, "internal error")
        self._settling = None
        self._link.send_text("published", answer, request_id)

    def _told_of_loss(self, host: str) -> None:
        """Another node's agent has this host."""
        if self._settling is None:  # else the answer says it
            if not self._lost:
                self._loop.call_soon(self._tell_losses)
            self._lost.append(host)

    def _tell_losses(self) -> None:
        lost, self._lost = self._lost, []
        if not self._has_ended:
            self._link.send_text("unpublished", publishing.Unpublished(hosts=lost))

    def _refuse(self, why: str, request_id: str | None) -> None:
        logger.warning("%s: publish refused: %.300s", self._link.name, why)
        self._link.send_text("error", messages.Notice(error=why), request_id)

    def __repr__(self) -> str:
        return f"<Publishing of {self._link.name}, {'one waits' if self._newest is not None else 'none waits'}>"


def _in_force(answer: publishing.Published) -> set[str]:
    return {route.host for route in answer.routes if not route.code}


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
