"""A check of a gateway, against real things that are broken: each verdict, and what the person is told to do."""

import ssl
import time
from datetime import UTC, datetime, timedelta
from email.utils import formatdate

import pytest

from tests.fakes.certificates import Authority
from tests.tunnel.agent.check.standins import Answering, Passing, answer, refusal
from tests.tunnel.agent.gateway import Gateway
from tunnel.agent.check import gateway as module
from tunnel.agent.check.gateway import GatewayCheck
from tunnel.agent.settings import read

pytestmark = [pytest.mark.system, pytest.mark.anyio]

NAME = "localhost"
CLOSED = 9
"""Nobody listens at the discard port here."""


async def checked(url, *more, environment=None):
    """Step -> finding."""
    settings = read(["--gateway", url, "--cluster", "c1", "--token", "hush-1", *more], environment or {}, "host-1")
    found = await GatewayCheck(settings, settings.gateways[0]).run()
    assert all(finding.subject == settings.gateways[0].label for finding in found)
    assert all((finding.next is not None) == (finding.verdict in {"failed", "warning"}) for finding in found)
    assert not [finding for finding in found if "hush" in f"{finding}"]
    return {finding.step: finding for finding in found}


def verdicts(found):
    return {step: str(finding.verdict) for step, finding in found.items()}


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


def server_tls(authority, name=NAME, **life):
    authority.write(authority.issue(name, **life))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority.certificate, authority.key)
    return context


def by_name(gateway):
    return gateway.url.replace("127.0.0.1", NAME)


async def test_all_is_well():
    async with Gateway() as gateway:
        found = await checked(gateway.url, "--agent-id", "a-1")
        assert verdicts(found) == {"dns": "ok", "tcp": "ok", "clock": "ok", "upgrade": "ok", "token": "ok"}
        assert found["token"].text == "the gateway accepts this agent for cluster c1"
        link = gateway.links[0]
        await link.until(lambda: link.over)


@pytest.mark.parametrize("dialect", ["yamux", "json", "chunk"])
async def test_it_leaves_before_it_could_be_sent_anything_and_replaces_nobody(dialect):
    async with Gateway() as gateway:
        await checked(gateway.url, "--agent-id", "a-1", "--dialect", dialect)
        link = gateway.links[0]
        await link.until(lambda: link.over)
        assert [text["type"] for text in link.texts] == ["register"]
        told = link.texts[0]["payload"]
        assert told["agent_id"].startswith("host-1-check-")
        assert told["features"]["supports_yamux"] is True
        assert not link.yamux
        assert link.websocket.close_code == 1000
        assert gateway.handshakes[-1].headers["Authorization"] == "Bearer hush-1"


async def test_a_certificate_that_is_trusted(authority):
    async with Gateway(server_tls(authority)) as gateway:
        found = await checked(by_name(gateway), "--ca-file", str(authority.file))
    assert set(verdicts(found).values()) == {"ok"}
    assert list(found) == ["dns", "tcp", "tls", "clock", "upgrade", "token"]
    assert "trusted, valid for another" in found["tls"].text


@pytest.mark.parametrize(
    ("name", "life", "trust", "said", "to_do"),
    [
        (NAME, {}, False, "issuer that is not known here", "--ca-file"),
        (NAME, {"days": -1}, True, "has expired", "renew it"),
        ("other.example", {}, True, "is for other names", "dial one of them"),
    ],
)
async def test_a_certificate_that_is_not_accepted(authority, name, life, trust, said, to_do):
    until = datetime.now(UTC) + timedelta(days=life["days"]) if life else None
    since = until - timedelta(days=30) if until else None
    async with Gateway(server_tls(authority, name, not_before=since, not_after=until)) as gateway:
        found = await checked(by_name(gateway), *(["--ca-file", str(authority.file)] if trust else []))
        assert gateway.handshakes == []  # no token for whoever this is
    assert verdicts(found) == {
        "dns": "ok", "tcp": "ok", "tls": "failed", "clock": "skipped", "upgrade": "skipped", "token": "skipped",
    }  # fmt: skip
    assert said in found["tls"].text
    assert to_do in found["tls"].next


