"""One WebSocket of a client, until its handshake is accepted or refused; a `Conversation` carries the rest.

The client is accepted only after the service's 101, with the subprotocol that the service chose. If the service
refuses, the client gets the service's status, headers and body.
"""

import asyncio
import contextlib
from functools import partial

from tunnel import websocket
from tunnel.account import Holding
from tunnel.errors import (
    BadAnswerError,
    NoRoomError,
    ServiceBrokeOffError,
    StoppingError,
    TooSlowError,
    TunnelError,
)
from tunnel.http1 import UnsendableHeadError
from tunnel.port import Exchange, Headers, RequestHead, ResponseHead, Upstream

from ..node.gateway import Gateway
from ..node.stickiness import cookie_for
from ..observed import access
from ..observed.access import Record
from ..observed.metrics import Limit, limit_of
from ..observed.request_id import with_request_id
from ..rules import problems
from ..rules.request import Request
from ..rules.routes import Route
from . import records
from .client_port import Handshake
from .conversation import Conversation
from .header_rules import BadRequestError, accept_headers, response_headers, upgrade_head
from .refusals import page
from .waiting import Waiter

_REFUSAL_BYTES = 1024 * 1024
"""Limit for the body of a refused handshake: servers hold it whole before they send it."""


class WebSocketCall:
    """One WebSocket: the sink of its exchange, until the conversation takes over."""

    is_websocket = True

    def __init__(self, gateway: Gateway, route: Route, request: Request, client: Handshake, record: Record) -> None:
        self._gateway = gateway
        self._route = route
        self._request = request
        self._client = client
        self._record = record
        self._exchange: Exchange | None = None
        self._head: ResponseHead | None = None
        self._conversation: Conversation | None = None
        self._body: list[bytes] = []  # the body of a refusal, or frames that came with the 101
        self._held = Holding(gateway.account)  # the bytes of `_body`
        self._ended = False
        self._error: TunnelError | None = None
        self._waiter = Waiter()
        self.upstream: Upstream | None = None

    # --- the sink

    def head(self, head: ResponseHead, /) -> None:
        """The service's answer to the handshake."""
        if head.status == 101 or head.status >= 200:
            self._head = head
            self._waiter.wake()

    def data(self, data: bytes, /) -> None:
        """Frames of an open WebSocket, or the body of a refusal."""
        if self._conversation is not None:
            self._conversation.take(data)
            return
        self._body.append(data)
        self._held.add(len(data))
        if self._head is not None and self._head.status == 101 and self._exchange is not None:
            self._exchange.pause()
        elif self._held.size_bytes > _REFUSAL_BYTES:
            self._fail(ServiceBrokeOffError(f"the refused handshake's body is larger than {_REFUSAL_BYTES} bytes"))
        self._waiter.wake()

    def trailers(self, headers: Headers, /) -> None:
        """The trailers of a refusal are dropped."""

    def end(self) -> None:
        """The refusal is complete, or the service ended its stream."""
        self._ended = True
        if self._conversation is not None:
            self._conversation.service_ended()
        self._waiter.wake()

    def failed(self, error: TunnelError, /) -> None:
        """The exchange is over."""
        if self._error is None:
            self._error = error
        if self._conversation is not None:
            self._conversation.failed(error)
        self._waiter.wake()

    def writable(self) -> None:
        """The stream has drained."""
        if self._conversation is not None:
            self._conversation.writable()

    # --- the gateway's side

    def stop(self, *, now: bool) -> None:
        """The gateway is stopping: refuse a handshake, close an open WebSocket."""
        if self._conversation is not None:
            self._conversation.stop(now=now)
        else:
            self._fail(StoppingError("the gateway is stopping"))

    def relieve(self) -> None:
        """The process holds too many bytes: end this exchange."""
        if self._conversation is not None:
            self._conversation.relieve()
        else:
            self._gateway.metrics.limit_hit(Limit.HELD_HARD, self._record)
            self._fail(NoRoomError("too much was held for this handshake"))

    def tick(self, now: float) -> float | None:
        """Check the conversation's deadlines; the handshake has its own timeout."""
        return self._conversation.tick(now) if self._conversation is not None else None

    @property
    def held_bytes(self) -> int:
        """Bytes held by this exchange, here and in its stream."""
        if self._conversation is not None:
            return self._conversation.held_bytes
        return self._held.size_bytes + (self._exchange.held_bytes if self._exchange is not None else 0)

    def __repr__(self) -> str:
        state = "open" if self._conversation is not None else "shaking hands"
        return f"<WebSocketCall to {self._route.target}, {state}, {self.held_bytes} bytes held>"

    # --- the coroutine

    async def run(self) -> None:
        """Carry the WebSocket until its end. Raises TunnelError before the client was accepted or answered."""
        record = self._record
        try:
            key = websocket.new_key()
            head = await self._shake_hands(key)
            loop = asyncio.get_running_loop()
            record.head_at = loop.time()
            if head.status != 101:
                await self._refuse(head)
                return
            offered = [protocol.encode("latin-1") for protocol in self._request.subprotocols]
            chosen = websocket.check_accept(key, head.headers, offered)
            headers = accept_headers(head.headers)
            if self.upstream is not None:
                headers.extend(cookie_for(self._route, self._request, self.upstream))
            headers = self._route.policy.response_headers.apply(headers)
            subprotocol = chosen.decode("latin-1") if chosen is not None else None
            await self._client.accept(subprotocol, with_request_id(headers, record.request_id))
            record.status = 101
            self._gateway.metrics.websocket_opened(record)
            access.emit_opened(record)
            await self._converse()
        except OSError:
            record.outcome = "client_left"
            record.closed_by = record.closed_by or "client"
        finally:
            self._held.close()
            if self._conversation is None and self._exchange is not None:
                self._exchange.reset()

    async def _converse(self) -> None:
        exchange, policy, account = self._exchange, self._route.policy, self._gateway.account
        assert exchange is not None  # noqa: S101  (it has answered 101)
        client = self._client.open(policy.max_message_bytes, account)
        conversation = self._conversation = Conversation(
            exchange, policy, client, account=account, metrics=self._gateway.metrics, record=self._record,
            wake=partial(self._gateway.exchanges.wake, self),
        )  # fmt: skip
        early, self._body = b"".join(self._body), []
        self._held.set(0)
        client.start(conversation)
        try:
            await conversation.run(early, self._error, ended=self._ended)
        finally:
            await client.leave()

    async def _shake_hands(self, key: bytes) -> ResponseHead:
        """Open the service's side and return its answer. Tries once more after a lost race. Raises TunnelError."""
        gateway, route = self._gateway, self._route
        offered = self._request.subprotocols
        protocols = ", ".join(offered).encode("latin-1") if offered else None
        handshake = websocket.handshake_headers(key, protocols)
        request: RequestHead = upgrade_head(self._request, route.policy.request_headers, handshake)
        avoid: Upstream | None = None
        for attempt in (1, 2):
            upstream = gateway.choose(route, self._request, avoid=avoid)
            if upstream is None:
                upstream = await gateway.wait_for_upstream(route, self._request, avoid=avoid)
            self.upstream = upstream
            self._record.via(upstream.label, upstream.agent_id, upstream.dialect, asyncio.get_running_loop().time())
            try:
                self._exchange = upstream.open(request, self, fresh=attempt > 1)
                async with asyncio.timeout(route.policy.upgrade_timeout + upstream.upgrade_allowance):
                    while self._head is None:
                        if self._error is not None:
                            raise self._error
                        await self._waiter.wait()
            except UnsendableHeadError as error:
                raise BadRequestError(str(error)) from None
            except TimeoutError:
                gateway.metrics.limit_hit(Limit.TIMEOUT_UPGRADE, self._record)
                raise TooSlowError("the service did not answer the WebSocket handshake in time") from None
            except TunnelError as error:
                if self._exchange is not None:
                    self._exchange.reset()
                if attempt == 2 or not error.retryable:
                    raise
                avoid, self._error, self._ended = upstream, None, False
            else:
                return self._head
        raise AssertionError  # the second attempt returns or raises

    async def _refuse(self, head: ResponseHead) -> None:
        """Pass the service's refusal to the client unchanged, if the server can send it."""
        try:
            async with asyncio.timeout(self._route.policy.upgrade_timeout):
                while not self._ended and self._error is None:
                    await self._waiter.wait()
        except TimeoutError:
            self._gateway.metrics.limit_hit(Limit.TIMEOUT_UPGRADE, self._record)
            raise TooSlowError("the body of the refused WebSocket handshake did not end in time") from None
        if self._error is not None:
            raise self._error
        if not 300 <= head.status < 600:
            raise BadAnswerError(f"status {head.status} instead of 101")
        self._record.status, self._record.closed_by = head.status, "service"
        headers = self._route.policy.response_headers.apply(response_headers(head.headers))
        headers = with_request_id(headers, self._record.request_id)
        await self._client.refuse(head.status, headers, b"".join(self._body))

    def _fail(self, error: TunnelError) -> None:
        if self._exchange is not None:
            self._exchange.reset()
        self.failed(error)


