"""Answers of our own: error pages, and the refusal of what has no route.

What is refused before its route is known has no target, but it has an answer, a request id, an access line and a count.
The host that was asked for stands in the access line alone, never in a label: clients send what they like.
"""

import asyncio

from tunnel.port import Headers

from ..node.gateway import Gateway
from ..observed.access import Record
from ..observed.request_id import with_request_id
from ..rules import problems
from ..rules.problems import Problem
from ..rules.request import Request
from ..rules.routes import Route
from . import records
from .client_port import Handshake, HttpClient

_ENDING = (
    problems.BAD_REQUEST, problems.TARGET_TOO_LONG, problems.HEAD_TOO_LARGE, problems.HEAD_TIMEOUT,
    problems.NOT_IMPLEMENTED, problems.VERSION_NOT_SUPPORTED,
)  # fmt: skip
"""Nobody knows where the next request begins: the connection ends with them."""


def page(
    request: Request, problem: Problem, detail: str = "", *, close: bool = False, location: bytes = b""
) -> tuple[int, Headers, bytes]:
    """Status, fields and body of an answer of our own; `detail` is shown.

    `close`: say that the connection ends with it. `location`: where a redirect leads.
    """
    status, headers, body = problems.render(problem, request.fields, detail)
    headers = with_request_id(headers, request.request_id)
    if problem is problems.UPGRADE_REQUIRED:  # RFC 6455 section 4.4
        headers.append((b"sec-websocket-version", b"13"))
    if location:
        headers.append((b"location", location))
    if close:
        headers.append((b"connection", b"close"))
    return status, headers, body


class RefusedRequest(Record):
    """A request that is not carried, and the answer that it gets.

    `detail` is shown. `route`: by which it came, if it has one. `location`: where it is sent.
    """

    limits_client = False

    __slots__ = ("_client", "_gateway", "_location", "_problem", "_request", "_route")

    def __init__(
        self, gateway: Gateway, request: Request, client: HttpClient, problem: Problem, detail: str = "", *,
        route: Route | None = None, location: bytes = b"",
    ) -> None:  # fmt: skip
        now = asyncio.get_running_loop().time()
        super().__init__(
            "http", request.request_id, request.method, request.host, request.path, None, now, request.client,
            request.trace_id,
        )  # fmt: skip
        self.status, self.outcome, self.detail = problem.status, problem.code, detail
        self._gateway = gateway
        self._request = request
        self._client = client
        self._problem = problem
        self._route = route
        self._location = location

    def begin(self) -> None:
        """Answer."""
        close = self._gateway.draining or self._problem in _ENDING
        self._client.answer(*page(self._request, self._problem, self.detail, close=close, location=self._location))

    def body(self, data: bytes, /, *, last: bool) -> bool:  # noqa: ARG002  (the port has it)
        """Nobody wants it."""
        return False

    def spoil(self, problem: Problem, why: str, /) -> None:
        """It is refused already."""

    def sending(self) -> None:
        """Nothing to do."""

    def sent(self, size_bytes: int, /) -> None:
        """Nothing to do."""

    def finished(self, size_bytes: int = 0, /) -> None:  # noqa: ARG002  (the port has it)
        """It is over: counted, and written into the access log."""
        if self.ended_at is None:
            records.end(self._gateway, self, self._route)

    def broken_off(self) -> None:
        """Not called: nothing is broken off here."""

    def left(self, why: str = "", /) -> None:  # noqa: ARG002  (the port has it)
        """The client is gone."""
        self.finished()

    def broke(self) -> None:
        """The server failed."""
        self.finished()


class RefusedHandshake(Record):
    """A WebSocket that is not carried, and the answer that its handshake gets: see `RefusedRequest`."""

    __slots__ = ("_client", "_detail", "_gateway", "_location", "_problem", "_request", "_route")

    def __init__(
        self, gateway: Gateway, request: Request, client: Handshake, problem: Problem, detail: str = "", *,
        route: Route | None = None, location: bytes = b"",
    ) -> None:  # fmt: skip
        now = asyncio.get_running_loop().time()
        super().__init__(
            "websocket", request.request_id, request.method, request.host, request.path, None, now, request.client,
            request.trace_id,
        )  # fmt: skip
        self._gateway = gateway
        self._request = request
        self._client = client
        self._problem = problem
        self._detail = detail
        self._location = location
        self._route = route

    @property
    def is_over(self) -> bool:
        """Whether it is answered, or its client left."""
        return self.ended_at is not None

    def begin(self) -> None:
        """Answer."""
        self.status, self.outcome, self.detail = self._problem.status, self._problem.code, self._detail
        self.closed_by = "gateway"
        self._client.refuse(*page(self._request, self._problem, self._detail, location=self._location))

    def accepted(self) -> None:
        """Not called: nothing is accepted here."""

    def refused(self) -> None:
        """It is over: counted, and written into the access log."""
        if self.ended_at is None:
            records.end(self._gateway, self, self._route)

    def left(self) -> None:
        """The client is gone."""
        if not self.status:
            self.outcome = "client_left"
        self.refused()

    def broke(self) -> None:
        """The server failed."""
        self.refused()

    def abandoned(self) -> None:
        """The server no longer serves it."""
        self.refused()
