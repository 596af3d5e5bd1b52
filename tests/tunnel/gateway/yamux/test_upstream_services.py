"""What an upstream learns of its service: whether it keeps idle connections, and whether it speaks TLS."""

from tests.tunnel.gateway.exchanges import OK, TARGET, line_of, opened
from tunnel.port import Target


def test_a_request_that_must_not_be_repeated_takes_no_used_connection_of_a_service_that_has_shown_nothing():
    with line_of() as line:
        for number in range(3):  # the service would close each after its answer, and say nothing
            _, sink = opened(line, b"POST")
            line.run()
            assert len(line.peer.streams) == number + 1
            line.answer(OK)
            assert sink.outcome == "end"
        line.pass_time(4.5, answering=True)  # it keeps them open: all three expire
        for _ in range(2):
            _, sink = opened(line, b"POST")
            line.run()
            assert len(line.peer.streams) == 4
            line.answer(OK)
            assert sink.outcome == "end"
        line.pass_time(5.0, answering=True)


def test_a_service_that_closed_silently_is_remembered_while_nothing_is_open():
    with line_of() as line:
        opened(line)
        line.run()
        line.answer(OK)
        upstream = line.link.upstream(TARGET)
        line.answer(b"", end=True)
        line.pass_time(5.0, answering=True)
        assert line.link.upstream(TARGET) is upstream
        line.pass_time(60.0, answering=True)
        assert line.link.upstream(TARGET) is not upstream


def test_a_connection_that_was_lost_as_its_next_request_came_is_remembered():
    with line_of() as line:
        opened(line)
        line.run()
        line.answer(OK)
        _, sink = opened(line)
        line.answer(b"", 0, end=True)
        assert sink.outcome == "StreamRefusedError"
        assert line.link.upstream(TARGET).pool.distrusts


def test_a_service_that_never_answers_a_tls_handshake_is_given_up():
    """For one: the route says https, and the service speaks plain HTTP and waits for the end of a head."""
    with line_of() as line:
        _, sink = opened(line, to=Target("c1", "apps", "web", 80, scheme="https", verify=False))
        line.run()
        line.pass_time(9.5, answering=True)
        assert sink.outcome == "open"
        line.pass_time(2.0, answering=True)
        assert sink.outcome == "TlsFailedError"
        assert "no handshake within 10 s" in str(sink.error)
        assert "scheme and port" in str(sink.error)
        assert len(line.link.carrier._streams) == 0


def test_a_service_that_speaks_no_tls_is_told_apart():
    with line_of() as line:
        _, sink = opened(line, to=Target("c1", "apps", "web", 80, scheme="https", verify=False))
        line.run()
        line.answer(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        assert sink.outcome == "TlsFailedError"
        assert "scheme and port" in str(sink.error)
