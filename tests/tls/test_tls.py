"""TLS over a fake stream against a server made of the standard library's own TLS, for both versions of it."""

import os
import ssl
from pathlib import Path

import pytest

from tunnel.errors import LinkLostError, TlsFailedError
from tunnel.tls import TlsStream, client_context

MEGABYTE = os.urandom(1024 * 1024)
RECORD = 16384


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


def test_a_handshake_is_credited_as_it_comes(talk):
    t = talk()
    t.service.receive(t.inner.take())
    flight = t.service.outgoing.read()
    for at in range(len(flight)):
        t.bring(flight[at : at + 1])
        assert t.inner.acknowledged == t.sent_bytes == at + 1


def test_a_writer_that_was_told_to_wait_is_told_when_to_go_on(talk):
    t = talk()
    t.run()
    t.inner.room = False
    assert not t.stream.write(b"a")
    t.inner.room = True
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


def test_an_end_waits_for_the_handshake_and_for_what_was_written(talk):
    t = talk()
    t.stream.write(b"all I say")
    t.stream.write_end()
    t.stream.write(b"dropped")
    assert not t.inner.ended
    t.run()
    assert t.service.heard == b"all I say"
    assert t.service.closed
    assert t.inner.ended
    assert t.owner.events == []


def test_an_end_held_over_a_handshake_spares_what_came_with_it(talk):
    t = talk()
    t.stream.write_end()
    while not t.service.established:
        t.service.receive(t.inner.take())
        # A TLS 1.2 service speaks in the same breath as it finishes the handshake.
        t.bring(t.service.say(b"early") if t.service.established else t.service.outgoing.read())
    t.run()
    assert t.owner.heard == b"early"
    assert t.owner.lost is None
    assert t.service.closed
    assert t.inner.ended


def test_after_our_end_theirs_is_still_heard(talk):
    t = talk()
    t.run()
    t.stream.write_end()
    t.stream.write_end()
    t.run()
    assert t.service.closed
    t.bring(t.service.say(b"the rest"))
    t.bring(t.service.say_close())
    assert t.owner.heard == b"the rest"
    assert t.owner.events == ["end"]
    assert t.inner.acknowledged == t.sent_bytes


def test_our_end_inside_a_record_of_theirs(talk):
    t = talk()
    t.run()
    records = t.service.say(b"in two pieces")
    t.bring(records[:9])
    t.stream.write_end()
    t.bring(records[9:])
    assert t.owner.heard == b"in two pieces"
    assert t.owner.lost is None


def test_close_notify_is_an_end(talk):
    t = talk()
    t.run()
    t.bring(t.service.say(b"last") + t.service.say_close())
    assert t.owner.heard == b"last"
    assert t.owner.events == ["end"]
    t.inner.owner.end_received()
    assert t.owner.events == ["end"]
    # Our direction is still open, for TLS 1.3 services that listen on.
    assert t.stream.write(b"still here")
    assert not t.inner.was_reset


def test_what_follows_close_notify_is_dropped_but_credited(talk):
    t = talk()
    t.run()
    t.bring(t.service.say_close())
    t.bring(b"\x00" * 5000)
    assert t.owner.events == ["end"]
    assert t.owner.heard == b""
    assert t.inner.acknowledged == t.sent_bytes


@pytest.mark.parametrize("cut", [0, 3, 20])
def test_an_end_without_close_notify_is_no_end(talk, cut):
    t = talk()
    t.run()
    t.bring(t.service.say(b"half an answer"))
    t.bring(t.service.say(b"more of it, cut off")[:cut])
    t.inner.owner.end_received()
    assert t.owner.heard == b"half an answer"
    assert t.owner.events == ["lost"]
    assert isinstance(t.owner.lost, TlsFailedError)
    assert "without close_notify" in str(t.owner.lost)
    assert t.inner.was_reset
    assert repr(t.stream) == "<TlsStream to kuma.apps.svc, over>"


def test_an_end_during_the_handshake(talk):
    t = talk()
    t.stream.write(b"held")
    t.inner.owner.end_received()
    assert t.owner.events == ["lost"]
    assert "during the handshake" in str(t.owner.lost)
    assert t.inner.was_reset


def test_a_certificate_for_another_name(talk):
    t = talk(name="other.apps.svc")
    t.stream.write(b"secret")
    t.run()
    assert t.owner.events == ["lost"]
    assert isinstance(t.owner.lost, TlsFailedError)
    assert "other.apps.svc: certificate refused: Hostname mismatch" in str(t.owner.lost)
    assert t.service.heard == b""
    assert t.service.fault is not None  # it was told: the alert left before the reset
    assert t.inner.was_reset


