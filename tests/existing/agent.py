"""The agent's life: register or resume, the one read loop, heartbeats, pings, and redials (sections 1, 3, 4, 10).

The controller is dialled once: without a 101 the agent never dials again, stays up, and registers its routes for a
cluster without a name. Close codes mean nothing to it. A 401 or 403 at the gateway's handshake ends the redials; each
ping loop that an earlier connection left behind may try once more. An abandoned socket (60 s of silence) is not closed.
"""

import asyncio
import contextlib
import random
import time
from urllib.parse import parse_qsl, urlencode, urlsplit

from tests.existing.dispatch import Dispatch
from tests.existing.envelope import report
from tests.existing.link import GoneError, Link
from tests.existing.network import DialError
from tests.existing.options import Options
from tests.existing.registrations import Registrations
from tests.existing.wire import (
    BINARY,
    CLOSE,
    NORMAL_CLOSE,
    PING,
    PONG,
    TEXT,
    BrokenError,
    HandshakeError,
    Wire,
    open_wire,
)

CONTROLLER_PATH = "/api/v1/clusters/agent/ws"
HANDSHAKE_SECONDS = 30.0
STRANDING = frozenset({401, 403})
FEATURES = [
    "supports_binary_protocol",
    "supports_compression",
    "supports_gateway",
    "supports_response_streaming",
    "supports_streaming",
    "supports_websocket_proxy",
]


class FatalError(Exception):
    """The original's process would exit, or never come to work."""


class StandaloneError(Exception):
    """The controller gave no 101: the agent never dials again."""


