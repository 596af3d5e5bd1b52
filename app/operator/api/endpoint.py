"""The door of the API: one path with all its methods, for Starlette.

Order: who may ask, the method, the query, the body, then the resource. Whatever is refused is refused before anything
happened.
"""

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from .errors import ApiError, bad_request, method_not_allowed, not_found
from .everywhere import answered, is_of_several
from .parameters import parse_query
from .resources import Asked, Node, Resource, parameters_of
from .watchers import WATCHED_BYTES, Watcher, changes

Admit = Callable[[Request], Response | None]
"""The answer for somebody who may not ask. None: he may."""

_LAST_EVENT_CHARACTERS = 4096
_PATH_CHARACTERS = 253
"""Of a name in a path: longer ones name nothing."""


class Endpoint:
    """An ASGI application: the rows of one path."""

    def __init__(self, node: Node, rows: Sequence[Resource], admit: Admit) -> None:
        self._node = node
        self._rows = {row.method: row for row in rows}
        self._admit = admit
        methods = sorted(self._rows)
        self._allowed = ", ".join(methods if "GET" not in methods else [*methods, "HEAD"])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        request = Request(scope)
        response = self._admit(request)
        if response is None:
            try:
                row = self._rows.get("GET" if request.method == "HEAD" else request.method)
                if row is None:
                    raise method_not_allowed(self._allowed)
                asked = _checked(row, request)
                if asked.query.get("watch") and request.method != "HEAD":
                    await self._watch(row, asked, receive, send)
                    return
                said = await answered(row, self._node, asked)
                response = _response(said.status, said.body)
            except ApiError as error:
                response = _response(error.fault.status, error.body, error.headers)
        await response(scope, receive, send)

    async def _watch(self, row: Resource, asked: Asked, receive: Receive, send: Send) -> None:
        node, follow = self._node, row.follow
        few = replace(asked, most_bytes=WATCHED_BYTES)
        of_several = is_of_several(node, few)

        async def look() -> bytes:
            return (await answered(row, node, few)).body

        def events(watcher: Watcher) -> AsyncGenerator[bytes]:
            if of_several and row.gather_events is not None:
                return row.gather_events(row, node, few, watcher)
            return changes(watcher, look) if follow is None else follow(node, few, watcher)

        await node.watchers.serve(receive, send, events)


def routes_of(table: Iterable[Resource], node: Node, admit: Admit) -> list[Route]:
    """The Starlette routes of a table, one for each path."""
    paths: dict[str, list[Resource]] = {}
    for row in table:
        paths.setdefault(row.path, []).append(row)
    return [Route(path, Endpoint(node, rows, admit)) for path, rows in paths.items()]


def _checked(row: Resource, request: Request) -> Asked:
    """What was asked. Raises ApiError."""
    query = parse_query(request.scope["query_string"], parameters_of(row))
    if not row.takes_any_body and (
        request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
    ):
        raise bad_request("body", "this takes no body; send none")
    path = {name: str(value) for name, value in request.path_params.items()}
    if any(len(value) > _PATH_CHARACTERS for value in path.values()):
        raise not_found("there is nothing of this name")
    client = request.client.host if request.client is not None else "unknown"
    last_event = request.headers.get("last-event-id", "")[:_LAST_EVENT_CHARACTERS]
    return Asked(query, path, client, last_event=last_event)


def _response(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> Response:
    response = Response(body, status, headers, media_type="application/json")
    response.headers["cache-control"] = "no-store"
    return response
