"""The endpoints that agents dial: `/agent` (ours), `/api/v1/clusters/agent/ws` and `/ws` (the existing agent's).

Each holds one WebSocket of the server and feeds a `Link`: this module is the only one that awaits it. A handshake is
never answered with 401 or 403 unless the token is on the file's revoked list: the existing agent would stay away
until its pod restarts. Whatever else is wrong is 503.
"""

import asyncio
import contextlib
import logging
import time
from urllib.parse import parse_qs

from app import problems
from app.asgi import Receive, Scope, Send, refuse_with_problem
from app.gateway import Gateway
from app.heads import forwarded_scheme
from app.settings import Grant, token_hash
from tunnel import messages
from tunnel.link import Hello, Link, Timing

logger = logging.getLogger("gateway.agents")

_REGISTER_SECONDS = 30.0
_CONTROLLER_SECONDS = 120.0
"""The existing agent leaves the controller socket at once; one that stays has nothing to do there."""
_FLUSH_SECONDS = 1.0
"""For the last frames of a link, and for its close frame."""
_LARGE_MESSAGE_BYTES = 32 * 1024

_REFUSED = problems.Problem(
    503, "agent_refused", "Agent refused", "The token is unknown here, or does not cover the cluster it names.",
    "The operator compares the agent's token and cluster with [[agents]] in the gateway's configuration.", 5,
)  # fmt: skip
_REVOKED = problems.Problem(
    401, "token_revoked", "Token revoked", "This agent's token was revoked.", "The operator gives it a new one."
)


class AgentLeftError(Exception):
    """The WebSocket ended."""


class AgentSocket:
    """The server's WebSocket of one agent: accepts, reads, writes what the link wants to send."""

    def __init__(self, gateway: Gateway, scope: Scope, receive: Receive, send: Send) -> None:
        self.gateway = gateway
        self.scope = scope
        self._receive = receive
        self._send = send
        self._wake = asyncio.Event()
        self._over = asyncio.Event()  # the link ended, whoever ended it
        self.link: Link | None = None

    async def accept(self) -> None:
        """Take the handshake. Raises AgentLeftError."""
        if (await self._receive())["type"] != "websocket.connect":
            raise AgentLeftError("left before the handshake")
        await self._send({"type": "websocket.accept"})

    async def receive(self) -> str | bytes:
        """The next message. Raises AgentLeftError with how it ended."""
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            raise AgentLeftError(f"closed with {message.get('code', 1006)} {message.get('reason') or ''}".strip())
        text: str | None = message.get("text")
        data: bytes = message.get("bytes") or b""
        return text if text is not None else data

    async def envelope(self, kind: str) -> messages.Envelope:
        """The next control message of this type; others are skipped. Raises AgentLeftError, MessageError."""
        while True:
            message = await self.receive()
            envelope = messages.decode_envelope(message)
            if envelope.type == kind:
                return envelope

    async def send_text(self, text: str) -> None:
        """Send one control message, before a link does the sending."""
        await self._send({"type": "websocket.send", "text": text})

    async def close(self, code: int, reason: str) -> None:
        """Close; nothing more is sent."""
        with contextlib.suppress(OSError, RuntimeError):
            await self._send({"type": "websocket.close", "code": code, "reason": reason[:100]})

    def new_link(self, cluster: str, agent_id: str | None) -> Link:
        """The link that this socket feeds."""
        registry = self.gateway.registry
        self.link = Link(
            cluster=cluster,
            agent_id=agent_id,
            wake=self._wake.set,
            on_ready=self._ready,
            on_identified=registry.identified,
            on_closed=self._closed,
            clock=time.monotonic,
            account=self.gateway.account,
            timing=Timing(
                ping_interval=self.gateway.settings.link_ping_interval,
                ping_timeout=self.gateway.settings.link_ping_timeout,
            ),
            limits=self.gateway.limits(),
            hello=Hello(),
        )
        self.link.token_hash = token_hash(bearer_token(self.scope))
        return self.link

    async def serve(self, link: Link) -> None:
        """Read and write until the link or the WebSocket ends."""
        writer = asyncio.get_running_loop().create_task(self._write(link))
        reader = asyncio.get_running_loop().create_task(self._read(link))
        over = asyncio.get_running_loop().create_task(self._over.wait())
        reason = "connection lost"
        try:
            done, _ = await asyncio.wait((reader, writer, over), return_when=asyncio.FIRST_COMPLETED)
            if link.close_code is not None:
                # The streams' resets go out first; a peer that reads nothing must not hold us here.
                await asyncio.wait((writer,), timeout=_FLUSH_SECONDS)
            for task in done:
                if (error := task.exception()) is not None:
                    reason = str(error) or type(error).__name__
        finally:
            link.lost(reason)
            for task in (reader, writer, over):
                task.cancel()
            await asyncio.gather(reader, writer, over, return_exceptions=True)
        if link.close_code is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_FLUSH_SECONDS):
                    await self.close(link.close_code, link.close_reason)

    async def _read(self, link: Link) -> None:
        while True:
            message = await self.receive()
            if isinstance(message, str):
                link.text_received(message)
            else:
                link.bytes_received(message)

    async def _write(self, link: Link) -> None:
        """The only one that sends: one message per loop turn."""
        wake = self._wake
        while True:
            message = link.next_message()
            if message is None:
                if link.close_code is not None:
                    return
                wake.clear()
                await wake.wait()
            elif isinstance(message, str):
                await self._send({"type": "websocket.send", "text": message})
            else:
                await self._send({"type": "websocket.send", "bytes": message})
                if len(message) >= _LARGE_MESSAGE_BYTES:
                    await asyncio.sleep(0)

    def _ready(self, link: Link) -> None:
        logger.info("%s: agent %s serves cluster %s", link.name, link.agent_id or "(not named yet)", link.cluster)
        self.gateway.metrics.link_joined(link.cluster)
        self.gateway.registry.ready(link)

    def _closed(self, link: Link, reason: str) -> None:
        self.gateway.registry.remove(link)
        self._over.set()
        logger.info("%s: agent %s of cluster %s is gone: %s", link.name, link.agent_id, link.cluster, reason)


