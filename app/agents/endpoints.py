"""The endpoints that agents dial: `/agent` (ours), `/api/v1/clusters/agent/ws` and `/ws` (the existing agent's).

Decides which agents are admitted and for which cluster; `AgentSocket` carries the link after that. A handshake gets 401
only if its token is marked `revoked`, and never 403: the existing agent would stay away until its pod restarts. Every
other refusal is 503, and the agent tries again.

The controller socket is the exception: the existing agent dials it once, in its constructor, and any answer but 101
strands it until somebody restarts its pod. So a refusal there is 101 and then close 1013: the agent exits, and
Kubernetes starts it again. A revoked token gets its 401 there too: it is meant to stay away, and a new token restarts
the pod.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from urllib.parse import parse_qs

from tunnel.gateway.link import Link
from tunnel.wire import messages, publishing

from ..node.admission import Ticket
from ..node.gateway import Gateway
from ..node.seats import TOO_MANY
from ..observed.metrics import AgentRefused
from ..rules import problems
from ..rules.hosts import normalise_host
from ..rules.own_paths import AGENT, CONTROLLER, GATEWAY
from ..rules.request import Request
from ..settings import Grant, token_hash
from .dialects import CHUNK, JSON, can_speak, dialect_of, give_carrier
from .refused import NO_TOKEN, NOT_COVERED, REVOKED, TWIN, UNKNOWN_TOKEN, WRONG_HOST, reason_of, tell
from .socket import AgentLeftError, AgentSocket, AgentWebSocket

logger = logging.getLogger("gateway.agents")

_REGISTER_SECONDS = 30.0
_CONTROLLER_SECONDS = 120.0
"""The existing agent leaves the controller socket at once. We close one that stays longer and does nothing."""


def authorise(gateway: Gateway, request: Request) -> Grant | problems.Problem:
    """The grant of the handshake's bearer token, or the problem to answer with."""
    if gateway.closing:
        return problems.STOPPING
    grant = gateway.settings.grants.get(token_hash(request.bearer_token))
    if grant is None:
        return UNKNOWN_TOKEN if request.bearer_token else NO_TOKEN
    return REVOKED if grant.revoked else grant


def cluster_of(grant: Grant, *claims: str) -> str | None:
    """The agent's cluster: the first claim that its token covers, else the token's only cluster."""
    for claim in claims:
        if claim in grant.clusters:
            return claim
    return grant.clusters[0] if len(grant.clusters) == 1 else None


async def serve_agent(gateway: Gateway, request: Request, websocket: AgentWebSocket) -> None:
    """`/agent`: register and stay."""
    grant = await _admitted(gateway, request, websocket)
    if grant is None:
        return
    known = cluster_of(grant)  # where the token covers several, the agent says which one
    with contextlib.ExitStack() as seats:
        seat = await _seated(gateway, request, websocket, seats, known)
        if seat is not None:
            await _serve_agent(AgentSocket(gateway, request, websocket), seats, seat, known)


async def _serve_agent(socket: AgentSocket, seats: contextlib.ExitStack, seat: Ticket, known: str | None) -> None:
    """An agent whose token has a seat; `known`: the cluster that has one, too."""
    gateway, request = socket.gateway, socket.request
    try:
        await socket.accept()
        async with asyncio.timeout(_REGISTER_SECONDS):
            envelope = await socket.envelope("register")
        register = messages.decode_payload(envelope, messages.Register)
        grant = await _still_granted(socket)
        cluster = cluster_of(grant, register.cluster_id, register.name)
        if cluster is None or (register.cluster_id and register.cluster_id != cluster):
            text = f"this token does not serve cluster {register.cluster_id or register.name!r}"
            await _refuse_register(socket, AgentRefused.NOT_COVERED, text, register, envelope)
            return
        dialect = dialect_of(grant, register.features)
        if not can_speak(dialect, register.features):
            text = f"the gateway speaks {dialect} with this token's agents, and this agent does not offer it"
            await _refuse_register(socket, AgentRefused.DIALECT, text, register, envelope)
            return
        publishes = bool(register.features.get(publishing.FEATURE))
        if publishes and not register.agent_id:
            text = "an agent that publishes has to name itself: agent_id is empty"
            await _refuse_register(socket, AgentRefused.BAD_REGISTER, text, register, envelope)
            return
        if publishes:
            await _seat_later(socket, seats, publishers_of=cluster)
            seat.release_as("cluster")
        elif cluster != known:
            await _seat_later(socket, seats, cluster=cluster)
        await socket.confirm(register, envelope.request_id, cluster, publishes=publishes)
        link = socket.new_link(cluster, register.agent_id[: messages.NAME_LIMIT] or None, publishes=publishes)
        link.agent_version = register.agent_version[: messages.NAME_LIMIT]
        await _join(socket, link)
        give_carrier(gateway, link, dialect, register.features)
        await socket.serve(link)
    except (AgentLeftError, TimeoutError, messages.MessageError, OSError) as error:
        text = str(error) or "did not register in time"
        if socket.link is None and isinstance(error, TimeoutError | messages.MessageError):
            tell(gateway, request, AgentRefused.BAD_REGISTER, 1008, text)
        else:
            logger.info("agent at /agent: %s", text)
        await socket.close(1008, "registration failed")


