"""The messages of the extension `publish`: what an agent publishes over its own link, and what it gets for it
(tunnel/PROTOCOL.md, section "Publishing").

Only their shapes and bounds: payloads of the envelope of `messages.py`, read by `messages.decode_payload`. An absent
field has its default; unknown fields are ignored. A wrong value in a route refuses that route (`Code`); only a message
that cannot be read is refused whole. The gateway decides whether a token covers a host.
"""

from enum import StrEnum
from typing import Annotated

import msgspec

FEATURE = "publishes"
"""In `features` of `register`: this link serves only what it publishes."""

MOST_ROUTES = 100
"""Routes in one `publish`, and so of one link. A message of them has about 40 KiB."""

MOST_BYTES = 128 * 1024
"""Of a `publish`. One waits at the gateway for each link of a token that sends them fast."""

LEAST_SECONDS = 1.0
"""Between two `publish` of one link. Of those that come faster only the newest is handled, when the second is over.
One costs the gateway up to 3 ms."""

MOST_ROWS = 100
"""Requests in one `requests`. What there was beyond them is counted in `left_out`."""

ROWS_SECONDS = 0.2
"""The least time between two `requests` of one link."""

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128, pattern=r"\A[ -~]+\Z")]
"""A name that the publisher chose: 1 to 128 printable ASCII characters."""


class Code(StrEnum):
    """Why a route was not published."""

    INVALID = "invalid_route"
    """Its host, path, target or rewrite cannot be served."""
    NOT_ALLOWED = "host_not_allowed"
    """The token's `hosts` do not cover the host, or nobody may have it."""
    TAKEN = "host_taken"
    """Somebody else has the host."""
    TOO_MANY = "too_many_published"
    """The token has as many published routes as it may have (`max_published`)."""
    NO_NAME = "no_free_name"
    """The gateway was asked for a name, and can give none."""


class WantedRoute(msgspec.Struct, omit_defaults=True, kw_only=True):
    """One route that an agent wants to publish."""

    key: Name
    """The publisher's own name for it. With `name_seed` it decides the name that the gateway gives."""
    host: str = ""
    """Exact. Empty: a name that the gateway gives, below the first wildcard of the token. A wildcard: below that."""
    path: str = "/"
    namespace: str = "published"
    service: str = "localhost"
    """With `namespace` and `port` what the routing header of the exchanges names: the agent's own word for it."""
    port: int
    scheme: str = "http"
    """`http` or `https`: what the service speaks."""
    verify: bool = True
    """For https: check the service's certificate."""
    server_name: str = ""
    """For https: the name in the certificate. Empty: the host that the service is told."""
    host_header: str = ""
    """The Host that the service is told. Empty: the public one."""
    strip_prefix: bool = False
    """Take `path` off the path that the service is told."""
    add_prefix: str = ""
    """Put this before the path that the service is told."""
    https_redirect: bool = False
    """Answer requests that came over http with a redirect to https."""


class Publish(msgspec.Struct, omit_defaults=True, kw_only=True):
    """agent -> gateway, `publish`: all that the link publishes from now on. Without routes: nothing any more."""

    routes: Annotated[list[WantedRoute], msgspec.Meta(max_length=MOST_ROUTES)]
    name_seed: Name
    """The agent's identity on its machine, the same at every start."""
    watch: bool = False
    """Send `requests`."""


class PublishedRoute(msgspec.Struct, kw_only=True):
    """What became of one wanted route."""

    key: str
    host: str
    """The name that was given, where one was asked for; else the host that was wanted."""
    path: str
    url: str
    """Where clients reach it; empty if it was refused."""
    code: str = ""
    """A `Code`; empty: it is in force."""
    error: str = ""
    """The code in words, for the publisher's user."""


class Published(msgspec.Struct, kw_only=True):
    """gateway -> agent, `published`, with the `request_id` of the `publish`, and its routes in their order."""

    routes: list[PublishedRoute]


class Unpublished(msgspec.Struct, kw_only=True):
    """gateway -> agent, `unpublished`: another agent has these hosts, after all."""

    hosts: list[str]


class RequestRow(msgspec.Struct, kw_only=True):
    """One exchange that has ended."""

    id: str
    at: str
    """When it began: RFC 3339, in UTC."""
    kind: str
    """`http` or `websocket`."""
    method: str
    host: str
    path: str
    """Without its query."""
    status: int
    """0: there was no answer."""
    outcome: str
    seconds: float
    bytes_up: int
    bytes_down: int
    client: str
    key: str
    """Of the route that it came by."""


class Requests(msgspec.Struct, kw_only=True):
    """gateway -> agent, `requests`: exchanges that have ended since the last one, the oldest first."""

    requests: list[RequestRow]
    left_out: int = 0
    """How many more there were."""
