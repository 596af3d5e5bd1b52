"""Keeps a link to one gateway: dials, waits until the link ends, pauses and dials again, until told to stop.

Never carries data. Invariants: one link at a time, besides those that the gateway has asked to move: it is about to
stop, so the next link is dialled at once, and the old one ends with what it carries. No refusal of the gateway ends the
keeper, whatever its status. The token is read at each dial and appears in no log.
"""

import asyncio
import contextlib
import logging
import random
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass

from picows import ws_connect

from tunnel.agent import reasons
from tunnel.agent.extension import Extension
from tunnel.agent.gateways import GatewayAddress
from tunnel.agent.link import GatewayLink, Terms
from tunnel.agent.reconnect import STABLE_SECONDS, Backoff, Outcome, least_delay
from tunnel.agent.source import SettingsError
from tunnel.agent.standing import Dial, Standing, State

log = logging.getLogger(__name__)

CONNECT_SECONDS = 15.0
"""For name, TCP, TLS, proxy and handshake together."""
HANDSHAKE_SECONDS = 10.0
MOVE_SECONDS = 0.5
"""To the next dial after the gateway has asked to move, at most: all its agents are asked at the same time."""
MOST_MOVED = 4
"""Links that were asked to move and have not ended, as of nodes that stop one after the other. A gateway that asks each
link to move, and closes none, must not gather them."""
DOUBTED_SECONDS = 4.0
"""What is left of these when the host's addresses or routes change: the dial may have used an address that is gone.
A path that works answers within this, also when it lost a SYN: that is sent again after 1 and 3 s."""

_MOVED = reasons.Reason(Dial.READY, "asked to move: the gateway's node is about to stop; dialling again")


@dataclass(slots=True, frozen=True)
class Access:
    """What a gateway is dialled with."""

    token: Callable[[], str]
    tls: ssl.SSLContext | None