async def test_a_certificate_that_ends_soon(authority):
    async with Gateway(server_tls(authority, not_after=datetime.now(UTC) + timedelta(days=3))) as gateway:
        found = await checked(by_name(gateway), "--ca-file", str(authority.file))
    assert (found["tls"].verdict, found["token"].verdict) == ("warning", "ok")
    assert found["tls"].next == "renew the gateway's certificate"


async def test_a_certificate_that_is_not_checked(authority):
    async with Gateway(server_tls(authority)) as gateway:
        found = await checked(gateway.url, "--insecure-skip-verify")
    assert (found["tls"].verdict, found["token"].verdict) == ("warning", "ok")
    assert "--insecure-skip-verify" in found["tls"].next


async def test_no_tls_where_there_should_be():
    async with Gateway() as gateway:
        found = await checked(gateway.url.replace("ws://", "wss://"))
    assert (found["tcp"].verdict, found["tls"].verdict) == ("ok", "failed")
    assert "speaks TLS at this port" in found["tls"].next


async def test_a_name_that_does_not_exist():
    found = await checked("ws://nobody.invalid/agent")
    assert verdicts(found) == {
        "dns": "failed", "tcp": "skipped", "clock": "skipped", "upgrade": "skipped", "token": "skipped",
    }  # fmt: skip
    assert "nobody.invalid has no address" in found["dns"].text
    assert "--gateway" in found["dns"].next


async def test_a_port_that_refuses():
    found = await checked(f"ws://127.0.0.1:{CLOSED}/agent")
    assert (found["dns"].verdict, found["tcp"].verdict, found["token"].verdict) == ("ok", "failed", "skipped")
    assert f"nothing listens at 127.0.0.1:{CLOSED}" in found["tcp"].text


@pytest.mark.parametrize(
    ("said", "upgrade", "token", "text", "to_do"),
    [
        (answer(404), "failed", "skipped", "answered 404", "a gateway's is /agent"),
        (answer(502), "failed", "skipped", "answered 502", "cannot reach it"),
        (answer(503), "failed", "skipped", "answered 503", "the gateway is not ready"),
        (answer(302, "Location: https://elsewhere"), "failed", "skipped", "answered 302", "write the final URL"),
        (refusal(503, "not_a_control_host"), "failed", "skipped", "(not_a_control_host): No.", "Ask."),
        (refusal(401, "token_revoked"), "ok", "failed", "answered 401", "the token is revoked"),
        (refusal(503, "agent_refused"), "ok", "failed", "(agent_refused): No.", "Ask."),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "failed", "skipped", "", "check firewalls"),
        (b"", "failed", "skipped", "closed the connection during the handshake", "check firewalls"),
    ],
)  # fmt: skip
async def test_a_gateway_that_says_no(said, upgrade, token, text, to_do):
    async with Answering(said) as gateway:
        found = await checked(f"ws://127.0.0.1:{gateway.port}/agent")
    assert (found["upgrade"].verdict, found["token"].verdict) == (upgrade, token)
    failed = found["upgrade" if upgrade == "failed" else "token"]
    assert text in failed.text
    assert to_do in failed.next


@pytest.mark.parametrize(
    ("off_seconds", "verdict", "text"),
    [
        (0, "ok", "within a minute"),
        (30, "ok", "within a minute"),
        (-630, "warning", "this host's clock is 10 min 3"),
        (3_700, "warning", "behind the gateway's"),
    ],
)
async def test_the_clock_is_compared_with_the_date_of_an_answer(off_seconds, verdict, text):
    date = formatdate(time.time() + off_seconds - 0.5, usegmt=True)
    async with Answering(answer(503, f"date: {date}")) as gateway:
        found = await checked(f"ws://127.0.0.1:{gateway.port}/agent")
    assert found["clock"].verdict == verdict
    assert text in found["clock"].text


@pytest.mark.parametrize("field", ["Date: soon", "X-Date: none"])
async def test_an_answer_without_a_time(field):
    async with Answering(answer(503, field)) as gateway:
        found = await checked(f"ws://127.0.0.1:{gateway.port}/agent")
    assert (found["clock"].verdict, found["clock"].text) == ("skipped", "no answer had a time in it")


