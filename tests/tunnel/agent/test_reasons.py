"""What a gateway's refusals mean, in one line."""

import json
import socket
import ssl
from types import SimpleNamespace

import pytest
from picows import WSHandshakeError
from python_socks import ProxyError

from tunnel.agent import reasons
from tunnel.agent.standing import Dial


def answer(status, body=b""):
    return WSHandshakeError("bad status", b"", body, SimpleNamespace(status=status))


def problem(code, message, hint="Do this."):
    return json.dumps({"code": code, "status": 503, "message": message, "hint": hint}).encode()


def certificate_error(code, message):
    error = ssl.SSLCertVerificationError(1, f"certificate verify failed: {message}")
    error.verify_code, error.verify_message = code, message
    return error


ANSWERED = "the gateway answered"
PATH = "check the path of --gateway; a gateway's is /agent, and https://HOST or https://HOST/PREFIX leads there"
PROXIED = "HTTP proxy rejected connection with status 407"


@pytest.mark.parametrize(
    ("error", "dial", "text"),
    [
        (answer(503), Dial.REFUSED, f"{ANSWERED} 503: the gateway is not ready, or does not know this token"),
        (
            answer(503, problem("agent_refused", "The agent's token is unknown here.", "Compare the two.")),
            Dial.REFUSED,
            f"{ANSWERED} 503 (agent_refused): The agent's token is unknown here. Compare the two.",
        ),
        (answer(503, b'{"code": 5}'), Dial.REFUSED, f"{ANSWERED} 503: the gateway is not ready"),
        (answer(503, b"\xff\xfe"), Dial.REFUSED, f"{ANSWERED} 503: the gateway is not ready"),
        (answer(502, b"<h1>Bad Gateway</h1>"), Dial.REFUSED, f"{ANSWERED} 502: what stands in front of"),
        (
            answer(401, problem("token_revoked", "Revoked.")),
            Dial.REVOKED,
            f"{ANSWERED} 401: the token is revoked",
        ),
        (
            answer(404, problem("no_route", "Nothing.")),
            Dial.REFUSED,
            f"{ANSWERED} 404: nothing for agents at this path: {PATH}",
        ),
        (answer(200, b"<html>"), Dial.REFUSED, f"{ANSWERED} 200: what answers there is no gateway, or"),
        (answer(418), Dial.REFUSED, f"{ANSWERED} 418"),
        (answer(302), Dial.REFUSED, f"{ANSWERED} 302: it sends us elsewhere"),
        (WSHandshakeError("no header"), Dial.REFUSED, "no WebSocket handshake: no header: what answers there is no"),
        (
            ConnectionRefusedError(111, "Connect call failed"),
            Dial.UNREACHABLE,
            "cannot connect to the proxy http://p:1: [Errno 111] Connect call failed: check HTTPS_PROXY or ALL_PROXY",
        ),
        (
            socket.gaierror(-2, "Name or service not known"),
            Dial.UNREACHABLE,
            "cannot connect to the proxy http://p:1: [Errno -2] Name or service not known: check HTTPS_PROXY or",
        ),
        (ConnectionResetError(104, "Reset"), Dial.UNREACHABLE, "cannot connect: [Errno 104] Reset"),
        (ProxyError(PROXIED), Dial.PROXY, "the proxy http://p:1 answered 407: it wants credentials"),
        (ProxyError("gone"), Dial.PROXY, "the proxy http://p:1 failed: gone"),
        (certificate_error(10, "old"), Dial.TLS, "cannot connect: the gateway's certificate has expired (old): renew"),
        (
            certificate_error(20, "no issuer"),
            Dial.TLS,
            "cannot connect: the gateway's certificate comes from an issuer that is not known here (no issuer): name",
        ),
        (
            certificate_error(62, "mismatch"),
            Dial.TLS,
            "cannot connect: the gateway's certificate is for other names (mismatch): dial one of them",
        ),
        (
            certificate_error(99, "odd"),
            Dial.TLS,
            "cannot connect: the gateway's certificate is not accepted (odd): name",
        ),
        (ssl.SSLError(1, "wrong version number"), Dial.TLS, "cannot connect: TLS failed: "),
        (TimeoutError(), Dial.UNREACHABLE, "cannot connect: no answer in time"),
        (ConnectionResetError(), Dial.UNREACHABLE, "cannot connect: the other end closed the connection"),
        (OSError("network is down"), Dial.UNREACHABLE, "cannot connect: network is down"),
        (ZeroDivisionError("hush"), Dial.FAILED, "failed: ZeroDivisionError"),
    ],
)
def test_a_dial_that_failed(error, dial, text):
    reason = reasons.of_error(error, "http://u:hush@p:1")
    assert reason.dial is dial
    assert reason.text.startswith(text)
    assert "hush" not in reason.text


@pytest.mark.parametrize(
    ("error", "to_do"),
    [
        (ConnectionRefusedError(111, "Connect call failed"), "check the port of --gateway, and that the gateway runs"),
        (socket.gaierror(-2, "Name or service not known"), "check the host of --gateway, and DNS"),
    ],
)
def test_a_dial_without_a_proxy_that_failed(error, to_do):
    assert reasons.of_error(error, None) == reasons.Reason(Dial.UNREACHABLE, f"cannot connect: {error}", to_do)


def test_what_strangers_send_stays_one_bounded_line():
    body = problem("c\n" * 100, "m\x1b[1m\nforged line" * 1_000, "h\r\n" * 1_000)
    reason = reasons.of_error(answer(503, body), None)
    assert reason.text.isprintable()
    assert len(reason.text) < 1_200
    assert len(reason.code) <= 64


@pytest.mark.parametrize(
    ("code", "reason", "text"),
    [
        (1008, "token revoked", "closed by the gateway: 1008 'token revoked': compare --cluster, --dialect and"),
        (1012, "restarting", "closed by the gateway: 1012 'restarting': it restarts, or another link took"),
        (1013, "agent_twin", "closed by the gateway: 1013 'agent_twin': it has no room"),
        (4000, "x\ny", "closed by the gateway: 4000 'x y'"),
        (0, "", "closed by the gateway: no code ''"),
    ],
)  # fmt: skip
def test_a_close_of_the_gateway(code, reason, text):
    assert reasons.of_close(code, reason).text.startswith(text)


def test_a_refused_registration():
    text = reasons.of_registration("this token does not serve\ncluster 'c9'").text
    said, _, to_do = text.partition(": compare ")
    assert said == "the gateway refused the registration: \"this token does not serve cluster 'c9'\""
    assert to_do == "--cluster, --dialect and the token with the gateway's [[agents]] entry"
