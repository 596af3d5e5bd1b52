"""What clients are told: each error has its row, in JSON and as a page, and none leaks what it must not."""

import json

import pytest

import tunnel.tls
import tunnel.websocket.handshake
from app.rules import problems
from tunnel.errors import (
    BadAnswerError,
    ClientTooSlowError,
    LinkBusyError,
    LinkLostError,
    NoAgentError,
    NodeBusyError,
    NodeDrainingError,
    NoRoomError,
    NoSuchServiceError,
    NotHereError,
    NotPassedOnError,
    NotReadError,
    RequestRefusedError,
    ServiceBrokeOffError,
    ServiceNotAllowedError,
    ServiceRefusedError,
    ServiceSlowError,
    ServiceUnreachableError,
    StoppingError,
    StreamRefusedError,
    TlsFailedError,
    TooManyWaitingError,
    TooSlowError,
    TunnelError,
)

SECRET = "10.1.2.3:8080 web.apps.svc <b>"

ROWS = [
    (NoAgentError, 503, "no_agent", 1012, True),
    (NotHereError, 503, "no_agent", 1012, True),
    (NodeDrainingError, 503, "no_agent", 1012, True),
    (NodeBusyError, 503, "busy", 1013, True),
    (LinkBusyError, 503, "busy", 1013, True),
    (LinkLostError, 502, "agent_lost", 1012, False),
    (StreamRefusedError, 502, "service_unreachable", 1011, False),
    (RequestRefusedError, 400, "bad_request", 1011, False),
    (ServiceUnreachableError, 502, "service_unreachable", 1011, False),
    (ServiceRefusedError, 502, "service_refused", 1011, False),
    (ServiceNotAllowedError, 502, "not_allowed", 1011, False),
    (NoSuchServiceError, 502, "no_such_service", 1011, False),
    (ServiceSlowError, 504, "service_slow", 1011, False),
    (ServiceBrokeOffError, 502, "service_broke_off", 1011, False),
    (BadAnswerError, 502, "bad_answer", 1011, False),
    (TlsFailedError, 502, "tls_failed", 1011, False),
    (TooSlowError, 504, "service_too_slow", 1011, False),
]


def subclasses(kind: type[TunnelError]) -> set[type[TunnelError]]:
    direct = kind.__subclasses__()
    return {*direct, *(below for each in direct for below in subclasses(each))}


def constants() -> list[problems.Problem]:
    return [value for value in vars(problems).values() if isinstance(value, problems.Problem)]


@pytest.mark.parametrize(("kind", "status", "code", "close_code", "retry"), ROWS)
def test_the_table(kind: type[TunnelError], status: int, code: str, close_code: int, retry: bool):
    problem = problems.problem_of(kind(SECRET))
    assert (problem.status, problem.code, problem.close_code) == (status, code, close_code)
    assert (problem.retry_after is not None) is retry


SENT = [
    (NoAgentError, "agent_lost", "no_agent"),
    (LinkLostError, "agent_lost", "no_agent"),
    (NotHereError, "no_agent", "no_agent"),
    (StoppingError, "stopping_unanswered", "stopping"),
    (TooSlowError, "service_too_slow", "service_too_slow"),
    (ServiceRefusedError, "service_refused", "service_refused"),
]


@pytest.mark.parametrize(("kind", "sent", "not_sent"), SENT)
def test_a_request_that_was_sent_has_codes_of_its_own(kind: type[TunnelError], sent: str, not_sent: str):
    assert problems.refusal_of(kind(SECRET), sent=True).code == sent
    assert problems.refusal_of(kind(SECRET), sent=False).code == not_sent


NEVER_SENT = {
    ClientTooSlowError, LinkBusyError, NoRoomError, NotReadError, TooManyWaitingError,
    NotPassedOnError, *subclasses(NotPassedOnError),
}  # fmt: skip
"""A client's own fault, and what is said only of requests that may be sent again (`app/public/room.py`)."""