class Refusing(Gateway):
    """Answers the registration with an error, or with a close."""

    def __init__(self, error="", code=0):
        super().__init__()
        self.answering = False
        self.error, self.code = error, code

    async def connected(self, websocket, /):
        await websocket.recv()
        if self.error:
            await websocket.send(f'{{"type": "error", "payload": {{"error": "{self.error}"}}}}')
        if self.code:
            await websocket.close(self.code, "not you")
        await websocket.wait_closed()


@pytest.mark.parametrize(
    ("gateway", "dialect", "verdict", "text"),
    [
        (Refusing("this token does not serve cluster c1"), "yamux", "failed", "does not serve cluster c1"),
        (Refusing(code=1008), "yamux", "failed", "closed by the gateway: 1008 'not you'"),
        (Refusing(code=1013), "yamux", "failed", "closed by the gateway: 1013 'not you'"),
        (Refusing("the gateway speaks json with this token's agents, and"), "yamux", "failed", "speaks json"),
        (Refusing("the gateway speaks json with this token's agents, and"), "json", "ok", "accepts this agent"),
    ],
)
async def test_a_registration_that_is_refused(gateway, dialect, verdict, text):
    async with gateway:
        found = await checked(gateway.url, "--dialect", dialect)
    assert (found["upgrade"].verdict, found["token"].verdict) == ("ok", verdict)
    assert text in found["token"].text


async def test_a_registration_without_an_answer(monkeypatch):
    monkeypatch.setattr(module, "REGISTER_SECONDS", 0.05)
    async with Refusing() as gateway:
        found = await checked(gateway.url)
    assert (found["upgrade"].verdict, found["token"].verdict) == ("ok", "failed")
    assert "no answer to register" in found["token"].text


# --- through a proxy


async def test_a_proxy_that_lets_us_through(authority):
    async with Gateway(server_tls(authority, "g.example")) as gateway, Passing(gateway.port) as proxy:
        environment = {"HTTPS_PROXY": f"http://user:hush@127.0.0.1:{proxy.port}"}
        found = await checked("wss://g.example/agent", "--ca-file", str(authority.file), environment=environment)
        assert proxy.heads[-1].startswith(b"CONNECT g.example:443 ")
    assert list(found) == ["dns", "tcp", "proxy", "tls", "clock", "upgrade", "token"]
    assert {step: verdict for step, verdict in verdicts(found).items() if verdict != "ok"} in ({}, {"clock": "skipped"})


@pytest.mark.parametrize(
    ("said", "text", "to_do"),
    [
        (answer(407), "answered 407", "USER:PASSWORD"),
        (answer(403), "answered 403", "NO_PROXY"),
        (b"", "failed: ", "NO_PROXY"),
    ],
)
async def test_a_proxy_that_refuses(said, text, to_do):
    async with Answering(said) as proxy:
        environment = {"HTTPS_PROXY": f"http://user:hush@127.0.0.1:{proxy.port}"}
        found = await checked("wss://g.example/agent", environment=environment)
    assert (found["tcp"].verdict, found["proxy"].verdict, found["tls"].verdict) == ("ok", "failed", "skipped")
    assert text in found["proxy"].text
    assert to_do in found["proxy"].next


async def test_a_proxy_that_is_not_there():
    environment = {"HTTPS_PROXY": f"http://127.0.0.1:{CLOSED}"}
    found = await checked("wss://g.example/agent", environment=environment)
    assert (found["tcp"].verdict, found["proxy"].verdict) == ("failed", "skipped")
    assert "HTTPS_PROXY" in found["tcp"].next


async def test_a_certificate_behind_a_proxy_that_is_not_accepted(authority):
    async with Gateway(server_tls(authority, "other.example")) as gateway, Passing(gateway.port) as proxy:
        environment = {"HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}"}
        found = await checked("wss://g.example/agent", "--ca-file", str(authority.file), environment=environment)
    assert (found["proxy"].verdict, found["tls"].verdict, found["upgrade"].verdict) == ("ok", "failed", "skipped")
    assert "for other names" in found["tls"].text
