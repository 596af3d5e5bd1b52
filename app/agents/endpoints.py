"""The endpoints that agents dial: `/agent` (ours), `/api/v1/clusters/agent/ws` and `/ws` (the existing agent's).

Who is let in, for which cluster, and what it is told; `AgentSocket` does the talking after that. A handshake is
never answered with 401 or 403 unless the token is on the file's revoked list: the existing agent would stay away
until its pod restarts. Whatever else is wrong is 503.
"""

import asyncio
import logging
from collections.abc import Mapping
from urllib.parse import parse_qs

from tunnel.gateway.link import Link
from tunnel.wire import messages

from ..node.gateway import Gateway
from ..rules import problems
from ..rules.request import Request
from ..settings import Grant, token_hash
from .dialects import CHUNK, JSON, can_speak, dialect_of, give_carrier
from .socket import AgentLeftError, AgentSocket, AgentWebSocket

logger = logging.getLogger("gateway.agents")

_REGISTER_SECONDS = 30.0
_CONTROLLER_SECONDS = 120.0
"""The existing agent leaves the controller socket at once; one that stays has nothing to do there."""

_REFUSED = problems.Problem(
    503, "agent_refused", "Agent refused", "The token is unknown here, or does not cover the cluster it names.",
    "The operator compares the agent's token and cluster with [[agents]] in the gateway's configuration.", 5,
)  # fmt: skip
_REVOKED = problems.Problem(
    401, "token_revoked", "Token revoked", "This agent's token was revoked.", "The operator gives it a new one."
)


def authorise(gateway: Gateway, request: Request) -> Grant | problems.Problem:
    """The grant of the handshake's bearer token, or what to answer."""
    if gateway.closing:
        return problems.STOPPING
    grant = gateway.settings.grants.get(token_hash(request.bearer_token))
    if grant is None:
        return _REFUSED
    return _REVOKED if grant.revoked else grant


def cluster_of(grant: Grant, *claims: str) -> str | None:
    """The cluster that an agent speaks for: the first claim its token covers, else the token's only one."""
    for claim in claims:
        if claim in grant.clusters:
            return claim
    return grant.clusters[0] if len(grant.clusters) == 1 else None


async def serve_agent(gateway: Gateway, request: Request, websocket: AgentWebSocket) -> None:
    """`/agent`: register and stay."""
    grant = await _admitted(gateway, request, websocket)
    if grant is None:
        return
    socket = AgentSocket(gateway, request, websocket)
    try:
        await socket.accept()
        async with asyncio.timeout(_REGISTER_SECONDS):
            envelope = await socket.envelope("register")
        register = messages.decode_payload(envelope, messages.Register)
        grant = await _still_granted(socket)
        cluster = cluster_of(grant, register.cluster_id, register.name)
        if cluster is None or (register.cluster_id and register.cluster_id != cluster):
            text = f"this token does not serve cluster {register.cluster_id or register.name!r}"
            await socket.send_text(messages.encode("error", messages.Notice(error=text), envelope.request_id))
            await socket.close(1008, text)
            return
        dialect = dialect_of(grant, register.features)
        if not can_speak(dialect, register.features):
            text = f"this token's agents are spoken with in {dialect}, which is not what this agent offers"
            logger.warning("agent %.80r refused: %s", register.agent_id, text)
            await socket.send_text(messages.encode("error", messages.Notice(error=text), envelope.request_id))
            await socket.close(1008, text)
            return
        success = messages.RegisterSuccess(cluster_id=cluster, cluster_uuid=cluster, name=register.name)
        await socket.send_text(messages.encode("register_success", success, envelope.request_id))
        link = socket.new_link(cluster, register.agent_id[: messages.NAME_LIMIT] or None)
        link.agent_version = register.agent_version[: messages.NAME_LIMIT]
        gateway.registry.add(link)
        give_carrier(gateway, link, dialect, register.features)
        await socket.serve(link)
    except (AgentLeftError, TimeoutError, messages.MessageError, OSError) as error:
        logger.info("agent at /agent: %s", str(error) or "did not register in time")
        await socket.close(1008, "registration failed")


