"""What is said both ways, and writers that wait."""

import os
import ssl

import pytest

MEGABYTE = os.urandom(1024 * 1024)


def test_echo(talk, version):
    t = talk()
    t.run()
    assert t.service.established
    assert t.stream.write(b"hello")
    t.run()
    assert t.service.heard == b"hello"
    t.bring(t.service.say(b"world"))
    assert t.owner.heard == b"world"
    assert t.owner.events == []
    name = {ssl.TLSVersion.TLSv1_2: "TLSv1.2", ssl.TLSVersion.TLSv1_3: "TLSv1.3"}[version]
    assert repr(t.stream) == f"<TlsStream to kuma.apps.svc, {name}, our end open, theirs open>"


def test_the_service_is_asked_for_by_name_and_for_http_1_1(talk, server_context):
    asked = []
    server_context.sni_callback = lambda _tls, name, _context: asked.append(name)
    t = talk()
    t.run()
    assert asked == ["kuma.apps.svc"]
    assert t.service.tls.selected_alpn_protocol() == "http/1.1"


@pytest.mark.parametrize("piece_bytes", [997, 16384 + 31, 70001])
def test_a_megabyte_both_ways_in_odd_pieces(talk, piece_bytes):
    t = talk(piece_bytes=piece_bytes)
    t.run()
    t.stream.write(MEGABYTE)
    t.run()
    assert t.service.heard == MEGABYTE
    for at in range(0, len(MEGABYTE), 77777):
        t.bring(t.service.say(MEGABYTE[at : at + 77777]))
    assert t.owner.heard == MEGABYTE
    assert t.inner.acknowledged == t.sent_bytes


def test_byte_by_byte(talk):
    t = talk(piece_bytes=1)
    t.stream.write(b"ping")
    t.run()
    t.bring(t.service.say(b"pong"))
    assert (t.service.heard, t.owner.heard) == (b"ping", b"pong")
    assert t.inner.acknowledged == t.sent_bytes


def test_what_waits_for_the_handshake_is_counted(talk):
    t, other = talk(), talk()
    for stream in (t.stream, other.stream):
        assert not stream.write(b"1234")
        assert not stream.write(b"56")
        assert stream.held_bytes == 1_000 + 6
    assert (t.account.held_bytes, other.account.held_bytes) == (6, 6)
    t.run()
    assert (t.service.heard, t.account.held_bytes) == (b"123456", 0)
    other.stream.reset()
    assert other.account.held_bytes == 0


def test_a_writer_that_was_told_to_wait_is_told_when_to_go_on(talk):
    t = talk()
    t.run()
    t.inner.is_writable = False
    assert not t.stream.write(b"a")
    t.inner.is_writable = True
    assert t.stream.write(b"b")
    t.inner.owner.stream_writable()
    assert t.owner.events == ["writable"]


def test_writes_wait_for_the_handshake(talk):
    t = talk()
    hello = t.inner.written
    assert not t.stream.write(b"one ")
    assert not t.stream.write(b"two")
    assert t.inner.written == hello
    assert t.owner.events == []
    assert repr(t.stream) == "<TlsStream to kuma.apps.svc, in its handshake>"
    t.run()
    assert t.service.heard == b"one two"
    assert t.owner.events == ["writable"]


def test_a_full_stream_below_stops_the_writer(talk):
    t = talk()
    t.inner.is_writable = False
    t.stream.write(b"held ")
    t.run()
    assert t.owner.events == []
    assert not t.stream.write(b"taken all the same")
    t.inner.is_writable = True
    t.inner.owner.stream_writable()
    assert t.owner.events == ["writable"]
    t.run()
    assert t.service.heard == b"held taken all the same"
    assert t.stream.write(b".")
    t.inner.owner.stream_writable()
    assert t.owner.events == ["writable"]