def authorise(gateway: Gateway, scope: Scope) -> Grant | problems.Problem:
    """The grant of the handshake's bearer token, or what to answer."""
    if gateway.closing:
        return problems.STOPPING
    grant = gateway.settings.grants.get(token_hash(bearer_token(scope)))
    if grant is None:
        return _REFUSED
    return _REVOKED if grant.revoked else grant


def bearer_token(scope: Scope) -> bytes:
    """The token of `Authorization: Bearer`; empty when there is none."""
    credentials: bytes = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
    kind, _, token = credentials.partition(b" ")
    return token.strip() if kind.lower() == b"bearer" else b""


def cluster_of(grant: Grant, *claims: str) -> str | None:
    """The cluster that an agent speaks for: the first claim its token covers, else the token's only one."""
    for claim in claims:
        if claim in grant.clusters:
            return claim
    return grant.clusters[0] if len(grant.clusters) == 1 else None


async def serve_agent(gateway: Gateway, scope: Scope, receive: Receive, send: Send) -> None:
    """`/agent`: register and stay."""
    grant = await _admitted(gateway, scope, receive, send)
    if grant is None:
        return
    socket = AgentSocket(gateway, scope, receive, send)
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
        success = messages.RegisterSuccess(cluster_id=cluster, cluster_uuid=cluster, name=register.name)
        await socket.send_text(messages.encode("register_success", success, envelope.request_id))
        link = socket.new_link(cluster, register.agent_id or None)
        link.agent_version = register.agent_version
        gateway.registry.add(link)
        link.greet()
        await socket.serve(link)
    except (AgentLeftError, TimeoutError, messages.MessageError, OSError) as error:
        logger.info("agent at /agent: %s", str(error) or "did not register in time")
        await socket.close(1008, "registration failed")