async def serve_controller(gateway: Gateway, request: Request, websocket: AgentWebSocket) -> None:
    """The existing agent's controller socket: it registers, learns the gateway's address, and leaves.

    An agent that stays and sends a heartbeat is served here in json, and an agent that speaks chunk is served in chunk.
    """
    if await _admitted(gateway, request, websocket) is None:
        return
    socket = AgentSocket(gateway, request, websocket)
    try:
        await socket.accept()
        with contextlib.ExitStack() as seats:
            async with asyncio.timeout(_CONTROLLER_SECONDS):
                link, dialect, features = await _stays(socket, seats)
            give_carrier(gateway, link, dialect, features)
            await socket.serve(link)
    except AgentLeftError:
        pass  # the usual end; an agent that resumes leaves without a register
    except messages.MessageError as error:
        tell(gateway, request, AgentRefused.BAD_REGISTER, 1000, str(error))
        await socket.close(1000, "")
    except (TimeoutError, OSError) as error:
        logger.info("controller socket: %s", str(error) or "the agent registered and did nothing more")
        await socket.close(1000, "")


async def _stays(socket: AgentSocket, seats: contextlib.ExitStack) -> tuple[Link, str, Mapping[str, bool]]:
    """Answer registrations until the agent stays. Returns its link, dialect and features.

    Raises AgentLeftError, MessageError.
    """
    gateway = socket.gateway
    cluster, agent_id = "", ""
    while True:
        envelope = await socket.envelope("register", "heartbeat")
        if envelope.type == "heartbeat":
            if not cluster:
                continue
            await _seat_later(socket, seats, token=token_hash(socket.request.bearer_token), cluster=cluster)
            link = socket.new_link(cluster, agent_id or None)
            await _join(socket, link)
            link.text_received(socket.last_text)
            return link, JSON, {}
        register = messages.decode_payload(envelope, messages.Register)
        grant = await _still_granted(socket)
        agent_id = register.agent_id[: messages.NAME_LIMIT]
        cluster = cluster_of(grant, register.cluster_id, register.name) or ""
        if not cluster:
            # The close reason matters: "not registered" or "cluster not found" would make the agent forget its id.
            text = "the token covers several clusters, and the agent names none of them"
            _tell_register(socket, AgentRefused.NOT_COVERED, text, register)
            await socket.close(1008, text)
            raise AgentLeftError("no cluster named")
        chunks = dialect_of(grant, register.features) == CHUNK
        logger.info("agent %.80r registered for cluster %s", register.agent_id, cluster)
        url = "" if chunks else _gateway_url(gateway, socket.request)
        await socket.confirm(register, envelope.request_id, cluster, url)
        if chunks:
            await _seat_later(socket, seats, token=token_hash(socket.request.bearer_token), cluster=cluster)
            link = socket.new_link(cluster, agent_id or None)
            await _join(socket, link)
            return link, CHUNK, register.features


async def serve_gateway(gateway: Gateway, request: Request, websocket: AgentWebSocket) -> None:
    """The existing agent's gateway socket: the token and `cluster_uuid` say who it is."""
    grant = await _admitted(gateway, request, websocket)
    if grant is None:
        return
    query = parse_qs(request.query.decode("latin-1"))
    claim = query.get("cluster_uuid", [""])[0]
    cluster = cluster_of(grant, claim)
    if cluster is None or (claim and claim != cluster):
        why = f"the token does not cover cluster {claim[:80]!r}" if claim else "the token covers several clusters"
        await refuse(gateway, request, websocket, NOT_COVERED, why)
        return
    if gateway.registry.holds_off(cluster):
        await refuse(gateway, request, websocket, TWIN, f"cluster {cluster} has an agent with a twin")
        return
    with contextlib.ExitStack() as seats:
        if await _seated(gateway, request, websocket, seats, cluster) is None:
            return
        socket = AgentSocket(gateway, request, websocket)
        try:
            await socket.accept()
            link = socket.new_link(cluster, None)
            link.agent_version = query.get("agent_version", [""])[0][:64]
            gateway.registry.add(link)
            flags = {name: values[0] == "true" for name, values in query.items()}
            give_carrier(gateway, link, dialect_of(grant, flags), flags)
            await socket.serve(link)
        except (AgentLeftError, OSError) as error:
            logger.info("agent at /ws: %s", error)


async def _seated(
    gateway: Gateway, request: Request, websocket: AgentWebSocket, seats: contextlib.ExitStack, cluster: str | None
) -> Ticket | None:
    """Take the seats of one more link; None: there is none, and the agent was turned away."""
    seat = gateway.seats.take(gateway.settings, token=token_hash(request.bearer_token), cluster=cluster)
    if isinstance(seat, str):
        await refuse(gateway, request, websocket, TOO_MANY, f"too many links: {seat}")
        return None
    seats.callback(seat.release)
    return seat


