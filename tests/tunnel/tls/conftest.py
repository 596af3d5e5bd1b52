"""An https service in memory: the far end of a fake stream, with certificates made for the run."""

import contextlib
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from tests.fakes.stream import FakeStream
from tunnel.account import Account
from tunnel.errors import TunnelError
from tunnel.tls import TlsStream, client_context

NAME = "kuma.apps.svc"


class Service:
    """The server's end of TLS: decrypts what the stream below is given, encrypts what it says."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.established = False
        self.heard = b""
        self.closed = False
        """The client's close_notify came."""
        self.fault: ssl.SSLError | None = None

    def receive(self, data: bytes) -> None:
        self.incoming.write(data)
        try:
            if not self.established:
                self.tls.do_handshake()
                self.established = True
            while part := self.tls.read(65536):
                self.heard += part
            self.closed = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.closed = True
        except ssl.SSLError as error:
            self.fault = error

    def say(self, data: bytes) -> bytes:
        """The records that carry `data`, with whatever else TLS has to say."""
        rest = memoryview(data)
        while rest:
            rest = rest[self.tls.write(rest) :]
        return self.outgoing.read()

    def say_close(self) -> bytes:
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        return self.outgoing.read()


class Inner(FakeStream):
    """The stream below. Whatever a stream has to bear, TLS itself writes nothing after its end, and resets once."""

    held_bytes = 1_000

    def write(self, data: bytes, /) -> bool:
        assert not self.ended
        assert not self.was_reset
        return super().write(data)

    def write_end(self) -> None:
        assert not self.ended
        super().write_end()

    def reset(self) -> None:
        assert not self.was_reset
        super().reset()

    def acknowledge(self, size: int, /) -> None:
        assert not self.was_reset
        super().acknowledge(size)

    def take(self) -> bytes:
        data, self.written = self.written, b""
        return data


class Owner:
    """The client of the plaintext: acknowledges at once, unless told to hold."""

    def __init__(self, stream: TlsStream) -> None:
        self.stream = stream
        self.hold = False
        self.heard = b""
        self.events: list[str] = []
        self.lost: TunnelError | None = None

    def data_received(self, data: bytes, /) -> None:
        assert data
        assert self.events[-1:] not in (["end"], ["lost"])
        self.heard += data
        if not self.hold:
            self.stream.acknowledge(len(data))

    def end_received(self) -> None:
        self.events.append("end")

    def stream_lost(self, error: TunnelError, /) -> None:
        self.events.append("lost")
        self.lost = error

    def stream_writable(self) -> None:
        self.events.append("writable")


class Dialogue:
    """The whole of it: an owner, its TLS stream, the stream below, and the service at the far end."""

    def __init__(self, client: ssl.SSLContext, server: ssl.SSLContext, name: str, piece_bytes: int) -> None:
        self.piece_bytes = piece_bytes
        self.sent_bytes = 0
        """By the service, encrypted."""
        self.service = Service(server)
        self.inner = Inner()
        self.account = Account()
        self.stream = TlsStream(self.inner, client, name, account=self.account)
        self.owner = Owner(self.stream)
        self.stream.owner = self.owner

    def bring(self, records: bytes) -> None:
        """Give the client's end what the service sent, piece by piece."""
        for at in range(0, len(records), self.piece_bytes):
            piece = records[at : at + self.piece_bytes]
            self.sent_bytes += len(piece)
            self.inner.bring(piece)

    def run(self) -> None:
        """Carry records both ways until neither end has more to say."""
        while True:
            going = self.inner.take()
            for at in range(0, len(going), self.piece_bytes):
                self.service.receive(going[at : at + self.piece_bytes])
            coming = self.service.outgoing.read()
            self.bring(coming)
            if not going and not coming:
                return


Talk = Callable[..., Dialogue]


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


@pytest.fixture(scope="session")
def certificate(authority: trustme.CA) -> trustme.LeafCert:
    return authority.issue_cert(NAME, "10.1.2.3")


@pytest.fixture(params=["TLSv1.2", "TLSv1.3"])
def version(request: pytest.FixtureRequest) -> ssl.TLSVersion:
    return {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}[request.param]


@pytest.fixture
def server_context(certificate: trustme.LeafCert, version: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = version
    context.set_alpn_protocols(["h2", "http/1.1"])
    certificate.configure_cert(context)
    return context


@pytest.fixture
def talk(server_context: ssl.SSLContext, ca_file: Path) -> Talk:
    """Start a dialogue; the handshake runs with the first `run`."""

    def start(
        client: ssl.SSLContext | None = None,
        *,
        name: str = NAME,
        piece_bytes: int = 65536,
    ) -> Dialogue:
        trusting = client_context(ca_file=str(ca_file), verify=True)
        return Dialogue(client or trusting, server_context, name, piece_bytes)

    return start