class Keeper:
    """Keeps one link after another to one gateway."""

    def __init__(
        self,
        gateway: GatewayAddress,
        access: Access,
        terms: Terms,
        on_ready: Callable[[GatewayAddress, GatewayLink], None],
        extension: Extension | None = None,
    ) -> None:
        self._gateway = gateway
        self._access = access
        self._terms = terms
        self._on_ready = on_ready
        self._extension = extension
        self._backoff = Backoff()
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._link: GatewayLink | None = None
        self._moved: dict[GatewayLink, None] = {}  # they end with what they carry; the oldest first
        self.standing = Standing(gateway.label, time.time())
        """For whoever wants to see how this goes."""
        self._dial_limit: asyncio.Timeout | None = None

    def __repr__(self) -> str:
        return f"<Keeper of {self._gateway.label} {self._link!r}>"

    @property
    def link(self) -> GatewayLink | None:
        """The link that serves, or is to; None between two attempts."""
        return self._link

    async def run(self) -> None:
        """Keep a link until `drain` or `close`, and return once the last one has ended."""
        while not self._stopping.is_set():
            outcome, why = await self._attempt()
            reason = why.text
            if why is _MOVED:
                log.info("%s: %s", self._gateway.label, reason)
                await _wait(self._stopping, self._pause_to_move(outcome))
                continue
            if self._extension is not None:
                self._extension.ended(why)
            if self._stopping.is_set():
                break
            delay = self._backoff.delay_after(outcome, asyncio.get_running_loop().time())
            # An extension has told its user already, once and not at each attempt.
            level = logging.WARNING if self._extension is None else logging.INFO
            log.log(level, "%s: %s; next attempt in %.1f s", self._gateway.label, reason, delay)
            now = time.time()
            self.standing.waiting(reason, now + delay, now)
            self._hurry.clear()
            least = least_delay(delay, outcome)
            await _wait(self._stopping, least)
            await _wait(self._hurry, delay - least)
        await asyncio.gather(*(link.ended for link in self._moved))

    def path_changed(self) -> None:
        """The host has another address or route: doubt the link or the dial, or dial sooner."""
        if self._link is None:
            self._hurry.set()
            return
        self._link.path_changed()
        self._doubt_dial()

    def drain(self) -> None:
        """Make no more attempts; the running link ends once its exchanges have."""
        self._stop()
        for link in self._links():
            link.drain()

    def close(self) -> None:
        """End the link now."""
        self._stop()
        for link in self._links():
            link.close(1001, "stopping")

    def _links(self) -> list[GatewayLink]:
        return [*self._moved, *([self._link] if self._link is not None else [])]

    def _doubt_dial(self) -> None:
        limit = self._dial_limit
        if limit is None or limit.expired():
            return
        end, doubted_end = limit.when(), asyncio.get_running_loop().time() + DOUBTED_SECONDS
        if end is not None and doubted_end < end:
            limit.reschedule(doubted_end)

    def _stop(self) -> None:
        self.standing.leaving(time.time())
        self._stopping.set()
        self._hurry.set()

    async def _attempt(self) -> tuple[Outcome, reasons.Reason]:
        """One link from its dial to its end; how it went, and why it ended."""
        link = GatewayLink(self._terms, self._link_ready, self._extension)
        self._link = link
        self.standing.connecting(link.name, time.time())
        log.info("connecting to %s", self._gateway.label)
        dialling = asyncio.ensure_future(self._dial(link))
        try:
            await asyncio.wait((dialling, link.ended), return_when=asyncio.FIRST_COMPLETED)
            if dialling.done():
                dialling.result()
                self.standing.registering(time.time())
            if await self._is_moved(link):
                return self._registered(link), _MOVED
            reason = link.ended.result()
        except SettingsError as error:
            return self._failed(reasons.Reason(Dial.FAILED, f"cannot connect: {error}"))
        except Exception as error:
            reason_of_dial = reasons.of_error(error, self._gateway.proxy)
            if reason_of_dial.dial is Dial.FAILED:
                log.exception("%s: the attempt failed", self._gateway.label)
            return self._failed(reason_of_dial)
        finally:
            dialling.cancel()
            self._link = None
            if link not in self._moved:
                link.lost("cannot connect")
        if link.ready_at is None:
            accepted = self.standing.state is State.REGISTERING
            dial = Dial.REFUSED if accepted else Dial.UNREACHABLE
            return self._failed(link.refusal or reasons.Reason(dial, reason))
        why = link.refusal or reasons.Reason(Dial.READY, reason)
        return self._registered(link), why

    def _registered(self, link: GatewayLink) -> Outcome:
        now = asyncio.get_running_loop().time()
        return Outcome(now - link.ready_at if link.ready_at is not None else None)

    def _pause_to_move(self, outcome: Outcome) -> float:
        """Before the next dial: soon, but not for ever, to a gateway that asks each link to move as it comes."""
        if (outcome.registered_seconds or 0.0) >= STABLE_SECONDS:
            return random.uniform(0.0, MOVE_SECONDS)  # noqa: S311  (jitter)
        return self._backoff.delay_after(outcome, asyncio.get_running_loop().time())

    async def _is_moved(self, link: GatewayLink) -> bool:
        """Wait for its end, or until the gateway asks to move: then it ends with what it carries."""
        asked = asyncio.ensure_future(link.asked_to_move.wait())
        try:
            await asyncio.wait((asked, link.ended), return_when=asyncio.FIRST_COMPLETED)
        finally:
            asked.cancel()
        if link.ended.done():
            return False
        self._moved[link] = None
        if len(self._moved) > MOST_MOVED:
            next(iter(self._moved)).close(1001, "asked to move, again and again")
        link.ended.add_done_callback(lambda _: self._moved.pop(link, None))
        return True

    def _failed(self, reason: reasons.Reason) -> tuple[Outcome, reasons.Reason]:
        """The dial led to no link that served."""
        self.standing.dials[reason.dial] += 1
        return Outcome(revoked=reason.dial is Dial.REVOKED), reason

    def _link_ready(self, link: GatewayLink) -> None:
        self.standing.ready(time.time())
        self._on_ready(self._gateway, link)
        if self._extension is not None:
            self._extension.ready(link.say)

    async def _dial(self, link: GatewayLink) -> None:
        token = self._access.token()
        try:
            async with asyncio.timeout(CONNECT_SECONDS) as self._dial_limit:
                transport, _ = await ws_connect(
                    lambda _request, _response: link,
                    self._gateway.url,
                    ssl_context=self._access.tls,
                    websocket_handshake_timeout=HANDSHAKE_SECONDS,
                    enable_auto_pong=False,  # the link answers: a ping of the gateway is a sign of life too
                    max_frame_size=link.message_limit_bytes,
                    max_redirects=0,  # a redirect would carry the token to somebody else
                    extra_headers={"Authorization": f"Bearer {token}"},
                    proxy=self._gateway.proxy,
                )
        finally:
            self._dial_limit = None
        if transport.is_disconnected:  # picows takes an end of the connection before the answer for a handshake
            link.lost(f"the gateway closed the connection during the handshake{self._is_it_tls()}")

    def _is_it_tls(self) -> str:
        """What to look at where a gateway says nothing to a dial without TLS."""
        plain = self._gateway.url.startswith("ws:")
        return ": if it speaks TLS at this port, write https:// (or wss://) into --gateway" if plain else ""


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """Until `event` is set, but no longer than `seconds`."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