async def _seat_later(
    socket: AgentSocket, seats: contextlib.ExitStack, *,
    token: bytes | None = None, cluster: str | None = None, publishers_of: str | None = None,
) -> None:  # fmt: skip
    """The seats of an agent that was accepted before it was known whose it is. Raises AgentLeftError: there is none."""
    seat = socket.gateway.seats.take(socket.gateway.settings, token=token, cluster=cluster, publishers_of=publishers_of)
    if isinstance(seat, str):
        tell(socket.gateway, socket.request, AgentRefused.FULL, 1013, f"too many links: {seat}",
             cluster=cluster or publishers_of or "")  # fmt: skip
        await socket.close(1013, TOO_MANY.code)
        raise AgentLeftError("too many links")
    seats.callback(seat.release)


async def _join(socket: AgentSocket, link: Link) -> None:
    """Add the link. Raises AgentLeftError: another process with its agent id keeps its link."""
    socket.gateway.registry.add(link)
    if link.close_code is not None:
        await socket.close(link.close_code, link.close_reason)
        raise AgentLeftError(link.close_reason)


async def _still_granted(socket: AgentSocket) -> Grant:
    """The token's grant now: the configuration may have changed since the handshake. Raises AgentLeftError."""
    grant = authorise(socket.gateway, socket.request)
    if isinstance(grant, Grant):
        return grant
    tell(socket.gateway, socket.request, reason_of(grant), 1008, grant.what)
    await socket.close(1008, grant.code)
    raise AgentLeftError(f"its token is no longer accepted: {grant.code}")


async def _admitted(gateway: Gateway, request: Request, websocket: AgentWebSocket) -> Grant | None:
    gateway.open()
    grant = authorise(gateway, request)
    if isinstance(grant, Grant):
        return grant
    await refuse(gateway, request, websocket, grant)
    return None


async def refuse(
    gateway: Gateway, request: Request, websocket: AgentWebSocket, problem: problems.Problem, why: str = ""
) -> None:
    """Turn the agent away, and tell the operator. `why`: what he is told, where it says more than the problem."""
    code = 1013 if _is_stranded_by(request, problem) else problem.status
    tell(gateway, request, reason_of(problem), code, why or problem.what)
    await turn_away(request, websocket, problem)


async def _refuse_register(
    socket: AgentSocket, reason: AgentRefused, why: str, register: messages.Register, envelope: messages.Envelope
) -> None:
    """Turn away an agent that has registered, with a text that says why."""
    _tell_register(socket, reason, why, register)
    await socket.send_text(messages.encode("error", messages.Notice(error=why), envelope.request_id))
    await socket.close(1008, why)


def _tell_register(socket: AgentSocket, reason: AgentRefused, why: str, register: messages.Register) -> None:
    claim, agent_id = register.cluster_id or register.name, register.agent_id
    tell(socket.gateway, socket.request, reason, 1008, why, cluster=claim, agent=agent_id)


async def turn_away(request: Request, websocket: AgentWebSocket, problem: problems.Problem) -> None:
    """Refuse an agent's handshake with this status. On the controller socket, and if the server can only send 403,
    accept and close with 1013 at once: nothing that the agent sends is read for it, and it takes no seat.
    """
    if not await websocket.begin():
        return
    if problem.status == 401 or (websocket.can_refuse and not _is_stranded_by(request, problem)):
        await websocket.refuse(*problems.render(problem, request.fields))
        return
    with contextlib.suppress(OSError):  # the agent has left
        await websocket.accept()
        await websocket.close(1013, problem.code)


def _is_stranded_by(request: Request, problem: problems.Problem) -> bool:
    """Whether the answer of this problem, unlike a close, would strand an agent that is to come back."""
    return request.path == CONTROLLER and problem.status != 401


def _gateway_url(gateway: Gateway, request: Request) -> str:
    """The address of `/ws` for the existing agent, from `public_url`, else from this request.

    A wrong scheme makes that agent exit.
    """
    if gateway.settings.public_url is not None:
        scheme, _, rest = gateway.settings.public_url.partition("://")
        return f"{'wss' if scheme.lower() == 'https' else 'ws'}://{rest}/ws"
    host = (request.host or b"localhost").decode("latin-1")
    return f"{'wss' if request.scheme == 'https' else 'ws'}://{host}{request.prefix}/ws"


PATHS = {AGENT: serve_agent, CONTROLLER: serve_controller, GATEWAY: serve_gateway}


def is_for_agents(gateway: Gateway, request: Request) -> bool:
    """Whether a WebSocket to a host that nobody has is an agent's, by its path. Without a token, and to a host that may
    still be published, it is a client's: services have a `/ws`, too.
    """
    return request.path in PATHS and (
        bool(request.bearer_token) or not gateway.is_to_come(normalise_host(request.host.decode("latin-1")))
    )


async def serve(gateway: Gateway, request: Request, websocket: AgentWebSocket, *, is_control_host: bool) -> None:
    """Serve what came for one of `PATHS`. On another host turn the agent away."""
    if not is_control_host:
        why = f"Host {request.host[:100]!r} is not a control host; set public_url or control_hosts to it"
        await refuse(gateway, request, websocket, WRONG_HOST, why)
        return
    await PATHS[request.path](gateway, request, websocket)
