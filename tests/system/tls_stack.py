"""A gateway that speaks TLS, with an agent that reaches it by wss, and a client for it."""

import ssl

from tests.fakes.certificates import Authority, serial
from tests.system.clients import RawClient
from tests.system.harness import DOMAIN, LOOPBACK, TOKEN, Stack
from tests.system.process import Process
from tests.system.test_admin import METRICS
from tests.system.test_drain import ADMIN


class TlsClient(RawClient):
    """A connection to a gateway that speaks TLS, on which exactly the given bytes are sent."""

    def __init__(self, stack: "TlsStack", *, alpn: tuple[str, ...] = (), latest: ssl.TLSVersion | None = None) -> None:
        super().__init__((LOOPBACK, stack.stack.port))
        context = stack.authority.client()
        if alpn:
            context.set_alpn_protocols(alpn)
        if latest is not None:
            context.maximum_version = latest
        self.tls = self.socket = context.wrap_socket(self.socket, server_hostname=f"plain.{DOMAIN}")

    @property
    def serial(self) -> str:
        return serial(self.tls)


class TlsStack:
    """A gateway with a certificate, and an agent that reaches it by wss."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.authority = Authority(stack.folder)
        self.renew()
        (stack.folder / "admin-token").write_text(ADMIN)
        stack.settings |= {
            "tls_certificate": "tls.crt", "tls_key": "tls.key", "admin_token_file": "admin-token",
        }  # fmt: skip
        stack.settings.setdefault("log_level", "debug")
        self.gateway = stack.start_gateway()
        self.agent = self.start_agent()
        self.agent.wait_line("ready:")
        self.gateway.wait_line("serves cluster c1")

    def renew(self) -> None:
        self.authority.write(self.authority.issue(f"*.{DOMAIN}", "localhost", LOOPBACK))

    def start_agent(self) -> Process:
        services = [service.option for service in self.stack.services.values()]
        return self.stack.processes.python(
            "agent", "tunnel.agent", "--gateway", f"wss://{LOOPBACK}:{self.stack.port}/agent", "--token", TOKEN,
            "--cluster", "c1", "--agent-id", "a1", "--dialect", self.stack.dialect,
            "--ca-file", str(self.authority.file), *services,
        )  # fmt: skip

    def small(self, number: int) -> bytes:
        """A request on a connection of its own."""
        with TlsClient(self) as client:
            client.request(f"GET /small?n={number} HTTP/1.1", "plain")
            return client.answer().body

    def metrics(self) -> dict[str, float]:
        with TlsClient(self) as client:
            lines = [METRICS, "Host: localhost", f"Authorization: Bearer {ADMIN}", "", ""]
            client.send("\r\n".join(lines).encode())
            body = client.answer().body.decode()
        rows = [line.rsplit(" ", 1) for line in body.splitlines() if line.startswith("gateway_tls_")]
        return {name.removeprefix("gateway_tls_"): float(value) for name, value in rows}
