"""TLS to the service over a peer link: the asking node speaks it, and the owner passes records."""

import ssl
from pathlib import Path

import pytest

from tests.app.cluster.peer.hop import OK, Hop
from tests.fakes.certificates import NAME, Authority
from tests.fakes.loop import dialogue
from tunnel.port import Target


class SecureService:
    """The far end of the latest stream of a hop."""

    def __init__(self, hop: Hop, authority: Authority) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority.certificate, authority.key)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.hop = hop
        self.taken = 0
        self.heard = b""

    async def turn(self) -> None:
        """Read what came, and send what TLS has to say."""
        data = self.hop.line.stream()[1].data
        self.incoming.write(data[self.taken :])
        self.taken = len(data)
        try:
            self.tls.do_handshake()
            while part := self.tls.read(65_536):
                self.heard += part
        except ssl.SSLWantReadError:
            pass
        await self.say(b"")

    async def say(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self.tls.write(rest) :]
        if records := self.outgoing.read():
            self.hop.answer(records)
        await self.hop.run()


@pytest.fixture(name="authority", scope="module")
def _authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    found = Authority(tmp_path_factory.mktemp("authority"))
    found.write(found.issue())
    return found


def target(ca_file: Path, name: str = NAME) -> Target:
    return Target("c1", "apps", "web", 443, scheme="https", ca_file=str(ca_file), server_name=name)


@dialogue
async def test_requests_over_tls_to_the_service(authority: Authority):
    hop = Hop()
    to = target(authority.file)
    _, sink = hop.ask(to=to, fields=[(b"X-Request-ID", b"r1")])
    await hop.run()
    assert not hop.wanted[0].http
    assert not hop.wanted[0].agent_tls
    assert hop.wanted[0].request_id == "r1"
    service = SecureService(hop, authority)
    await service.turn()
    await service.turn()
    assert service.heard == b"GET / HTTP/1.1\r\nHost: a.test\r\nX-Request-ID: r1\r\n\r\n"
    body = bytes(range(256)) * 2000
    await service.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    assert (sink.statuses, sink.body, sink.outcome) == ([200], body, "end")
    _, sink = hop.ask(to=to)  # on the pooled stream, without a second handshake
    await hop.run()
    await service.turn()
    await service.say(OK)
    assert (sink.body, sink.outcome, len(hop.wanted)) == (b"ok", "end", 1)
    await hop.end()


@dialogue
async def test_a_certificate_for_another_name_is_refused_by_the_asking_node(authority: Authority):
    hop = Hop()
    _, sink = hop.ask(to=target(authority.file, "other.example.test"))
    await hop.run()
    service = SecureService(hop, authority)
    await service.turn()
    assert sink.outcome == "TlsFailedError"
    assert hop.line.stream()[1].was_reset
    assert service.heard == b""
    await hop.end()


@dialogue
async def test_a_service_that_refuses_the_connection_is_told_apart_from_tls_that_fails(authority: Authority):
    hop = Hop()
    _, sink = hop.ask(to=target(authority.file))
    await hop.run()
    hop.line.say("stream_refused", {"stream_id": hop.line.stream()[0], "reason": "no one", "kind": "refused"})
    await hop.run()
    assert sink.outcome == "ServiceRefusedError"
    await hop.end()