async def serve_controller(gateway: Gateway, scope: Scope, receive: Receive, send: Send) -> None:
    """The existing agent's controller socket: register, be told where the gateway is, leave."""
    grant = await _admitted(gateway, scope, receive, send)
    if grant is None:
        return
    socket = AgentSocket(gateway, scope, receive, send)
    try:
        await socket.accept()
        async with asyncio.timeout(_CONTROLLER_SECONDS):
            while True:
                envelope = await socket.envelope("register")
                register = messages.decode_payload(envelope, messages.Register)
                grant = await _still_granted(socket)
                cluster = cluster_of(grant, register.cluster_id, register.name)
                if cluster is None:
                    # Its texts matter: "not registered" or "cluster not found" would make it forget its id.
                    logger.warning("agent %.80r names no cluster that its token covers", register.agent_id)
                    await socket.close(1008, "the token covers several clusters, and the agent names none of them")
                    return
                success = messages.RegisterSuccess(
                    cluster_id=cluster,
                    cluster_uuid=cluster,
                    name=register.name,
                    gateway_ws_url=_gateway_url(gateway, scope),
                )
                logger.info("agent %.80r registered for cluster %s", register.agent_id, cluster)
                await socket.send_text(messages.encode("register_success", success, envelope.request_id))
    except AgentLeftError:
        pass  # the usual end, also without a register: an agent that resumes
    except (TimeoutError, messages.MessageError, OSError) as error:
        logger.info("controller socket: %s", str(error) or "nothing more to do")
        await socket.close(1000, "")


async def serve_gateway(gateway: Gateway, scope: Scope, receive: Receive, send: Send) -> None:
    """The existing agent's gateway socket: identity is the token and `cluster_uuid`."""
    grant = await _admitted(gateway, scope, receive, send)
    if grant is None:
        return
    query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
    claim = query.get("cluster_uuid", [""])[0]
    cluster = cluster_of(grant, claim)
    if cluster is None or (claim and claim != cluster):
        logger.warning("agent refused: its token does not cover cluster_uuid %.80r", claim)
        await turn_away(scope, receive, send, _REFUSED)
        return
    socket = AgentSocket(gateway, scope, receive, send)
    try:
        await socket.accept()
        link = socket.new_link(cluster, None)
        link.agent_version = query.get("agent_version", [""])[0][:64]
        gateway.registry.add(link)
        if query.get("supports_yamux", [""])[0] == "true":
            link.greet()
        else:
            logger.warning("%s: the agent does not speak yamux; it gets no traffic", link.name)
        await socket.serve(link)
    except (AgentLeftError, OSError) as error:
        logger.info("agent at /ws: %s", error)


async def _still_granted(socket: AgentSocket) -> Grant:
    """The grant as it is now: the configuration may have changed since the handshake. Raises AgentLeftError."""
    grant = authorise(socket.gateway, socket.scope)
    if isinstance(grant, Grant):
        return grant
    await socket.close(1008, grant.code)
    raise AgentLeftError(f"not let in any more: {grant.code}")


async def _admitted(gateway: Gateway, scope: Scope, receive: Receive, send: Send) -> Grant | None:
    gateway.open()
    grant = authorise(gateway, scope)
    if isinstance(grant, Grant):
        return grant
    client = scope.get("client") or ("unknown",)
    logger.warning("agent from %s refused with %d: %s", client[0], grant.status, grant.what)
    await turn_away(scope, receive, send, grant)
    return None


async def turn_away(scope: Scope, receive: Receive, send: Send, problem: problems.Problem) -> None:
    """Refuse an agent's handshake with this status; where the server can only say 403, accept, then close."""
    await receive()  # websocket.connect
    if "websocket.http.response" in (scope.get("extensions") or {}) or problem.status == 401:
        await refuse_with_problem(scope, send, problem)
    else:
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 1013, "reason": problem.code})


def _gateway_url(gateway: Gateway, scope: Scope) -> str:
    """Where the existing agent finds `/ws`: by `public_url`, else as it reached us. A wrong scheme makes it exit."""
    if gateway.settings.public_url is not None:
        scheme, _, rest = gateway.settings.public_url.partition("://")
        return f"{'wss' if scheme.lower() == 'https' else 'ws'}://{rest}/ws"
    host = next((value for name, value in scope["headers"] if name == b"host"), b"localhost").decode("latin-1")
    scheme = "wss" if forwarded_scheme(scope, gateway.settings) in ("https", "wss") else "ws"
    return f"{scheme}://{host}{scope.get('root_path', '')}/ws"
