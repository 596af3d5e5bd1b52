"""The agent says why a stream gets no connection, and the stream's exchange fails with that reason."""

import pytest

from tests.tunnel.gateway.exchanges import OK, line_of, opened
from tests.tunnel.gateway.peer import Line
from tunnel.errors import (
    NoSuchServiceError,
    ServiceNotAllowedError,
    ServiceRefusedError,
    ServiceSlowError,
    ServiceUnreachableError,
    TlsFailedError,
    TunnelError,
)
from tunnel.gateway.link import LinkState
from tunnel.port import Target

KINDS = [
    ("refused", "10.0.0.7:80: connection refused", ServiceRefusedError),
    ("not_allowed", "port 0 is no port", ServiceNotAllowedError),
    ("no_such_name", "web.apps.svc.cluster.local:80: no such host", NoSuchServiceError),
    ("slow", "10.0.0.7:80: no connection within 10 s", ServiceSlowError),
    ("", "10.0.0.7:80: No route to host", ServiceUnreachableError),
    ("of a newer agent", "10.0.0.7:80: it is Sunday", ServiceUnreachableError),
    # From agents that say no kind yet:
    ("", "no --service entry and no --allow pattern names it", ServiceNotAllowedError),
    ("", "127.0.0.1:80: Connection refused", ServiceRefusedError),
    ("", "web.apps.svc.cluster.local:80: Name or service not known", NoSuchServiceError),
    ("", "127.0.0.1:80: no connection within 10 s", ServiceSlowError),
]


def refuse(line: Line, reason: str, kind: str | None = None, *, end: bool = True) -> None:
    """As our agent does: the reason, then the end of the stream without a byte."""
    stream_id, _ = line.stream()
    line.say("stream_refused", {"stream_id": stream_id, "reason": reason} | ({"kind": kind} if kind else {}))
    if end:
        line.peer.session.end_stream(stream_id)
    line.run()


@pytest.mark.parametrize("method", [b"GET", b"POST"])
@pytest.mark.parametrize(("kind", "reason", "error"), KINDS)
def test_the_reason_is_the_exchanges_error(kind: str, reason: str, error: type[TunnelError], method: bytes):
    with line_of() as line:
        _, sink = opened(line, method)
        line.run()
        refuse(line, reason, kind)
        assert (sink.outcome, type(sink.error)) == (error.__name__, error)
        assert reason in str(sink.error)
        assert not sink.error.retryable


def test_nobody_waits_for_the_streams_end():
    with line_of() as line:
        _, sink = opened(line)
        line.run()
        refuse(line, "no", "refused", end=False)
        assert sink.outcome == "ServiceRefusedError"
        assert line.stream()[1].was_reset


def test_behind_tls_the_reason_is_the_same():
    with line_of() as line:
        _, sink = opened(line, to=Target("c1", "apps", "web", 443, "https", verify=False))
        line.run()
        refuse(line, "no", "refused")
        assert sink.outcome == "ServiceRefusedError"


def test_a_stream_that_just_ends_says_no_more_than_that():
    """As the existing agent does: it logs its reason, and sends the end only."""
    with line_of() as line:
        _, sink = opened(line)
        line.run()
        line.answer(b"", end=True)
        assert (sink.outcome, str(sink.error)) == (
            "ServiceUnreachableError", "the stream ended without a byte of an answer",
        )  # fmt: skip


def test_a_reason_after_the_end_comes_too_late():
    with line_of() as line:
        _, sink = opened(line)
        line.run()
        line.answer(b"", end=True)
        line.say("stream_refused", {"stream_id": 2, "reason": "no", "kind": "refused"})
        assert sink.outcome == "ServiceUnreachableError"


def test_a_reason_is_cut_and_on_one_line():
    with line_of() as line:
        _, sink = opened(line)
        line.run()
        refuse(line, "a\nb" + "c" * 10_000, "refused")
        assert len(str(sink.error)) < 400
        assert "\n" not in str(sink.error)


@pytest.mark.parametrize(
    "payload",
    [
        {"stream_id": 4}, {"stream_id": 0}, {"stream_id": -2}, {"stream_id": 2**70}, {"stream_id": "2"},
        {"stream_id": 2.5}, {"stream_id": True}, {"stream_id": None}, {}, [], None, "2",
        {"stream_id": 2, "reason": 5}, {"stream_id": 2, "kind": ["refused"]},
    ],
    ids=str,
)  # fmt: skip
def test_what_names_no_stream_changes_nothing(payload: object):
    with line_of() as line:
        _, sink = opened(line)
        line.run()
        line.say("stream_refused", payload)
        line.run()
        assert line.link.state is LinkState.READY
        assert sink.calls == []
        line.answer(OK)
        assert sink.outcome == "end"


def test_a_false_one_costs_its_own_exchange_only():
    """The agent might as well reset the stream."""
    with line_of() as line:
        _, first = opened(line)
        _, second = opened(line)
        line.run()
        line.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", 0)
        line.say("stream_refused", {"stream_id": 2, "reason": "a lie", "kind": "refused"})
        line.run()
        assert (first.statuses, first.outcome) == ([200], "ServiceRefusedError")
        line.answer(OK)
        assert second.outcome == "end"


def test_of_an_idle_connection_nobody_is_told():
    with line_of() as line:
        _, sink = opened(line)
        line.run()
        line.answer(OK)
        line.say("stream_refused", {"stream_id": 2, "reason": "a lie", "kind": "refused"})
        _, second = opened(line)
        line.run()
        assert line.stream()[0] == 4
        line.answer(OK)
        assert sink.outcome == second.outcome == "end"


def test_the_log_line_names_the_target_and_is_thinned_by_it(caplog: pytest.LogCaptureFixture):
    with line_of() as line:
        opened(line)
        line.run()
        refuse(line, "no", "refused")
        (record,) = [record for record in caplog.records if "agent refused stream" in record.getMessage()]
        assert "agent refused stream 2 to c1/apps/web:8080: 'no'" in record.getMessage()
        assert record.__dict__["about"] == "c1/apps/web:8080"


def test_the_stand_in_for_tls_errors_is_the_gateways_own():
    """Over yamux the gateway shakes hands itself: what fails there is a TlsFailedError without a word of the agent."""
    with line_of() as line:
        _, sink = opened(line, to=Target("c1", "apps", "web", 443, "https", verify=False))
        line.run()
        line.answer(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        assert sink.outcome == TlsFailedError.__name__
