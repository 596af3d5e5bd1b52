"""Tries one gateway: name, connection, certificate, clock, proxy, handshake and registration, in this order.

The last three are one dial like an agent's own, with the same library and the same options, so that what it finds is
what an agent would find; the first ones go by themselves, because a dial does not say how far it came. Invariants:
every step is in the findings, also those that cannot be tried any more; each one ends within its own deadline; the
gateway's other links are left alone.
"""

import asyncio
import contextlib
import secrets
import socket
import ssl
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import NoReturn
from urllib.parse import urlsplit

from picows import WSUpgradeRequest, WSUpgradeResponse, ws_connect

from tunnel.agent import reasons, units
from tunnel.agent.check.findings import LIMIT_SECONDS, Finding, Findings, unanswered
from tunnel.agent.check.registration import Registration
from tunnel.agent.control import Identity
from tunnel.agent.gateways import GatewayAddress
from tunnel.agent.keeper import CONNECT_SECONDS, HANDSHAKE_SECONDS
from tunnel.agent.link import REGISTER_SECONDS
from tunnel.agent.settings import AgentSettings
from tunnel.agent.standing import Dial, one_line
from tunnel.version import VERSION
from tunnel.wire.messages import ENVELOPE_LIMIT_BYTES

STEP_SECONDS = 10.0
CLOCK_SECONDS = 60.0
"""Further apart than this, certificates and logs can no longer be relied on."""
EXPIRES_SOON_SECONDS = 14 * 86_400.0
_LEAVING_SECONDS = 1.0
_OF_THE_TOKEN = frozenset({"agent_refused", "token_revoked", "agent_twin", "too_many_links"})
"""Codes of refusals that say that the address was right."""
_NETWORK = "check firewalls and network policies on the way, and that the gateway runs there"


class _StopError(Exception):
    """A step failed, and those after it cannot be tried."""


@dataclass(slots=True, frozen=True)
class _Place:
    """Where to connect: the gateway, or the proxy on the way to it."""

    host: str
    port: int
    named: str
    """What of the settings names it."""


