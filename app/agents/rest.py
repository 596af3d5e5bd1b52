"""The REST calls of the existing agent: routes that it registers, and the other addresses it asks.

Thin: authorise the caller, read a bounded body, let `app/learned/` decide. Answers on control hosts only. Success of a
route call is exactly 200, sent only after the change is committed: the agent takes 201 for an error and tries three
times, 1 and 2 s apart, and its registrations run one after the other. So a route that is refused for good is answered
200 too, with `stored` false and the reason; trying again would only delay the routes behind it. A bad route in a sync
is refused alone and named in the answer, and the others still count. A temporary failure is 503, and so is an unknown
token; 401 is only for a revoked token, 400 for what is not such a call at all. Tokens never reach a log.
Syncs of one cluster take turns (`syncs.py`), and each lets others run after every few routes.
"""

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol
from urllib.parse import unquote

import msgspec

from tunnel.account import Holding
from tunnel.port import Headers

from ..learned import Claim, ClaimError, Fault, NotSharedError, StoreError, bodies, claims
from ..learned.bounds import ROUTES_IN_ALL
from ..node.gateway import Gateway
from ..observed.metrics import AgentRefused
from ..rules import own_paths, problems
from ..rules.request import Request
from ..settings import Grant, Settings, token_hash
from .endpoints import authorise
from .refused import reason_of, tell
from .stranded import Stranded
from .syncs import Syncs

logger = logging.getLogger("gateway.agents")

BODY_BYTES = 1024 * 1024
SYNC_BODY_BYTES = 4 * 1024 * 1024
"""About 5,000 ingresses with their annotations."""
BODY_SECONDS = 30.0
"""The agent's own timeout for a call."""
_CLAIMS_PER_TURN = 50
"""Checking this many takes half a millisecond; then other work on the event loop gets a turn."""
_REJECTED_SHOWN = 1_000

_Answer = tuple[int, object]

_FAULTS = {
    Fault.INVALID: problems.Problem(
        422, Fault.INVALID.value, "Not a route", "The gateway cannot serve this route.",
        "Fix the ingress that it comes from.",
    ),
    Fault.NOT_ALLOWED: problems.Problem(
        403, Fault.NOT_ALLOWED.value, "Not this agent's", "The agent's token does not allow this.",
        "Ask the operator to check clusters and hosts in the token's [[agents]] entry.",
    ),
    Fault.TAKEN: problems.Problem(
        409, Fault.TAKEN.value, "Held by another cluster", "Another cluster has registered this host.",
        "Unregister it in that cluster, or wait until that registration expires.",
    ),
    Fault.TOO_MANY: problems.Problem(
        409, Fault.TOO_MANY.value, "Too many routes", "The gateway's limit for registered routes is reached.",
        "Use wildcards or shorter prefixes, or ask the operator to add [[routes]] entries to the gateway's file.",
    ),
}  # fmt: skip
_NOT_JSON = problems.Problem(
    400, "bad_body", "Not understood", "The body is not valid for this call.",
    "Check that this agent's version works with this gateway.",
)  # fmt: skip
_TOO_LARGE = problems.Problem(413, "body_too_large", "Too large", "The body is too large.", "Send a smaller body.")
_TOO_SLOW = problems.Problem(408, "request_timeout", "Too slow", "The body did not arrive in time.", "Try again.")
_NOT_STORED = problems.Problem(
    503, "not_stored", "Not stored", "The gateway serves the route, but could not write it to disk.",
    "Ask the operator to check the gateway's log and the disk under state_dir.", 5,
)  # fmt: skip
_NOT_SHARED = problems.Problem(
    503, "not_shared", "Not shared", "The gateway's nodes could not agree on this change in time.",
    "Try again. If it lasts, ask the operator to check NATS and the gateway's log.", 5,
)  # fmt: skip
_WRONG_METHOD = problems.Problem(
    405, "method_not_allowed", "Wrong method", "This address does not take this method.",
    "Use a method that the Allow header names.",
)  # fmt: skip
_NO_TCP_TUNNELS = problems.Problem(
    501, "no_tcp_tunnels", "No TCP tunnels", "This gateway does not serve TCP tunnels.",
    "Use it for HTTP and WebSockets.",
)  # fmt: skip
_NO_IP_INTEL = problems.Problem(
    404, "no_ip_intel", "Not available", "This gateway does not look up IP addresses.", "You need not do anything."
)

