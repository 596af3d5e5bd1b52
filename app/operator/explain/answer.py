"""The shapes of the answer of `GET /-/explain`. None is null: not known, or there is none."""

from typing import Any

import msgspec

from ..api.clusters import ClusterItem
from ..api.links import LinkItem
from ..api.routes import RouteItem


class Hop(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a probe's way."""

    hop: str
    """`choose`: until a link was chosen. `link`: a ping. `service`: until the answer's head. `answer`: the whole."""
    seconds: float | None
    text: str


class Probed(msgspec.Struct, frozen=True, kw_only=True):
    """What a probe met. Its access line has the same id, status, outcome and detail."""

    sent: bool
    """Something was sent to an agent."""
    request_id: str
    status: int | None
    outcome: str
    detail: str | None
    hops: list[Hop]


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """What would become of a request for the URL, and why."""

    url: str
    """Without its query."""
    method: str
    host: str
    path: str
    code: str
    """`ok`, or the outcome of the request's own access line."""
    status: int | None
    reason: str | None
    """Which of several causes of the code it is."""
    verdict: str
    hint: str | None
    route: RouteItem | None
    candidates: list[RouteItem]
    """Other routes of the host, in force or not, or of the hosts most like it."""
    policy: dict[str, Any] | None
    """By the keys of `gateway.toml`. Of header fields only the names."""
    cluster: ClusterItem | None
    """Also null where the route is published: its own agent carries it, not those of the cluster."""
    link: LinkItem | None
    """null too where another node's agent carries it."""
    node: str | None
    """The id of the other node whose agent carries it. null: it stays on this one."""
    probe: Probed | None
