"""Every way it can end: in order, cut off, refused, reset."""

import ssl

import pytest

from tunnel.errors import LinkLostError, TlsFailedError
from tunnel.tls import client_context


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