class Agent:
    """One agent process."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._dice = random.Random(options.seed)
        self._link = Link()
        self._dispatch = Dispatch(self._link, options)
        self._cluster_id = options.cluster
        self._url = options.gateway
        self._query = ""
        self._path = ""
        self._stranded = False
        self._revived = asyncio.Event()
        self._connected = asyncio.Event()
        self._attached = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None
        self._abandoned: list[Wire] = []
        self._loops: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Until the process ends; raises FatalError."""
        try:
            wire = await self._enter()
        except StandaloneError as error:
            report("10", f"standalone: {error}")
            await self._register_routes("")
            return
        except (DialError, HandshakeError, BrokenError, TimeoutError) as error:
            raise FatalError(f"the first connection failed: {error}") from error
        self._loops.append(asyncio.create_task(self._heartbeats()))
        self._loops.append(asyncio.create_task(self._register_routes(self._cluster_id)))
        while True:
            self._attach(wire)
            reading, self._reading = self._reading or asyncio.create_task(self._read(wire)), None
            await reading
            self._connected.clear()
            self._link.detach()
            wire = await self._redial()

    async def _register_routes(self, cluster: str) -> None:
        await Registrations(self._options, cluster, self._dice).run()

    def _attach(self, wire: Wire) -> None:
        self._link.attach(wire)
        self._connected.set()
        self._attached.set()
        self._loops.append(asyncio.create_task(self._pings()))

    async def _dial(self, url: str, path: str, query: str) -> Wire:
        parts = urlsplit(url)
        tls = parts.scheme in {"wss", "https"}
        address = (parts.hostname or "", parts.port or (443 if tls else 80))
        target = path + (f"?{query}" if query else "")
        headers = [("Authorization", f"Bearer {self._options.token}")]
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            wire, _ = await open_wire(address, parts.netloc, target, headers, tls=tls)
        return wire

    async def _enter(self) -> Wire:
        if self._options.entry == "resume":
            await self._hang_up(await self._dial(self._url, CONTROLLER_PATH, ""))
        if self._options.entry != "controller":
            try:
                return await self._dial_gateway(self._url, self._cluster_id)
            except (DialError, HandshakeError, BrokenError, TimeoutError) as error:
                report("10", f"the cached gateway is of no use, so the agent registers: {error}")
        return await self._register()

    async def _dial_gateway(self, url: str, cluster: str) -> Wire:
        parts = urlsplit(url)
        names = ["binary", "response_streaming", "streaming", "websocket"] + ["yamux"] * self._options.yamux
        query = dict(parse_qsl(parts.query)) | {f"supports_{name}": "true" for name in names}
        query |= {"agent_version": self._options.agent_version, "cluster_uuid": cluster}
        self._url, self._path, self._query = url, parts.path or "/ws", urlencode(sorted(query.items()))
        return await self._dial(self._url, self._path, self._query)

    async def _register(self) -> Wire:
        self._url, self._path, self._query = self._options.gateway, CONTROLLER_PATH, ""
        try:
            wire = await self._dial(self._url, self._path, self._query)
        except (DialError, HandshakeError, BrokenError, TimeoutError) as error:
            raise StandaloneError(str(error)) from error
        self._link.attach(wire)
        request_id = f"req_{time.time_ns()}_{self._options.agent_id}"
        success = self._dispatch.registration(request_id)
        await self._link.send("register", request_id, self._registration())
        reading = self._reading = asyncio.create_task(self._read(wire))
        limit = self._options.register_timeout
        await asyncio.wait({success, reading}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        if not success.done():
            lost = "failed to register agent: WebSocket not connected"
            raise FatalError(lost if reading.done() else "registration timed out")
        payload = success.result()
        cluster_id, cluster_uuid = payload.get("cluster_id"), payload.get("cluster_uuid")
        if not isinstance(cluster_id, str) or not cluster_id:
            raise FatalError("registration failed: missing cluster_id")
        self._cluster_id = cluster_id
        gateway = payload.get("gateway_ws_url")
        if not isinstance(gateway, str) or not gateway:
            return wire
        await self._hang_up(wire)
        self._reading.cancel()
        self._reading = None
        return await self._dial_gateway(gateway, cluster_uuid if isinstance(cluster_uuid, str) else cluster_id)

    def _registration(self) -> dict[str, object]:
        return {
            "agent_id": self._options.agent_id,
            "agent_version": self._options.agent_version,
            "cloud_provider": "agent",
            "features": dict.fromkeys(FEATURES, True),
            "hostname": "127.0.0.1",
            "k8s_service_token": "k8s-sa-token",
            "k8s_version": "v1.31.0",
            "labels": {"hostname": "127.0.0.1"},
            "metadata": {"agent_mode": "vm-agent", "registration_mode": "fresh"},
            "name": "probe-cluster",
            "region": "DE",
            "server_ip": "203.0.113.7",
            "server_specs": {},
            "tunnel_port_config": {"kubernetes_api": 6443, "kubelet": 10250, "agent_http": 8080},
        }

    async def _hang_up(self, wire: Wire) -> None:
        await wire.send(CLOSE, NORMAL_CLOSE)
        wire.writer.close()

    async def _read(self, wire: Wire) -> None:
        """The only reader of the socket, to the connection's end or the gateway's silence."""
        loop = asyncio.get_running_loop()
        silent_at = loop.time() + self._options.read_timeout
        while True:
            try:
                async with asyncio.timeout_at(silent_at):
                    opcode, payload = await wire.receive()
            except TimeoutError:
                report("1", "the gateway is silent; its socket is left open")
                self._abandoned.append(wire)
                return
            except BrokenError:
                break
            try:
                if opcode is PING:
                    await wire.send(PONG, payload)
                    continue
                if opcode is CLOSE:
                    await wire.send(CLOSE, payload[:2])
                    break
                silent_at = loop.time() + self._options.read_timeout
                if opcode in {TEXT, BINARY}:
                    await self._dispatch.receive(opcode, payload)
            except (BrokenError, GoneError):
                break
        wire.writer.close()

    async def _redial(self) -> Wire:
        delay = self._options.reconnect
        while True:
            await asyncio.sleep(min(delay * (1 + self._dice.random() / 4), self._options.reconnect_cap))
            try:
                return await self._dial(self._url, self._path, self._query)
            except HandshakeError as error:
                report("10", f"handshake answered {error.answer.status}")
                if error.answer.status in STRANDING:
                    self._stranded = True
                    report("10", "stranded: no further redial")
                    self._revived.clear()
                    await self._revived.wait()
                    self._stranded = False
                    delay = self._options.reconnect
                    continue
            except (DialError, BrokenError, TimeoutError) as error:
                report("10", f"redial failed: {error}")
            delay = min(delay * 2, self._options.reconnect_cap)

    async def _pings(self) -> None:
        """One more of these with every connection; each outlives its own, and revives a stranded agent once."""
        failures, spent = 0, False
        while True:
            await asyncio.sleep(self._options.ping)
            if self._link.lost or self._link.wire is None:
                failures += 1
                if failures >= 2 and self._stranded and not spent:
                    spent = True
                    self._revived.set()
                continue
            failures = 0
            try:
                await self._link.wire.send(PING, b"")
            except BrokenError:
                failures += 1

    async def _heartbeats(self) -> None:
        first = True
        while not self._dispatch.forgotten:
            await self._connected.wait()
            self._attached.clear()
            try:
                await self._link.send("heartbeat", "", self._heartbeat())
            except GoneError:
                report("10", "heartbeat lost")
            else:
                if first:
                    print("ready", flush=True)
                first = False
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._options.heartbeat):
                    await self._attached.wait()

    def _heartbeat(self) -> dict[str, object]:
        return {
            "agent_id": self._options.agent_id,
            "cluster_id": self._cluster_id,
            "metadata": {"agent_version": "9.9.9-probe", "gateway_routes": 0, "is_private": True, "k8s_nodes": 1},
            "status": "healthy",
            "tunnel_status": "connected",
        }
