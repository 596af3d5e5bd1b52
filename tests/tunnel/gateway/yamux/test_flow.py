"""Flow control and accounting of the exchanges on a link: who waits for whom, and what is held meanwhile."""

from tests.tunnel.gateway.exchanges import OK, line_of, opened


def test_an_upload_waits_for_credit():
    with line_of() as line:
        line.peer.acknowledges = False
        exchange, sink = opened(line, b"POST", length=None)
        sent = 0
        while exchange.send_data(b"x" * 16_384):
            sent += 16_384
            line.run()
            assert sent < 1_000_000
        assert "writable" not in sink.calls
        assert line.account.held_bytes > 0
        stream_id, stream = line.stream()
        line.peer.acknowledges = True
        line.peer.session.acknowledge(stream_id, 262_144, line.clock())
        line.run()
        assert sink.calls == ["writable"]
        assert line.account.held_bytes == 0
        exchange.end()
        line.run()
        assert stream.data.endswith(b"0\r\n\r\n")
        line.answer(OK)
        assert sink.outcome == "end"


def test_a_download_waits_for_its_sink():
    with line_of() as line:
        exchange, sink = opened(line)
        line.run()
        size = 3_000_000
        line.answer(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        exchange.pause()
        line.answer(b"x" * size)
        held = line.account.held_bytes
        assert 0 < held <= 16 * 1024 * 1024
        assert sink.body == b""
        assert line.peer.session.buffered_bytes > 0  # the rest waits at the agent
        exchange.resume()
        line.run()
        assert len(sink.body) == size
        assert sink.outcome == "end"


def test_a_stuck_download_delays_nobody():
    with line_of() as line:
        stuck, stuck_sink = opened(line)
        line.run()
        line.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n")
        stuck.pause()
        line.answer(b"x" * 900_000)
        for _ in range(5):
            _, sink = opened(line)
            line.run()
            line.answer(OK)
            assert sink.outcome == "end"
        assert stuck_sink.body == b""
        stuck.reset()
        line.run()
        assert line.stream(0)[1].was_reset


def test_a_slow_sink_of_a_stream_that_is_over():
    with line_of() as line:
        exchange, sink = opened(line)
        line.run()
        exchange.pause()
        line.answer(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"x" * 1000, end=True)
        assert sink.calls == []
        assert line.account.held_bytes > 0
        exchange.resume()
        line.run()
        assert (len(sink.body), sink.outcome) == (1000, "end")


def test_an_abandoned_upload_is_counted_out():
    with line_of() as line:
        line.peer.acknowledges = False
        exchange, _ = opened(line, b"POST", length=None)
        for _ in range(40):
            exchange.send_data(b"x" * 16_384)
        line.run()
        assert line.account.held_bytes > 0
        exchange.reset()
        assert line.account.held_bytes == 0
        line.run()
        assert line.stream()[1].was_reset


def test_an_upload_that_the_agent_resets_is_counted_out():
    with line_of() as line:
        line.peer.acknowledges = False
        exchange, sink = opened(line, b"POST", length=None)
        for _ in range(40):
            exchange.send_data(b"x" * 16_384)
        line.run()
        line.peer.session.reset_stream(line.stream()[0])
        line.deliver()
        assert sink.outcome == "StreamRefusedError"
        assert line.account.held_bytes == 0


def test_short_pieces_of_many_exchanges_are_counted_before_they_leave():
    with line_of() as line:
        exchanges = [opened(line, b"POST", length=None)[0] for _ in range(20)]
        line.run()
        assert line.account.held_bytes == 0
        for number, exchange in enumerate(exchanges, 1):
            exchange.send_data(b"x" * 3_000)
            assert number * 3_000 - 16 * 1024 <= line.account.held_bytes <= number * 3_020
        line.link.tick()
        assert line.account.held_bytes == sum(exchange._stream.held_bytes for exchange in exchanges)
        line.run()
        assert line.account.held_bytes == 0
        for exchange in exchanges:
            exchange.reset()


def test_what_is_written_to_a_stream_that_is_over_goes_nowhere():
    with line_of() as line:
        streams = [line.link.carrier.open_stream() for _ in range(2)]
        line.run()
        streams[0].reset()
        line.peer.session.reset_stream(streams[1].stream_id)
        line.deliver()
        line.run()
        assert [stream.write(b"late") for stream in streams] == [True, True]
        assert line.link.next_message() is None
        assert line.account.held_bytes == 0