_NOT_TOLD = (_NO_TCP_TUNNELS, _NO_IP_INTEL, _NOT_STORED, _NOT_SHARED, problems.NO_ROUTE)


class _RefusedError(Exception):
    """Answer the call with this problem."""

    def __init__(self, problem: problems.Problem, detail: str = "") -> None:
        super().__init__(detail)
        self.problem = problem
        self.detail = detail


class _LeftError(Exception):
    """The agent has left; there is nobody to answer."""


class Caller(Protocol):
    """The agent that made a call: its request body, and the way to answer it."""

    def receive(self) -> Awaitable[tuple[bytes, bool] | None]:
        """The next part of the body, and whether more follows. None: the caller has left."""

    def answer(self, status: int, headers: Headers, body: bytes, /) -> Awaitable[None]:
        """Send the answer, without its body if the call was a HEAD."""


class ControlPlane:
    """The REST endpoints of one gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._syncs = Syncs(time.monotonic)
        self._stranded = Stranded()
        call = Callable[[Request, Caller, str], Awaitable[_Answer]]
        table: dict[re.Pattern[str], dict[str, call]] = {
            own_paths.REGISTER: {"POST": self._register},
            own_paths.SYNC: {"POST": self._sync},
            own_paths.UNREGISTER: {"POST": self._unregister},
            own_paths.TUNNELS: {"GET": self._list_tunnels, "POST": self._add_tunnel},
            own_paths.TUNNELS_SYNC: {"POST": self._sync_tunnels, "DELETE": self._drop_tunnel},
            own_paths.TUNNEL: {"DELETE": self._drop_tunnel},
            own_paths.IP_INTEL: {"GET": self._ip_intel},
        }
        self._calls = [(path, table[path]) for path in own_paths.CALLS]

    def takes(self, path: bytes) -> bool:
        """Whether this path is one of these endpoints."""
        return self._found(path) is not None

    async def handle(self, request: Request, caller: Caller) -> None:
        """Serve one call."""
        self._gateway.open()
        headers: Headers = []
        try:
            found = self._found(request.path)
            if found is None:
                raise _RefusedError(problems.NO_ROUTE)  # noqa: TRY301  (the handler below writes every refusal)
            name, methods = found
            call = methods.get(request.method)
            if call is None:
                headers.append((b"allow", ", ".join(methods).encode()))
                raise _RefusedError(_WRONG_METHOD)  # noqa: TRY301  (likewise)
            status, value = await call(request, caller, name)
            body = b"" if status == 204 else msgspec.json.encode(value) + b"\n"
            headers.append((b"content-type", b"application/json"))
            headers.append((b"content-length", str(len(body)).encode()))
        except _LeftError:
            return
        except (ClaimError, StoreError, NotSharedError, bodies.BodyError, _RefusedError) as error:
            problem, detail = _problem_of(error)
            self._tell(request, error, problem, detail)
            status, rendered, body = problems.render(problem, request.fields, detail)
            headers += rendered
            if problem in (_TOO_LARGE, _TOO_SLOW):
                headers.append((b"connection", b"close"))  # the rest of the body will not be read
        if status == 204:
            headers = []
        await caller.answer(status, headers, body)

    def _found(self, path: bytes) -> tuple[str, Any] | None:
        text = path.decode("latin-1")
        for pattern, methods in self._calls:
            if (match := pattern.fullmatch(text)) is not None:
                return unquote(match[1]) if pattern.groups else "", methods
        return None

    # --- routes

    async def _register(self, request: Request, caller: Caller, _: str) -> _Answer:
        self._grant(request)
        body = (await self._body(request, caller, BODY_BYTES)).decoded(bodies.RegisterBody)
        grant = self._grant(request)  # the configuration may have changed meanwhile
        gateway = self._gateway
        named = bodies.named_by_register(body)
        cluster = ""
        try:
            cluster = claims.checked_cluster(grant, body.cluster_uuid)
            self._look_for_link(cluster)
            who = self._who(request, cluster)
            claim = claims.checked(grant, gateway.settings.control_hosts, cluster, named)
            if body.routing_mode == bodies.DIRECT:
                await gateway.registering.unregister(claim.host, (cluster,), who, path=claim.path)
                return 200, {"success": True, "stored": False, "message": "direct routes do not use this gateway"}
            learned = await gateway.registering.register(claim, who)
        except ClaimError as error:
            who = self._who(request, cluster or "(not named)")
            gateway.learned.refuse(cluster, named.host, named.path, error, who)
            return 200, {"success": True, "stored": False, "code": error.fault.value, "reason": str(error),
                         "hint": _FAULTS[error.fault].hint}  # fmt: skip
        return 200, {"success": True, "stored": True, "in_force": gateway.is_in_force(claim),
                     "host": claim.host, "path": claim.path, "expires_at": learned.expires_at}  # fmt: skip

    async def _sync(self, request: Request, caller: Caller, _: str) -> _Answer:
        self._grant(request)
        body = (await self._body(request, caller, SYNC_BODY_BYTES)).decoded(bodies.SyncBody)
        await asyncio.sleep(0)  # a long body was read in one piece, and that took a whole turn
        cluster = claims.checked_cluster(self._grant(request), body.cluster_uuid)
        token, per_minute = token_hash(request.bearer_token), self._gateway.settings.max_syncs_per_minute
        if not await self._syncs.begin(cluster, token, per_minute):
            return 200, {"success": True, "superseded": True, "accepted": 0, "rejected_count": 0, "rejected": []}
        try:
            return await self._synced(request, body)
        finally:
            self._syncs.end(cluster)

    async def _synced(self, request: Request, body: bodies.SyncBody) -> _Answer:
        gateway = self._gateway
        while True:
            settings, grant = gateway.settings, self._grant(request)  # they may have changed while it waited
            cluster = claims.checked_cluster(grant, body.cluster_uuid)
            accepted, rejected = await self._checked(settings, grant, cluster, body)
            if gateway.settings is settings:
                break
        who = self._who(request, cluster)
        refused = await gateway.registering.sync(cluster, accepted, grant.hosts, who)
        told = [(named.host, named.path, error) for named, error in rejected]
        told += [(claim.host, claim.path, error) for claim, error in refused]
        for number, (host, path, error) in enumerate(told, 1):
            gateway.learned.refuse(cluster, host, path, error, who)
            if number % _CLAIMS_PER_TURN == 0:
                await asyncio.sleep(0)
        return 200, {
            "success": True,
            "accepted": len(accepted) - len(refused),
            "rejected_count": len(told),
            "rejected": [
                {"host": host[:300], "path": path[:300], "code": error.fault.value, "reason": str(error)}
                for host, path, error in told[:_REJECTED_SHOWN]
            ],
        }

    async def _checked(
        self, settings: Settings, grant: Grant, cluster: str, body: bodies.SyncBody
    ) -> tuple[list[Claim], list[tuple[bodies.Named, ClaimError]]]:
        """Split a sync into the routes that the token allows and those it does not. A direct sync has no routes."""
        accepted: list[Claim] = []
        rejected: list[tuple[bodies.Named, ClaimError]] = []
        if body.routing_mode == bodies.DIRECT:
            return accepted, rejected
        for number, named in enumerate(bodies.named_by_sync(body), 1):
            if named is not None:
                if len(accepted) + len(rejected) >= ROUTES_IN_ALL:
                    raise ClaimError(Fault.TOO_MANY, f"a sync may name at most {ROUTES_IN_ALL} routes")
                try:
                    accepted.append(claims.checked(grant, settings.control_hosts, cluster, named))
                except ClaimError as error:
                    rejected.append((named, error))
            if number % _CLAIMS_PER_TURN == 0:
                await asyncio.sleep(0)
        return accepted, rejected

    async def _unregister(self, request: Request, caller: Caller, _: str) -> _Answer:
        self._grant(request)
        body = (await self._body(request, caller, BODY_BYTES)).decoded(bodies.UnregisterBody)
        grant = self._grant(request)
        host = claims.learnable_host(grant, self._gateway.settings.control_hosts, body.hostname)
        who = self._who(request, *grant.clusters)
        try:
            removed = await self._gateway.registering.unregister(host, grant.clusters, who)
        except ClaimError as error:
            self._gateway.learned.refuse("", host, "", error, who)
            raise
        return 200, {"success": True, "removed": removed}

    # --- TCP tunnels and address look-ups, which this gateway does not serve

    async def _list_tunnels(self, request: Request, _: Caller, name: str) -> _Answer:
        claims.checked_cluster(self._grant(request), name)
        return 200, []

    async def _add_tunnel(self, request: Request, _: Caller, name: str) -> _Answer:
        claims.checked_cluster(self._grant(request), name)
        raise _RefusedError(_NO_TCP_TUNNELS)

    async def _sync_tunnels(self, request: Request, caller: Caller, name: str) -> _Answer:
        claims.checked_cluster(self._grant(request), name)
        body = (await self._body(request, caller, BODY_BYTES)).decoded(bodies.TunnelSyncBody)
        rejected = [
            {"tunnel_id": tunnel.tunnel_id or "", "reason": _NO_TCP_TUNNELS.what}
            for tunnel in (body.tunnels or ())[:_REJECTED_SHOWN]
        ]
        return 200, {"accepted": [], "rejected": rejected}

    async def _drop_tunnel(self, request: Request, _: Caller, name: str) -> _Answer:
        claims.checked_cluster(self._grant(request), name)
        return 204, None

    async def _ip_intel(self, _: Request, __: Caller, ___: str) -> _Answer:
        raise _RefusedError(_NO_IP_INTEL)

    # --- the caller and its body

    def _tell(self, request: Request, error: Exception, problem: problems.Problem, detail: str) -> None:
        """Tell the operator of a call that was refused, unless it was told already or concerns nobody."""
        reason = _reason_of(error, problem)
        if reason is not None:
            why = f"{problem.what} ({detail})" if detail else problem.what
            path = request.path.decode("ascii", "backslashreplace")
            cluster = error.cluster if isinstance(error, ClaimError) else ""
            tell(self._gateway, request, reason, problem.status, f"call to {path:.100}: {why}", cluster=cluster)

    def _grant(self, request: Request) -> Grant:
        grant = authorise(self._gateway, request)
        if isinstance(grant, Grant):
            return grant
        raise _RefusedError(grant)

    def _look_for_link(self, cluster: str) -> None:
        is_linked = bool(self._gateway.registry.links(cluster))
        if self._stranded.called(cluster, time.monotonic(), is_linked=is_linked):
            logger.warning(
                "cluster %s registers routes and has no link: nobody serves them. Restart the agent's pod: "
                "one that got no 101 at its start does not dial again",
                cluster,
            )

    def _who(self, request: Request, *clusters: str) -> str:
        """The caller, for the log: the connected agents with this token, else the peer's address."""
        digest = token_hash(request.bearer_token)
        links = [link for cluster in clusters for link in self._gateway.registry.links(cluster)]
        agents = sorted({link.agent_id for link in links if link.token_hash == digest and link.agent_id})
        name = f"agent {' or '.join(agents[:3])}" if agents else f"the agent at {request.peer}"
        return f"{name} of cluster {' or '.join(clusters)}"

    async def _body(self, request: Request, caller: Caller, limit_bytes: int) -> bodies.Text:
        """Read the whole body; its bytes count in the process's account while it arrives."""
        account = self._gateway.account
        if account.refuses:
            raise _RefusedError(problems.BUSY)
        length = request.first(b"content-length") or b""
        if length.isdigit() and (len(length) > 18 or int(length) > limit_bytes):
            raise _RefusedError(_TOO_LARGE, f"at most {limit_bytes} bytes")
        text = bodies.Text()
        held = Holding(account)
        try:
            async with asyncio.timeout(BODY_SECONDS):
                more = True
                while more:
                    part = await caller.receive()
                    if part is None:
                        raise _LeftError
                    chunk, more = part
                    held.add(len(chunk))
                    if held.size_bytes > limit_bytes:
                        raise _RefusedError(_TOO_LARGE, f"at most {limit_bytes} bytes")
                    text.add(chunk)
        except TimeoutError:
            raise _RefusedError(_TOO_SLOW) from None
        finally:
            held.close()
        return text


def _reason_of(error: Exception, problem: problems.Problem) -> AgentRefused | None:
    """Why the call was refused. None: it is told elsewhere, or asks for what this gateway does not have."""
    if isinstance(error, ClaimError):
        return {Fault.NOT_ALLOWED: AgentRefused.NOT_COVERED, Fault.TAKEN: None, Fault.TOO_MANY: AgentRefused.FULL}.get(
            error.fault, AgentRefused.BAD_CALL
        )
    return None if problem in _NOT_TOLD else reason_of(problem)


def _problem_of(error: Exception) -> tuple[problems.Problem, str]:
    """The problem to answer with, and the detail to show."""
    if isinstance(error, ClaimError):
        return _FAULTS[error.fault], str(error)
    if isinstance(error, _RefusedError):
        return error.problem, error.detail
    if isinstance(error, bodies.BodyError):
        return _NOT_JSON, str(error)
    return _NOT_SHARED if isinstance(error, NotSharedError) else _NOT_STORED, ""
