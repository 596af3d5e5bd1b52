"""One HTTP request on a route that rewrites: its service gets another request, and its client another answer.

All else is that of any call. The record, and with it the log, has what the client asked for.
"""

from tunnel.override import override
from tunnel.port import Headers, ResponseHead

from ..node.gateway import Gateway
from ..rules.request import Request
from ..rules.rewrite import Rewrite
from ..rules.routes import Route
from .client_port import HttpClient
from .http_call import HttpCall
from .rewriting import fields_for_client, request_for_service


class RewrittenCall(HttpCall):
    """See the module."""

    __slots__ = ("_asked", "_rewrite")

    def __init__(
        self, gateway: Gateway, route: Route, request: Request, client: HttpClient, rewrite: Rewrite
    ) -> None:  # fmt: skip
        super().__init__(gateway, route, request, client)
        self._rewrite = rewrite
        self._asked = request
        self._request = request_for_service(rewrite, request)

    @override
    def head(self, head: ResponseHead, /) -> None:
        if head.status >= 200:
            head = ResponseHead(head.status, fields_for_client(self._rewrite, self._asked, head.headers))
        super().head(head)

    @override
    def whole(self, status: int, headers: Headers, block: bytes, body: bytes, /) -> None:
        headers = fields_for_client(self._rewrite, self._asked, headers)
        block = b"".join([b"%b: %b\r\n" % field for field in headers])
        super().whole(status, headers, block, body)
