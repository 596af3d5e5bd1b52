"""A link before yamux is agreed."""

from tunnel.agent.carrier import CONTROL_WAITING_BYTES
from tunnel.agent.yamux.unagreed import Unagreed
from tunnel.wire.messages import ENVELOPE_LIMIT_BYTES, Envelope


def test_it_carries_nothing_and_answers_pings():
    notes, answers = [], []
    carrier = Unagreed(notes.append)
    assert carrier.message_limit_bytes == ENVELOPE_LIMIT_BYTES
    assert not carrier.message_received(Envelope("proxy_request"), b"{}")
    carrier.ping_received(lambda: answers.append(1))
    assert answers == [1]
    carrier.bytes_received(bytes(12), 0.0)
    assert notes == ["binary message before yamux was agreed"]
    for tell in (carrier.pause, carrier.resume, carrier.flush, carrier.drain):
        tell()
    carrier.probe(0.0)
    carrier.lost("link lost")
    assert len(notes) == len(answers) == 1
    assert repr(carrier) == "<Unagreed>"


def test_a_gateway_that_does_not_read():
    carrier = Unagreed(lambda note: None)
    assert carrier.may_send_control(CONTROL_WAITING_BYTES - 1)
    assert not carrier.may_send_control(CONTROL_WAITING_BYTES)