def test_nobody_is_told_to_try_again_once_something_was_sent():
    for kind in subclasses(TunnelError) - NEVER_SENT:
        problem = problems.refusal_of(kind(SECRET), sent=True)
        assert (problem.status == 503, problem.retry_after) == (False, None), kind
        assert "again soon" not in problem.hint, kind
        assert not problem.hint.startswith("Try again"), kind


@pytest.mark.parametrize(
    "kind", [StoppingError, LinkLostError, TooSlowError, ServiceUnreachableError, ServiceBrokeOffError]
)
def test_what_may_have_been_carried_out_is_said(kind: type[TunnelError]):
    assert "may have been carried out" in problems.refusal_of(kind(SECRET), sent=True).what


def test_every_error_has_a_row():
    assert {tunnel.tls.__name__, tunnel.websocket.handshake.__name__}  # imported, so that their errors exist
    for kind in subclasses(TunnelError):
        assert problems.problem_of(kind(SECRET)) is not problems.INTERNAL, kind
    assert problems.problem_of(TunnelError(SECRET)) is problems.INTERNAL


@pytest.mark.parametrize("accept", [b"text/html", b"application/json", None])
@pytest.mark.parametrize("kind", [row[0] for row in ROWS])
def test_no_error_text_reaches_the_client(kind: type[TunnelError], accept: bytes | None):
    fields = [(b"accept", accept)] if accept is not None else []
    _, headers, body = problems.render(problems.problem_of(kind(SECRET)), fields)
    assert b"10.1.2.3" not in body
    assert b"svc" not in body
    assert all(b"10.1.2.3" not in value for _, value in headers)


def test_codes_are_stable_and_different():
    codes = [problem.code for problem in constants()]
    assert len(codes) == len(set(codes))
    assert {row[2] for row in ROWS} < set(codes)
    for problem in constants():
        assert 400 <= problem.status < 600 or problem is problems.HTTPS_REDIRECT
        assert problem.close_code in (1009, 1011, 1012, 1013)
        assert problem.title
        assert problem.what.endswith(".")
        assert problem.hint.endswith(".")
        assert (problem.status in (429, 503)) == (problem.retry_after is not None), problem.code


@pytest.mark.parametrize("accept", [None, b"application/json", b"*/*", b"text/plain"])
def test_json(accept: bytes | None):
    fields = [(b"accept", accept)] if accept is not None else []
    status, headers, body = problems.render(problems.NO_AGENT, fields)
    assert status == 503
    assert dict(headers) == {
        b"content-type": b"application/json",
        b"content-length": str(len(body)).encode(),
        b"cache-control": b"no-store",
        b"retry-after": b"5",
    }
    assert json.loads(body) == {
        "code": "no_agent",
        "status": 503,
        "message": problems.NO_AGENT.what,
        "hint": problems.NO_AGENT.hint,
    }


@pytest.mark.parametrize(
    "fields",
    [
        [(b"accept", b"text/html")],
        [(b"accept", b"text/html,application/xhtml+xml,*/*;q=0.8")],
        [(b"accept", b"image/png"), (b"accept", b"text/html")],
    ],
)
def test_a_page(fields: list[tuple[bytes, bytes]]):
    status, headers, body = problems.render(problems.NO_ROUTE, fields)
    assert status == 404
    assert dict(headers) == {
        b"content-type": b"text/html; charset=utf-8",
        b"content-length": str(len(body)).encode(),
        b"cache-control": b"no-store",
    }
    page = body.decode()
    assert page.startswith("<!doctype html>")
    assert f"<h1>{problems.NO_ROUTE.title}</h1>" in page
    assert "404 no_route" in page
    assert "{" not in page.split("</style>")[1]


DETAIL = "<script>alert(\"1\")</script> & 'quotes' {braces}"


def test_detail_is_escaped_in_a_page():
    page = problems.render(problems.BAD_REQUEST, [(b"accept", b"text/html")], DETAIL)[2].decode()
    assert "<script>" not in page
    assert "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; &amp; &#x27;quotes&#x27; {braces}" in page


def test_detail_is_part_of_the_message_in_json():
    body = problems.render(problems.BAD_REQUEST, [], DETAIL)[2]
    assert json.loads(body)["message"] == f"{problems.BAD_REQUEST.what} ({DETAIL})"