async def serve_controller(gateway: Gateway, request: Request, websocket: AgentWebSocket) -> None:
    """The existing agent's controller socket: register, be told where the gateway is, leave.

    One that stays, and says so by a heartbeat, is served here without yamux; so is an agent of the chunk dialect.
    """
    if await _admitted(gateway, request, websocket) is None:
        return
    socket = AgentSocket(gateway, request, websocket)
    try:
        await socket.accept()
        async with asyncio.timeout(_CONTROLLER_SECONDS):
            link, dialect, features = await _stays(socket)
        give_carrier(gateway, link, dialect, features)
        await socket.serve(link)
    except AgentLeftError:
        pass  # the usual end, also without a register: an agent that resumes
    except (TimeoutError, messages.MessageError, OSError) as error:
        logger.info("controller socket: %s", str(error) or "nothing more to do")
        await socket.close(1000, "")


async def _stays(socket: AgentSocket) -> tuple[Link, str, Mapping[str, bool]]:
    """Register whoever registers, until one stays: its link, and what to speak.

    Raises AgentLeftError, MessageError.
    """
    gateway = socket.gateway
    cluster, agent_id = "", ""
    while True:
        envelope = await socket.envelope("register", "heartbeat")
        if envelope.type == "heartbeat":
            if not cluster:
                continue
            link = socket.new_link(cluster, agent_id or None)
            gateway.registry.add(link)
            link.text_received(socket.last_text)
            return link, JSON, {}
        register = messages.decode_payload(envelope, messages.Register)
        grant = await _still_granted(socket)
        agent_id = register.agent_id[: messages.NAME_LIMIT]
        cluster = cluster_of(grant, register.cluster_id, register.name) or ""
        if not cluster:
            # Its texts matter: "not registered" or "cluster not found" would make it forget its id.
            logger.warning("agent %.80r names no cluster that its token covers", register.agent_id)
            await socket.close(1008, "the token covers several clusters, and the agent names none of them")
            raise AgentLeftError("no cluster named")
        chunks = dialect_of(grant, register.features) == CHUNK
        success = messages.RegisterSuccess(
            cluster_id=cluster,
            cluster_uuid=cluster,
            name=register.name,
            gateway_ws_url="" if chunks else _gateway_url(gateway, socket.request),
        )
        logger.info("agent %.80r registered for cluster %s", register.agent_id, cluster)
        await socket.send_text(messages.encode("register_success", success, envelope.request_id))
        if chunks:
            link = socket.new_link(cluster, agent_id or None)
            gateway.registry.add(link)
            return link, CHUNK, register.features


async def serve_gateway(gateway: Gateway, request: Request, websocket: AgentWebSocket) -> None:
    """The existing agent's gateway socket: identity is the token and `cluster_uuid`."""
    grant = await _admitted(gateway, request, websocket)
    if grant is None:
        return
    query = parse_qs(request.query.decode("latin-1"))
    claim = query.get("cluster_uuid", [""])[0]
    cluster = cluster_of(grant, claim)
    if cluster is None or (claim and claim != cluster):
        logger.warning("agent refused: its token does not cover cluster_uuid %.80r", claim)
        await turn_away(request, websocket, _REFUSED)
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


async def _still_granted(socket: AgentSocket) -> Grant:
    """The grant as it is now: the configuration may have changed since the handshake. Raises AgentLeftError."""
    grant = authorise(socket.gateway, socket.request)
    if isinstance(grant, Grant):
        return grant
    await socket.close(1008, grant.code)
    raise AgentLeftError(f"not let in any more: {grant.code}")


async def _admitted(gateway: Gateway, request: Request, websocket: AgentWebSocket) -> Grant | None:
    gateway.open()
    grant = authorise(gateway, request)
    if isinstance(grant, Grant):
        return grant
    logger.warning("agent from %s refused with %d: %s", request.peer, grant.status, grant.what)
    await turn_away(request, websocket, grant)
    return None


async def turn_away(request: Request, websocket: AgentWebSocket, problem: problems.Problem) -> None:
    """Refuse an agent's handshake with this status; where the server can only say 403, accept, then close."""
    await websocket.begin()
    if websocket.can_refuse or problem.status == 401:
        await websocket.refuse(*problems.render(problem, request.fields))
    else:
        await websocket.accept()
        await websocket.close(1013, problem.code)


def _gateway_url(gateway: Gateway, request: Request) -> str:
    """Where the existing agent finds `/ws`: by `public_url`, else as it reached us. A wrong scheme makes it exit."""
    if gateway.settings.public_url is not None:
        scheme, _, rest = gateway.settings.public_url.partition("://")
        return f"{'wss' if scheme.lower() == 'https' else 'ws'}://{rest}/ws"
    host = (request.host or b"localhost").decode("latin-1")
    return f"{'wss' if request.scheme == 'https' else 'ws'}://{host}{request.prefix}/ws"