def test_addresses_have_certificates_too(talk):
    t = talk(name="10.1.2.3")
    t.run()
    assert t.service.established
    other = talk(name="10.1.2.4")
    other.run()
    assert "IP address mismatch" in str(other.owner.lost)


def test_an_authority_nobody_knows(talk):
    t = talk(client_context(ca_file=None, verify=True))
    t.run()
    assert t.owner.events == ["lost"]
    assert "kuma.apps.svc: certificate refused: " in str(t.owner.lost)


def test_without_verification_any_certificate_does(talk):
    t = talk(client_context(ca_file=None, verify=False), name="anything.example")
    t.stream.write(b"hello")
    t.run()
    assert t.service.heard == b"hello"
    assert t.owner.lost is None


def test_a_service_that_does_not_speak_tls(talk):
    t = talk()
    t.bring(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    assert t.owner.events == ["lost"]
    assert isinstance(t.owner.lost, TlsFailedError)
    assert "wrong version number" in str(t.owner.lost)


def test_an_old_version_is_refused(talk, server_context):
    server_context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        server_context.minimum_version = ssl.TLSVersion.TLSv1_1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        server_context.maximum_version = ssl.TLSVersion.TLSv1_1
    t = talk()
    t.run()
    assert t.service.fault is not None
    assert t.service.fault.reason == "UNSUPPORTED_PROTOCOL"
    assert "alert protocol version" in str(t.owner.lost)


def test_a_forged_record_is_the_end(talk):
    t = talk()
    t.run()
    good, bad = t.service.say(b"good"), bytearray(t.service.say(b"forged"))
    bad[-1] ^= 1
    t.bring(good + bytes(bad))
    assert t.owner.heard == b"good"
    assert t.owner.events == ["lost"]
    assert "bad record mac" in str(t.owner.lost)
    assert t.inner.was_reset
    # Nothing is heard, said or credited any more.
    t.inner.owner.data_received(b"x")
    t.inner.owner.end_received()
    t.inner.owner.stream_writable()
    t.inner.owner.stream_lost(LinkLostError("again"))
    assert t.stream.write(b"x")
    t.stream.write_end()
    t.stream.acknowledge(4)
    t.stream.reset()
    assert t.owner.events == ["lost"]


def test_a_lost_stream_is_passed_on_as_it_is(talk):
    t = talk()
    t.run()
    error = LinkLostError("gone")
    t.inner.owner.stream_lost(error)
    assert t.owner.lost is error
    assert t.owner.events == ["lost"]


def test_reset(talk):
    t = talk()
    t.run()
    records = t.service.say(b"too late")
    t.stream.reset()
    t.stream.reset()
    assert t.inner.was_reset
    t.inner.owner.data_received(records)
    t.inner.owner.stream_lost(LinkLostError("gone"))
    assert t.owner.heard == b""
    assert t.owner.events == []


def test_an_owner_may_reset_while_it_is_told(talk):
    t = talk()
    t.run()
    t.owner.data_received = lambda _data: t.stream.reset()
    t.bring(t.service.say(b"data") + t.service.say_close())
    assert t.inner.was_reset
    assert t.owner.events == []


def test_an_owner_may_answer_and_end_while_it_is_told(talk):
    t = talk()
    t.run()

    def answer(data: bytes) -> None:
        t.stream.write(data.upper())
        t.stream.write_end()
        t.stream.acknowledge(len(data))

    t.owner.data_received = answer
    t.bring(t.service.say(b"question") + t.service.say_close())
    t.run()
    assert t.service.heard == b"QUESTION"
    assert t.service.closed
    assert t.owner.events == ["end"]


def test_a_full_stream_below_stops_the_writer(talk):
    t = talk()
    t.inner.room = False
    t.stream.write(b"held ")
    t.run()
    assert t.owner.events == []
    assert not t.stream.write(b"taken all the same")
    t.inner.room = True
    t.inner.owner.stream_writable()
    assert t.owner.events == ["writable"]
    t.run()
    assert t.service.heard == b"held taken all the same"
    assert t.stream.write(b".")
    t.inner.owner.stream_writable()
    assert t.owner.events == ["writable"]


def test_an_owner_that_holds_stops_the_credit(talk):
    t = talk(piece_bytes=4000)
    t.run()
    t.owner.hold = True
    before = t.inner.acknowledged
    assert before == t.sent_bytes
    t.bring(t.service.say(MEGABYTE))
    # At most the first record's pieces came while no plaintext was outstanding.
    assert t.inner.acknowledged - before <= RECORD
    assert t.owner.heard == MEGABYTE
    held_back = t.inner.acknowledged
    t.stream.acknowledge(RECORD - 1)
    assert t.inner.acknowledged == held_back
    t.stream.acknowledge(1)
    assert held_back < t.inner.acknowledged <= held_back + 4000
    t.stream.acknowledge(len(MEGABYTE) - RECORD)
    assert t.inner.acknowledged == t.sent_bytes


def test_credit_follows_the_owner_delivery_by_delivery(talk):
    t = talk()
    t.run()
    t.owner.hold = True
    start = t.inner.acknowledged
    first, second = t.service.say(b"a" * 100), t.service.say(b"b" * 200)
    t.bring(first)
    t.bring(second)
    returned = []
    for size in (99, 1, 150, 50):
        t.stream.acknowledge(size)
        returned.append(t.inner.acknowledged - start)
    assert returned == [0, len(first), len(first), len(first) + len(second)]
    with pytest.raises(ValueError, match="more bytes"):
        t.stream.acknowledge(1)


def test_one_acknowledgement_may_cover_many_deliveries_and_frees_the_unfinished_record(talk):
    t = talk()
    t.run()
    t.owner.hold = True
    start = t.inner.acknowledged
    for letter in (b"a", b"b"):
        t.bring(t.service.say(letter * 100))
    records = t.service.say(b"c" * 100)
    t.bring(records[:50])
    assert t.inner.acknowledged == start
    t.stream.acknowledge(200)
    assert t.inner.acknowledged == t.sent_bytes
    t.bring(records[50:])
    assert t.inner.acknowledged == t.sent_bytes - len(records[50:])
    t.stream.acknowledge(100)
    assert t.inner.acknowledged == t.sent_bytes


def test_a_breakdown_of_tls_itself_is_told(talk):
    class Broken:
        def write(self, data: memoryview) -> int:
            error = ssl.SSLError(1, "as OpenSSL raises it")
            error.reason = "INTERNAL_ERROR"
            raise error

    t = talk()
    t.run()
    t.stream._tls = Broken()
    t.stream.write(b"x")
    assert t.owner.events == ["lost"]
    assert "internal error" in str(t.owner.lost)
    assert t.inner.was_reset


def test_a_record_larger_than_the_credit_still_arrives(talk):
    t = talk(piece_bytes=100)
    t.run()
    records = t.service.say(bytes(RECORD))
    for at in range(0, len(records), 100):
        # The sender has no credit but what came back: each piece must be credited for the next to come.
        assert t.inner.acknowledged == t.sent_bytes
        t.bring(records[at : at + 100])
    assert t.owner.heard == bytes(RECORD)
    assert t.inner.acknowledged == t.sent_bytes


def test_contexts_are_cached_by_their_arguments(ca_file: Path, tmp_path: Path):
    trusting = client_context(ca_file=str(ca_file), verify=True)
    assert client_context(ca_file=str(ca_file), verify=True) is trusting
    assert client_context(ca_file=None, verify=True) is client_context(ca_file=None, verify=True)
    blind = client_context(ca_file=None, verify=False)
    assert blind.verify_mode is ssl.CERT_NONE
    for context in (trusting, client_context(ca_file=None, verify=True)):
        assert context is not blind
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
    for context in (trusting, blind):
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_only_the_files_authorities_are_trusted_and_a_new_file_is_read(ca_file: Path, tmp_path: Path):
    path = tmp_path / "ca.pem"
    path.write_bytes(ca_file.read_bytes())
    os.utime(path, ns=(1, 1))
    first = client_context(ca_file=str(path), verify=True)
    assert first.cert_store_stats()["x509_ca"] == 1
    os.utime(path, ns=(2, 2))
    assert client_context(ca_file=str(path), verify=True) is not first


@pytest.mark.parametrize("content", [None, b"", b"not a certificate"])
def test_a_file_that_cannot_be_used(tmp_path: Path, content: bytes | None):
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TlsFailedError, match=r"ca\.pem"):
        client_context(ca_file=str(path), verify=True)


@pytest.mark.parametrize("name", ["", ".apps.svc", "x" * 64 + ".svc"])
def test_a_name_that_tls_cannot_use(talk, name: str):
    inner = talk().inner
    first = inner.owner
    with pytest.raises(TlsFailedError, match="cannot start"):
        TlsStream(inner, client_context(ca_file=None, verify=False), name)
    assert inner.owner is first
