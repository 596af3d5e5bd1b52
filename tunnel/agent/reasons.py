"""Why a gateway did not take this agent, in one line: what was said, and what to do about it.

Pure. A gateway of ours explains its refusals (`code`, `message`, `hint` in JSON); what it says is passed on, for it
knows better. Other answers come from whoever stands in front of it, and get our own advice. No text has a secret, and
each is one printable line.
"""

import socket
import ssl
from dataclasses import dataclass

import msgspec
from picows import WSError, WSHandshakeError
from python_socks import ProxyError

from tunnel.agent import proxies
from tunnel.agent.standing import Dial, one_line
from tunnel.wire.messages import REPLACED

_IN_FRONT = "what stands in front of the gateway cannot reach it: check that the gateway runs"
_ELSEWHERE = "it sends us elsewhere, which we do not follow: write the final URL into --gateway"
_PATH = "check the path of --gateway; a gateway's is /agent, and https://HOST or https://HOST/PREFIX leads there"
_NO_GATEWAY = "what answers there is no gateway: check the host and the port of --gateway"
_ADVICE = {
    200: f"what answers there is no gateway, or has something else at this path: {_PATH}",
    301: _ELSEWHERE,
    302: _ELSEWHERE,
    307: _ELSEWHERE,
    308: _ELSEWHERE,
    401: "the token is revoked: give this agent a new one (its file is read at each attempt)",
    403: "this agent may not connect here: check the token and the gateway's [[agents]] entry",
    404: f"nothing for agents at this path: {_PATH}",
    426: f"it takes no WebSockets at this path: {_PATH}",
    502: _IN_FRONT,
    503: "the gateway is not ready, or does not know this token, host or path",
    504: _IN_FRONT,
}
_OURS_BETTER = frozenset({401, 404})
"""Here the gateway's words are for clients of applications, or say less than ours."""
_CLOSES = {
    1008: "compare --cluster, --dialect and the token with the gateway's [[agents]] entry",
    1009: "a message was longer than the gateway accepts: see max_message_bytes there",
    1012: "it restarts, or another link took this one's place: nothing to do",
    1013: "it has no room for this agent, or another process has the same --agent-id: its log says which",
}
REPLACED_CODE = "replaced"
"""`Reason.code` of a link that was closed because its agent has a newer one."""
REGISTRATION_CODE = "registration_refused"
_TRUST = "name the CA that issued it with --ca-file, and let the gateway send the whole chain"
_CERTIFICATES = {
    9: ("the gateway's certificate is not valid yet", "check this machine's clock, and the certificate"),
    10: ("the gateway's certificate has expired", "renew it at the gateway, and check this machine's clock"),
    18: ("the gateway's certificate signs itself", "name it with --ca-file, or have a CA issue one"),
    19: ("the gateway's certificate comes from a CA that is not trusted here", _TRUST),
    20: ("the gateway's certificate comes from an issuer that is not known here", _TRUST),
    21: ("the gateway's certificate cannot be verified", _TRUST),
    62: ("the gateway's certificate is for other names", "dial one of them, or issue a certificate for this name"),
    64: ("the gateway's certificate is for other addresses", "dial the gateway by a name that its certificate has"),
}
"""By the verifier's code (X509_V_ERR_...): what is wrong, and what to do."""


class _Problem(msgspec.Struct):
    """A refusal as our gateway writes it."""

    code: str
    message: str
    hint: str = ""


@dataclass(slots=True, frozen=True)
class Reason:
    """Why there is no link: how the dial came out, what was said, and what to do, which may be empty."""

    dial: Dial
    said: str
    to_do: str = ""
    status: int | None = None
    """Of the gateway's answer, if it gave one."""
    code: str = ""
    """In the gateway's own words, such as `agent_refused`, or one of the codes above."""

    @property
    def text(self) -> str:
        """The line for people."""
        if not self.to_do:
            return self.said
        return f"{self.said}{' ' if self.said.endswith('.') else ': '}{self.to_do}"


def of_error(error: Exception, proxy: str | None) -> Reason:
    """Of a dial that raised `error`; `proxy` is the URL of the one on the way."""
    match error:
        case WSHandshakeError():
            return _of_answer(error)
        case ProxyError():
            return Reason(Dial.PROXY, *proxies.refusal_and_advice(proxy or "", error))
        case ssl.SSLError():
            said, to_do = of_tls(error)
            return Reason(Dial.TLS, f"cannot connect: {said}", to_do)
        case ConnectionRefusedError() | socket.gaierror() if proxy:  # it looks the gateway's name up itself
            return Reason(Dial.UNREACHABLE, *proxies.failure_and_advice(proxy, told(error)))
        case WSError() | OSError():  # a TimeoutError too
            return Reason(Dial.UNREACHABLE, f"cannot connect: {told(error)}", _to_connect(error))
    return Reason(Dial.FAILED, f"failed: {type(error).__name__}")


def of_close(code: int, reason: str) -> Reason:
    """Of a close frame of the gateway; code 0: it had none."""
    said = f"closed by the gateway: {code or 'no code'} {one_line(reason)!r}"
    return Reason(Dial.REFUSED, said, _CLOSES.get(code, ""), code=REPLACED_CODE if reason == REPLACED else "")


def of_registration(error: str) -> Reason:
    """Of the gateway's `error` to our registration."""
    said = f"the gateway refused the registration: {one_line(error)[:200]!r}"
    return Reason(Dial.REFUSED, said, _CLOSES[1008], code=REGISTRATION_CODE)


def of_tls(error: ssl.SSLError) -> tuple[str, str]:
    """What went wrong with TLS, and what to do."""
    if isinstance(error, ssl.SSLCertVerificationError):
        other = ("the gateway's certificate is not accepted", _TRUST)
        said, to_do = _CERTIFICATES.get(error.verify_code, other)
        return f"{said} ({one_line(error.verify_message)})", to_do
    return f"TLS failed: {one_line(str(error))}", "check that the gateway speaks TLS at this port"


def told(error: Exception) -> str:
    """The error's own text; where there is none, what it means."""
    if isinstance(error, TimeoutError):
        return str(error) or "no answer in time"
    if isinstance(error, ConnectionResetError):
        return str(error) or "the other end closed the connection"
    return str(error) or type(error).__name__


def _to_connect(error: Exception) -> str:
    """What to do about a connection that could not be made."""
    if isinstance(error, ConnectionRefusedError):
        return "check the port of --gateway, and that the gateway runs"
    return "check the host of --gateway, and DNS" if isinstance(error, socket.gaierror) else ""


def _of_answer(error: WSHandshakeError) -> Reason:
    response = error.response
    if response is None:
        return Reason(Dial.REFUSED, f"no WebSocket handshake: {one_line(str(error))}", _NO_GATEWAY)
    status = int(response.status)
    dial = Dial.REVOKED if status == 401 else Dial.REFUSED
    problem = _problem(error.raw_body or b"")
    code = one_line(problem.code)[:64] if problem is not None else ""
    if problem is None or status in _OURS_BETTER:
        return Reason(dial, f"the gateway answered {status}", _ADVICE.get(status, ""), status, code)
    said = f"the gateway answered {status} ({code}): {one_line(problem.message)}"
    return Reason(dial, said, one_line(problem.hint), status, code)


def _problem(body: bytes) -> _Problem | None:
    try:
        return msgspec.json.decode(body, type=_Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