class GatewayCheck:
    """One gateway of an agent's settings."""

    def __init__(self, settings: AgentSettings, gateway: GatewayAddress) -> None:
        self._settings = settings
        self._gateway = gateway
        self._findings = Findings(gateway.label)
        url = urlsplit(gateway.url)
        self._host = url.hostname or ""
        self._secure = url.scheme == "wss"
        self._place = _place_of(gateway)
        last = ("proxy",) if gateway.proxy is not None else ()
        self._steps = ["dns", "tcp", *last, *(("tls",) if self._secure else ()), "clock", "upgrade", "token"]

    async def run(self, limit_seconds: float = LIMIT_SECONDS) -> list[Finding]:
        """Try everything, for so long at most."""
        try:
            async with asyncio.timeout(limit_seconds):
                with contextlib.suppress(_StopError):
                    await self._resolve()
                    await self._connect()
                    await self._dial()
        except TimeoutError:
            self._findings.fail(self._under_way(), *unanswered(limit_seconds))
        done = {finding.step for finding in self._findings.found}
        for step in self._steps:
            if step not in done:
                self._findings.skip("no answer had a time in it" if step == "clock" else "not tried", step)
        order = self._steps.index
        return sorted(self._findings.found, key=lambda finding: order(finding.step))

    def _under_way(self) -> str:
        """The step that has found nothing yet. The clock is no step of its own."""
        done = {"clock", *(finding.step for finding in self._findings.found)}
        return next((step for step in self._steps if step not in done), "token")

    # --- the way there

    async def _resolve(self) -> None:
        place = self._place
        try:
            async with asyncio.timeout(STEP_SECONDS):
                found = await asyncio.get_running_loop().getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError, TimeoutError) as error:
            self._fail(
                "dns",
                f"{place.host} has no address: {_why(error)}",
                f"check the host in {place.named}, and the DNS here",
            )
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        self._findings.ok("dns", f"{place.host} is {', '.join(addresses[:8])}")

    async def _connect(self) -> None:
        """TCP, and what can be seen on this connection: TLS and the clock, unless a proxy stands between."""
        place = self._place
        started = time.perf_counter()
        try:
            async with asyncio.timeout(STEP_SECONDS):
                reader, writer = await asyncio.open_connection(place.host, place.port)
        except ConnectionRefusedError:
            self._fail(
                "tcp", f"nothing listens at {place.host}:{place.port}", f"check the port in {place.named}; {_NETWORK}"
            )
        except (OSError, TimeoutError) as error:
            self._fail("tcp", f"no connection to {place.host}:{place.port}: {_why(error)}", _NETWORK)
        try:
            address = writer.get_extra_info("peername")[0]
            took = 1000 * (time.perf_counter() - started)
            self._findings.ok("tcp", f"connected to {address} port {place.port} in {took:.1f} ms")
            if self._gateway.proxy is None:
                if self._secure:
                    await self._start_tls(writer)
                await self._ask_for_date(reader, writer)
        finally:
            writer.transport.abort()

    async def _start_tls(self, writer: asyncio.StreamWriter) -> None:
        context = self._settings.tls or ssl.create_default_context()
        try:
            async with asyncio.timeout(STEP_SECONDS):
                await writer.start_tls(context, server_hostname=self._host)
        except ssl.SSLError as error:
            self._fail("tls", *reasons.of_tls(error))
        except (OSError, TimeoutError) as error:
            self._fail(
                "tls",
                f"no TLS handshake: {_why(error)}",
                "check that the gateway speaks TLS at this port, or use ws://",
            )
        self._judge_tls(writer.get_extra_info("ssl_object"))

    def _judge_tls(self, connection: ssl.SSLObject | None) -> None:
        certificate = connection.getpeercert() if connection is not None else None
        version = connection.version() if connection is not None else "TLS"
        if not certificate:
            next_step = "leave out --insecure-skip-verify, and name the gateway's CA with --ca-file"
            self._findings.warn("tls", f"{version}, but the certificate is not checked", next_step)
            return
        left = ssl.cert_time_to_seconds(str(certificate["notAfter"])) - time.time()
        text = f"{version}, trusted, valid for another {units.duration(left)}"
        if left < EXPIRES_SOON_SECONDS:
            self._findings.warn("tls", text, "renew the gateway's certificate")
        else:
            self._findings.ok("tls", text)

    async def _ask_for_date(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Most servers say the date in any answer, whatever its status."""
        host = urlsplit(self._gateway.url).netloc
        head = ""
        with contextlib.suppress(OSError, TimeoutError, asyncio.LimitOverrunError, asyncio.IncompleteReadError):
            async with asyncio.timeout(STEP_SECONDS):
                writer.write(f"GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        self._judge_date(next((line[5:] for line in head.split("\r\n") if line.lower().startswith("date:")), ""))

    def _judge_date(self, date: str) -> None:
        with contextlib.suppress(ValueError):
            self._judge_clock(parsedate_to_datetime(date.strip()).timestamp())

    def _judge_clock(self, gateway_time: float | None) -> None:
        """The first answer that has a time in it counts."""
        if gateway_time is None or any(finding.step == "clock" for finding in self._findings.found):
            return
        apart = time.time() - gateway_time
        if abs(apart) > CLOCK_SECONDS:
            side = "ahead of" if apart > 0 else "behind"
            text = f"this host's clock is {units.duration(abs(apart))} {side} the gateway's"
            self._findings.warn("clock", text, "set the clock of whichever is wrong (NTP)")
        else:
            self._findings.ok("clock", "the same as the gateway's, within a minute")

    # --- as an agent would

    async def _dial(self) -> None:
        settings = self._settings
        identity = Identity(_agent_id(settings.hostname), settings.cluster, settings.hostname, VERSION)
        registration = Registration(identity, settings.dialect)
        headers: dict[str, str] = {}

        def accepted(_request: WSUpgradeRequest, response: WSUpgradeResponse) -> Registration:
            headers.update({name.lower(): value for name, value in response.headers.items()})
            return registration

        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                transport, _ = await ws_connect(
                    accepted,
                    self._gateway.url,
                    ssl_context=settings.tls,
                    websocket_handshake_timeout=HANDSHAKE_SECONDS,
                    max_frame_size=ENVELOPE_LIMIT_BYTES,
                    max_redirects=0,
                    extra_headers={"Authorization": f"Bearer {settings.read_token()}"},
                    proxy=self._gateway.proxy,
                )
        except Exception as error:  # noqa: BLE001 (the reason says what it was)
            self._judge_refusal(reasons.of_error(error, self._gateway.proxy))
            return
        if not registration.connected:  # picows takes an end of the connection before the answer for a handshake
            said = "the gateway closed the connection during the handshake"
            self._judge_refusal(reasons.Reason(Dial.UNREACHABLE, said))
        self._judge_way(transport.underlying_transport.get_extra_info("ssl_object"), headers.get("date", ""))
        self._findings.ok("upgrade", f"the gateway accepts agents at {urlsplit(self._gateway.url).path or '/'}")
        try:
            await self._register(registration)
        finally:
            registration.leave()
            try:
                async with asyncio.timeout(_LEAVING_SECONDS):
                    await transport.wait_disconnected()
            except TimeoutError:  # it reads no more
                transport.disconnect(graceful=False)

    async def _register(self, registration: Registration) -> None:
        try:
            async with asyncio.timeout(REGISTER_SECONDS):
                reason = await registration.outcome
        except TimeoutError:
            self._fail("token", f"no answer to register within {REGISTER_SECONDS:g} s", "see the gateway's log")
        self._judge_clock(registration.gateway_time)
        if reason is None:
            cluster = one_line(registration.cluster) or self._settings.cluster
            self._findings.ok("token", f"the gateway accepts this agent for cluster {cluster}")
        else:
            self._fail("token", reason.said, reason.to_do or "see the gateway's log")

    def _judge_way(self, connection: ssl.SSLObject | None, date: str) -> None:
        """What only this dial can tell where a proxy stands between."""
        if self._gateway.proxy is not None:
            self._findings.ok("proxy", f"{self._place.host}:{self._place.port} lets us through")
            if self._secure:
                self._judge_tls(connection)
            self._judge_date(date)

    def _judge_refusal(self, reason: reasons.Reason) -> None:
        to_do = reason.to_do or "see the gateway's log"
        proxied = self._gateway.proxy is not None
        if reason.dial is Dial.PROXY:
            self._fail(
                "proxy", reason.said, reason.to_do or "ask whoever runs the proxy, or name the gateway in NO_PROXY"
            )
        if proxied:
            self._findings.ok("proxy", f"{self._place.host}:{self._place.port} lets us through")
        if reason.dial is Dial.TLS:
            self._fail("tls", reason.said, to_do)
        if proxied and self._secure and reason.status is not None:
            self._findings.ok("tls", "trusted")
        if reason.status == 401 or reason.code in _OF_THE_TOKEN:
            self._findings.ok("upgrade", f"the gateway knows agents at {urlsplit(self._gateway.url).path or '/'}")
            self._fail("token", reason.said, to_do)
        self._fail("upgrade", reason.said, to_do if reason.status is not None else _NETWORK)

    def _fail(self, step: str, text: str, next_step: str) -> NoReturn:
        self._findings.fail(step, text, next_step)
        raise _StopError


def _place_of(gateway: GatewayAddress) -> _Place:
    url, named = urlsplit(gateway.url), "--gateway"
    if gateway.proxy is not None:
        url, named = urlsplit(gateway.proxy), "HTTPS_PROXY"
    port = url.port or {"ws": 80, "http": 80, "wss": 443, "https": 443}.get(url.scheme, 1080)
    return _Place(url.hostname or "", port, named)


def _agent_id(hostname: str) -> str:
    """Never that of a running agent, whose link the gateway would close for ours."""
    return f"{hostname[:96]}-check-{secrets.token_hex(6)}"


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or reasons.told(error)