async def carry(gateway: Gateway, route: Route, request: Request, client: Handshake) -> None:
    """Carry one WebSocket for a routed host to its service."""
    record = records.begin(request, route.target)

    async def answer(problem: problems.Problem, detail: str = "") -> None:
        record.status, record.outcome, record.closed_by = problem.status, problem.code, "gateway"
        with contextlib.suppress(OSError):
            await client.refuse(*page(request, problem, detail))

    call: WebSocketCall | None = None
    ticket = None
    try:
        if not await client.begin():
            record.outcome = "client_left"
            return
        if gateway.closing:
            await answer(problems.STOPPING)
            return
        ticket = gateway.admission.admit(route, request, gateway.settings.max_websockets_per_cluster)
        if isinstance(ticket, problems.Problem):
            if (hit := limit_of(ticket)) is not None:
                gateway.metrics.limit_hit(hit, record)
            await answer(ticket)
            return
        call = WebSocketCall(gateway, route, request, client, record)
        gateway.began(call)
        await call.run()
    except BadRequestError as error:
        await answer(problems.BAD_REQUEST, str(error))
    except TunnelError as error:
        await answer(records.failed(gateway, record, error))
    except Exception:
        record.status, record.outcome = record.status or 500, problems.INTERNAL.code
        raise
    finally:
        if ticket is not None and not isinstance(ticket, problems.Problem):
            ticket.release()
        if call is not None:
            gateway.ended(call)
        records.end(gateway, record)
